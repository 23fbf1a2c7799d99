// Runs a command for as long as a lock is held: passes signals on, and ends the command before the lock can
// end.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/child_process.h"
#include "client/cli/file_descriptor.h"
#include "client/cli/guardian.h"
#include "client/cli/terminal.h"
#include "dlm/client.h"
#include "dlm/lock.h"

namespace dlm::cli {

// When the command has to go, counted back from the lock's local deadline (at which other clients may get the
// lock soon).
struct KillTimes {
  std::chrono::milliseconds grace;  // between SIGTERM and SIGKILL
  std::chrono::milliseconds
      margin;  // between SIGKILL and the deadline, so that it is over by then on a busy machine too

  // The margin is a twentieth of the TTL, from 50 to 500 ms. Grace and margin together leave the heartbeats,
  // a third of a TTL apart, another third to get through: a longer grace is cut.
  static KillTimes of(std::chrono::milliseconds ttl, std::chrono::milliseconds wanted_grace);
};

// What there is to do about the command now.
enum class KillStep { none, terminate, kill };

// Pure: `state` and `deadline` are the lock's at `now`. `terminated`: SIGTERM was sent already.
KillStep kill_step(LockState state, BoottimeClock::time_point deadline, BoottimeClock::time_point now,
                   const KillTimes& times, bool terminated);

// Signals that dlm passes on; the terminal's stop is among them.
sigset_t supervised_signals();

struct Outcome {
  int wait_status = 0;  // of the command
  bool lost = false;    // it was told to end because of the lock, or ended after the lock did
  std::string lost_reason;
};

// One command under one lock. Main thread only. REQUIRES: supervised_signals() are blocked in all threads.
class Supervisor {
 public:
  // `signal_fd`: a signalfd of supervised_signals(), non-blocking. `warn` is told when the lock is being
  // lost.
  using Warn = std::function<void(const std::string&)>;
  Supervisor(int signal_fd, Guardian& guardian, KillTimes times, std::chrono::milliseconds ttl, Warn warn);

  // Runs until the command has ended. The lock stays held (if it is) for the caller to release.
  Outcome run(pid_t command, Lock& lock);

 private:
  void check_lock(const Lock& lock);
  void pass_signals();
  void command_stopped(int signal);
  bool command_ended(const Lock& lock);
  void wait_for_something(const Lock& lock);
  void send(int signal) const;

  int signal_fd_;
  Guardian& guardian_;
  KillTimes times_;
  std::chrono::milliseconds watch_interval_;
  Warn warn_;
  FileDescriptor timer_fd_;
  std::shared_ptr<FileDescriptor> lost_fd_;  // shared with the lock's callback
  Terminal terminal_;
  pid_t command_ = -1;
  bool terminated_ = false;
  bool killed_ = false;
  Outcome outcome_;
};

}  // namespace dlm::cli
