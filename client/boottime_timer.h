// One timer on CLOCK_BOOTTIME for an Asio loop: unlike Asio's own, it counts the time the machine slept, so
// that deadlines that passed meanwhile are noticed on waking.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>

namespace dlm::client {

// CLOCK_BOOTTIME in milliseconds, rounded down.
std::uint64_t boottime_ms();

// Loop thread only. The callback must not outlive its owner: cancel() before.
class BoottimeTimer {
 public:
  // `on_due` sets the timer anew.
  // Throws std::system_error when the kernel gives no timer.
  BoottimeTimer(boost::asio::io_context& io, std::function<void()> on_due);

  // Calls on_due at this time at the latest, now when it has passed. A timer that is set for an earlier time
  // stays, and finds nothing due: so one whose time is put off again and again costs nothing.
  void set(std::uint64_t at_ms);
  void cancel();

 private:
  void wait();
  boost::asio::posix::stream_descriptor descriptor_;
  std::function<void()> on_due_;
  std::uint64_t at_ms_ = 0;  // 0: not set
};

}  // namespace dlm::client
