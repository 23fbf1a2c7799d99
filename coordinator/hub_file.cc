#include "coordinator/hub_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "coordinator/member_json.h"

namespace dlm::coordinator {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw std::system_error(errno, std::system_category(), what + " " + path);
}

struct Descriptor {
  Descriptor(const std::string& path, int flags) : file(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (file < 0) fail("can't open", path);
  }
  ~Descriptor() { ::close(file); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int file;
};

void write_safely(const std::string& path, std::string_view text) {
  const Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
  while (!text.empty()) {
    const ssize_t written = ::write(file.file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("can't write", path);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(file.file) != 0) fail("can't sync", path);
}

// "NAME VERSION JSON"
bool read_line(const std::string& line, ClusterView& view, std::string& error) {
  std::istringstream words(line);
  std::string name, json;
  std::int64_t version = 0;
  if (!(words >> name >> version) || version < 0 || !std::getline(words >> std::ws, json)) {
    error = "not a name, a version and a record";
    return false;
  }
  if (name == "cluster") return parse_cluster_json(json, view.cluster, error);
  if (name == "ring") {
    if (!parse_json(json, view.ring, error)) return false;
    view.ring.version = static_cast<std::uint64_t>(version);
    return true;
  }
  const GroupId group = parse_group(name);
  error = "no group: " + name;
  if (!group) return false;
  VersionedConfig& record = view.groups[group];
  record.version = version;
  return parse_json(json, record.config, error);
}

}  // namespace

bool read_hub_file(const std::string& path, ClusterView& view) {
  if (!std::filesystem::exists(path)) return false;
  std::ifstream file(path);
  std::string line, error;
  for (int number = 1; std::getline(file, line); ++number) {
    if (!read_line(line, view, error))
      throw std::runtime_error(
          path + ": line " + std::to_string(number) + ": " + error +
          "; put it back from a copy of this very folder, or move the whole folder away");
  }
  if (view.cluster.empty())
    throw std::runtime_error(path +
                             ": names no cluster; put it back from a copy of this very folder, or move the "
                             "whole folder away");
  return true;
}

void write_hub_file(const std::string& path, const ClusterView& view) {
  std::string text = "cluster 0 " + cluster_json(view.cluster) + "\n";
  if (view.ring.version != 0)
    text += "ring " + std::to_string(view.ring.version) + " " + to_json(view.ring) + "\n";
  for (const auto& [group, record] : view.groups)
    text += to_string(group) + " " + std::to_string(record.version) + " " + to_json(record.config) + "\n";
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::filesystem::create_directories(folder);
  write_safely(path + ".new", text);
  std::filesystem::rename(path + ".new", path);
  const Descriptor directory(folder.string(), O_RDONLY | O_DIRECTORY);
  if (::fsync(directory.file) != 0) fail("can't sync", folder.string());
}

}  // namespace dlm::coordinator
