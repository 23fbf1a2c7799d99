#include "coordinator/hub_text.h"

#include <sstream>

#include "coordinator/member_json.h"

namespace dlm::coordinator {
namespace {

// "NAME VERSION JSON"
bool parse_line(const std::string& line, ClusterView& view, std::string& error) {
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

std::string to_text(const ClusterView& view) {
  std::string text = "cluster 0 " + cluster_json(view.cluster) + "\n";
  if (view.ring.version != 0)
    text += "ring " + std::to_string(view.ring.version) + " " + to_json(view.ring) + "\n";
  for (const auto& [group, record] : view.groups)
    text += to_string(group) + " " + std::to_string(record.version) + " " + to_json(record.config) + "\n";
  return text;
}

bool parse_text(std::string_view text, ClusterView& view, std::string& error) {
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (parse_line(line, view, error)) continue;
    error = "line " + std::to_string(number) + ": " + error;
    return false;
  }
  if (!view.cluster.empty()) return true;
  error = "it names no cluster";
  return false;
}

}  // namespace dlm::coordinator
