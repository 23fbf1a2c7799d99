#include "server/failpoint.h"

#ifdef DLM_FAILPOINTS

#include <glog/logging.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

namespace dlm::server {
namespace {

constexpr std::string_view kFile = "file:";

class Failpoint {
 public:
  Failpoint() {
    const char* setting = std::getenv("DLM_FAILPOINTS");
    if (setting == nullptr) return;
    if (std::string_view(setting).starts_with(kFile)) {
      path_ = setting + kFile.size();
    } else {
      set(setting);
    }
  }

  void pass(std::string_view name) {
    if (!path_.empty()) read_again();
    if (name != name_ || left_ == 0 || --left_ > 0) return;
    LOG(WARNING) << "failpoint " << name_ << ": signal " << signal_ << " to itself";
    google::FlushLogFiles(google::INFO);
    raise(signal_);
  }

 private:
  // The file is renamed into place: another one has another inode or time.
  void read_again() {
    struct stat now {};
    if (stat(path_.c_str(), &now) != 0) return;
    if (now.st_ino == seen_.st_ino && now.st_mtim.tv_sec == seen_.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == seen_.st_mtim.tv_nsec) {
      return;
    }
    seen_ = now;
    std::string setting;
    std::getline(std::ifstream(path_) >> std::ws, setting);
    set(setting);
  }

  void set(const std::string& setting) {
    const std::size_t equals = setting.find('=');
    const std::size_t at = setting.find('@');
    name_.clear();
    left_ = 0;
    if (equals == std::string::npos) return;
    name_ = setting.substr(0, equals);
    signal_ = setting.substr(equals + 1, at - equals - 1) == "stop" ? SIGSTOP : SIGKILL;
    left_ = at == std::string::npos ? 1 : std::strtoull(setting.c_str() + at + 1, nullptr, 10);
  }

  std::string path_;
  struct stat seen_ {};
  std::string name_;
  int signal_ = SIGKILL;
  std::uint64_t left_ = 0;
};

}  // namespace

void pass_failpoint(std::string_view name) {
  static Failpoint failpoint;  // one for the process, as its environment is
  failpoint.pass(name);
}

}  // namespace dlm::server

#endif
