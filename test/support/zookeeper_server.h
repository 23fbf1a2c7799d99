// A real ZooKeeper for tests: Debian's package, alone, on a free port of 127.0.0.1, with data of its own.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "test/support/child_process.h"

namespace dlm::test {

// The whole answer of the ZooKeeper there to one of its four-letter words; empty when there is none within
// two seconds.
std::string ask_zookeeper(const std::string& address, int port, std::string_view word);

// Sessions may have timeouts from 1 s (two ticks) to 60 s. What was acknowledged survives kill(), not a crash
// of the machine. The process ends with the thread that started it. Failures throw std::runtime_error with
// the end of the log.
class ZookeeperServer {
 public:
  // Starts it and waits until it serves.
  ZookeeperServer();
  ~ZookeeperServer();

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  const std::string& folder() const { return folder_; }
  std::string log_tail() const;

  // kill -9.
  void kill();
  // After kill(): the same port and data; waits until it serves.
  void start();
  // SIGSTOP and SIGCONT: alive, but silent.
  void pause();
  void resume();

 private:
  void write_config() const;
  bool serves();
  void wait_until_serves();

  std::string folder_;
  int port_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace dlm::test
