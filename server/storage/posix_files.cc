#include "server/storage/posix_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

namespace dlm::server {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw std::system_error(errno, std::system_category(), what + " " + path);
}

class PosixFile final : public File {
 public:
  PosixFile(std::string path, int flags)
      : path_(std::move(path)), file_(::open(path_.c_str(), flags | O_CLOEXEC, 0644)) {
    if (file_ < 0) fail("can't open", path_);
  }
  ~PosixFile() override { ::close(file_); }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  std::uint64_t size_bytes() override {
    struct stat status {};
    if (::fstat(file_, &status) != 0) fail("can't look at", path_);
    return static_cast<std::uint64_t>(status.st_size);
  }

  std::string read(std::uint64_t offset, std::size_t size) override {
    std::string bytes(size, '\0');
    std::size_t got = 0;
    while (got < size) {
      const ssize_t n = ::pread(file_, bytes.data() + got, size - got, static_cast<off_t>(offset + got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("can't read", path_);
      if (n == 0) break;
      got += static_cast<std::size_t>(n);
    }
    bytes.resize(got);
    return bytes;
  }

  void write(std::uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("can't write", path_);
      bytes.remove_prefix(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
  }

  // What could not be written may be lost although a second call succeeds, so there is none: see LogWriter.
  void sync() override {
    if (::fdatasync(file_) != 0) fail("can't sync", path_);
  }

 private:
  std::string path_;
  int file_;
};

class PosixFolder final : public Folder {
 public:
  explicit PosixFolder(std::string path) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
  }

  std::vector<std::string> list() override {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      if (entry.is_regular_file()) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  std::unique_ptr<Folder> folder(const std::string& name) override {
    const bool made = !has_folder(name);
    auto folder = std::make_unique<PosixFolder>(describe(name));
    if (made) sync();
    return folder;
  }
  bool has_folder(const std::string& name) override { return std::filesystem::is_directory(describe(name)); }
  std::unique_ptr<File> open(const std::string& name) override {
    return std::make_unique<PosixFile>(describe(name), O_RDWR);
  }
  std::unique_ptr<File> create(const std::string& name) override {
    return std::make_unique<PosixFile>(describe(name), O_RDWR | O_CREAT | O_TRUNC);
  }
  void rename(const std::string& from, const std::string& to) override {
    std::filesystem::rename(describe(from), describe(to));
  }
  void remove(const std::string& name) override { std::filesystem::remove(describe(name)); }
  void sync() override {
    const int folder = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) fail("can't open", path_);
    const bool synced = ::fsync(folder) == 0;
    const int error = errno;
    ::close(folder);
    errno = error;
    if (!synced) fail("can't sync", path_);
  }
  std::string describe(const std::string& name) const override {
    return name.empty() ? path_ : path_ + "/" + name;
  }

 private:
  std::string path_;
};

}  // namespace

std::unique_ptr<Folder> posix_folder(const std::string& path) {
  return std::make_unique<PosixFolder>(path);
}

FolderLock::FolderLock(const std::string& path) {
  std::filesystem::create_directories(path);
  const std::string name = path + "/lock";
  file_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0) fail("can't open", name);
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  ::close(file_);
  errno = error;
  fail("another process uses the data folder", path);
}

FolderLock::~FolderLock() {
  ::close(file_);
}

}  // namespace dlm::server
