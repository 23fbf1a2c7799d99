// Waiting awake. A thread that sleeps is woken within tens of microseconds rather than at once, above all
// where its processor sleeps with it and is a virtual one: six times on the way of an operation through
// client, router, primary and backup. So a loop may, instead of going to sleep, look for something to do
// again and again for a while. It does so only as long as that pays: not while other threads want the
// processor, and not when the last wait turned out to be long. (The same trade as KVM's halt polling and
// Seastar's idle polling make.)
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>

namespace dlm::wire {

// When to stay awake. Belongs to one thread; knows no clock.
class BusyPolling {
 public:
  using Duration = std::chrono::nanoseconds;
  // A look and a yield take less, unless another thread ran in between.
  static constexpr Duration kOthersRan = std::chrono::microseconds(100);

  // Waits up to `longest` awake; 0: every wait is asleep.
  explicit BusyPolling(Duration longest) : longest_(longest) {}

  bool enabled() const { return longest_ > Duration::zero(); }
  // Whether the wait that begins now is spent awake at first.
  bool stays_awake() const { return last_was_short_; }
  // Whether to look again: `waited` since the wait began, `last_look` since the look before this one.
  bool looks_again(Duration waited, Duration last_look) const {
    return waited < longest_ && last_look < kOthersRan;
  }
  // The wait is over, asleep or awake.
  void waited(Duration time) { last_was_short_ = time < longest_; }

 private:
  Duration longest_;
  bool last_was_short_ = false;
};

// Runs one handler of `io`, waiting for it. Returns how many ran: 0 when `io` was stopped or is out of work.
std::size_t run_one(boost::asio::io_context& io, BusyPolling& polling);

}  // namespace dlm::wire
