// The clock of all local deadlines: CLOCK_BOOTTIME. It never jumps and, unlike std::chrono::steady_clock,
// goes on while the machine sleeps, as the servers' clocks do.
#pragma once

#include <chrono>

namespace dlm {

// A standard clock; any thread.
struct BoottimeClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BoottimeClock>;
  static constexpr bool is_steady = true;

  static time_point now() noexcept;
};

}  // namespace dlm
