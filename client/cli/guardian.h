// A second, tiny process beside `dlm lock`, for when dlm itself is killed or stopped: it then ends the
// command, so that nothing goes on under a lock that nobody renews.
#pragma once

#include <sys/types.h>

#include "client/cli/file_descriptor.h"
#include "dlm/clock.h"

namespace dlm::cli {

// Kills the command's process group with SIGKILL at the time last told, and when dlm's end of the pipe
// closes: SIGTERM, then SIGKILL after the grace, at that time at the latest. Knows nothing of locks; its
// clock is BoottimeClock.
class Guardian {
 public:
  // Forks. REQUIRES: this process has no other thread yet. Throws std::system_error.
  explicit Guardian(std::chrono::milliseconds grace);
  // Waits for it to end.
  ~Guardian();
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

  void watch(pid_t group, BoottimeClock::time_point kill_at);
  // The group is gone (or nobody's business any more). Tell it before the leader is reaped: its number may be
  // used anew.
  void stand_down();

 private:
  FileDescriptor pipe_;
  pid_t pid_ = -1;
};

}  // namespace dlm::cli
