// The timer of a shell that asks its core, after each turn, when the next one is due.
#pragma once

#include <cstdint>
#include <utility>

#include "test/sim/process.h"

namespace dlm::sim {

// Stands at the earliest time it was set to. One that an earlier time overtook rings no more: what is due
// then is set anew by the turn that the earlier one brings.
class Alarm {
 public:
  // Lives no longer than this life of the process.
  Alarm(Process& process, Task ring) : process_(process), ring_(std::move(ring)) {}
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  // Rings when the clock of the process shows `at`; perhaps earlier, after its clock was stopped: look again.
  void set(LocalMs at) {
    if (at >= set_for_) return;
    set_for_ = at;
    process_.post_at_clock(at, [this, at] {
      if (set_for_ != at) return;
      set_for_ = UINT64_MAX;
      ring_();
    });
  }

 private:
  Process& process_;
  const Task ring_;
  LocalMs set_for_ = UINT64_MAX;
};

}  // namespace dlm::sim
