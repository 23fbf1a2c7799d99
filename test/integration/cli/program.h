// Runs the `dlm` program as a user's shell would, and reads what it printed.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace dlm::test {

// Long enough for a machine with a sanitizer's build and other things to do; no test is right or wrong by it.
inline constexpr int kPatienceMs = 60'000;

// Polls until `holds` does; false: not within kPatienceMs.
bool eventually(const std::function<bool()>& holds);

// A folder for the test's files, removed with all in it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string contents_of(const std::string& path);

struct Ended {
  int code = -1;  // as a shell sees it: 128 + N for signal N
  std::string out;
  std::string err;
};

// One `dlm`, running. Killed when destroyed.
class Program {
 public:
  // `environment`: "NAME=value" each, added to this process's (without any DLM_ variable).
  explicit Program(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  bool running();
  // Fails the test (code -1) when it does not end within kPatienceMs.
  Ended wait();
  std::string out() const { return contents_of(files_.path("out")); }
  std::string err() const { return contents_of(files_.path("err")); }

 private:
  TemporaryFolder files_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int code_ = -1;
};

// Runs one to its end.
Ended run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});

}  // namespace dlm::test
