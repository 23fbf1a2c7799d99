// A program that a test started: ends with it, whatever happens to the test.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace dlm::test {

// To be started by a thread that lives as long as the child should: it is killed when that thread ends.
class ChildProcess {
 public:
  // Both outputs are appended to `log_path`. Throws std::runtime_error when there is no such program.
  ChildProcess(const std::vector<std::string>& command, const std::string& log_path);
  ~ChildProcess();  // kill -9, and waits
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  // False once it has ended.
  bool running();
  // Does nothing once it has ended.
  void signal(int number);
  // SIGSTOP, and waits until nothing of it runs any more. SIGCONT ends it.
  void stop();
  // Waits for the end; the status as of waitpid().
  int wait();

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

// A TCP port of 127.0.0.1 that was free a moment ago, below those that Linux gives to outgoing connections:
// one of these could take it, even one that tries to reach it, while its listener is restarted. Any thread.
int free_port();

// The last `bytes` of a file, for the report of a failed test; empty when it can't be read.
std::string tail_of(const std::string& path, std::size_t bytes = 4096);

}  // namespace dlm::test
