// Turns SIGINT, SIGTERM and SIGHUP into a request to stop, so that a wait in line is withdrawn rather than
// left behind.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace dlm::cli {

// Construct it before any other thread is started (they inherit the blocked signals). A second signal ends
// the process.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  std::stop_token token() const { return source_.get_token(); }
  // The first signal that came; 0: none yet.
  int received() const { return received_.load(); }

 private:
  void watch();

  std::stop_source source_;
  std::atomic<int> received_ = 0;
  int event_fd_ = -1;  // ends the watcher
  int signal_fd_ = -1;
  std::thread watcher_;
};

}  // namespace dlm::cli
