// One process of the cluster: may be killed, frozen and started again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "test/support/child_process.h"

namespace dlm::chaos {

class Process {
 public:
  // `command` runs as it is; both outputs go to `log`.
  Process(std::string name, std::vector<std::string> command, std::string log);

  const std::string& name() const { return name_; }
  const std::string& log() const { return log_; }

  void start();
  // Whether it has said `text` since the last start. Throws std::runtime_error, with the end of the log, when
  // it has ended.
  bool said(const std::string& text);
  void kill();
  void terminate();  // SIGTERM
  void freeze();
  void thaw();
  bool running() { return child_ != nullptr && child_->running(); }
  // True when it is stopped by a signal, its own perhaps.
  bool stopped();
  // It should be running, and has ended. Not after kill() and terminate().
  bool died() { return expected_ && !running(); }

 private:
  std::string name_;
  std::vector<std::string> command_;
  std::string log_;
  std::size_t log_mark_ = 0;
  bool expected_ = false;
  std::unique_ptr<test::ChildProcess> child_;
};

// Polls until `condition` holds; throws std::runtime_error that says `what` was waited for after `seconds`.
void wait_until(const std::string& what, int seconds, const std::function<bool()>& condition);
void sleep_ms(std::uint32_t time_ms);

}  // namespace dlm::chaos
