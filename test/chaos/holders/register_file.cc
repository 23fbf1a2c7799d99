#include "test/chaos/holders/register_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace dlm::chaos {
namespace {

// The file, open and locked against other processes.
class LockedFile {
 public:
  explicit LockedFile(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (fd_ < 0 || flock(fd_, LOCK_EX) != 0) throw std::system_error(errno, std::generic_category(), path);
  }
  ~LockedFile() { close(fd_); }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  RegisterFile::Content read() const {
    RegisterFile::Content content;
    if (pread(fd_, &content, sizeof content, 0) < 0)
      throw std::system_error(errno, std::generic_category(), "reading");
    return content;
  }
  void write(const RegisterFile::Content& content) {
    if (pwrite(fd_, &content, sizeof content, 0) != static_cast<ssize_t>(sizeof content)) {
      throw std::system_error(errno, std::generic_category(), "writing");
    }
  }

 private:
  int fd_;
};

}  // namespace

template <class Change>
bool RegisterFile::update(std::uint64_t token, Change change) {
  LockedFile file(path_);
  Content content = file.read();
  if (fenced_ && token < content.token) return false;
  content.token = std::max(content.token, token);
  change(content);
  file.write(content);
  return true;
}

// A reader's token counts, too: what an earlier holder writes after that would be lost on the reader.
std::optional<std::uint64_t> RegisterFile::read(std::uint64_t token) {
  std::uint64_t value = 0;
  if (!update(token, [&](const Content& content) { value = content.value; })) return std::nullopt;
  return value;
}

bool RegisterFile::write(std::uint64_t token, std::uint64_t value) {
  return update(token, [&](Content& content) {
    content.value = value;
    ++content.writes;
  });
}

RegisterFile::Content RegisterFile::content() const {
  return LockedFile(path_).read();
}

void RegisterFile::between_accesses(const std::function<void()>& action) const {
  const LockedFile file(path_);
  action();
}

}  // namespace dlm::chaos
