#include "schema/wire/busy_polling.h"

#include <thread>

namespace dlm::wire {

std::size_t run_one(boost::asio::io_context& io, BusyPolling& polling) {
  using Clock = std::chrono::steady_clock;
  if (!polling.enabled()) return io.run_one();
  if (const std::size_t ready = io.poll_one()) return ready;

  const Clock::time_point began = Clock::now();
  std::size_t ran = 0;
  if (polling.stays_awake()) {
    Clock::time_point last = began, now = began;
    do {
      last = now;
      std::this_thread::yield();
      ran = io.poll_one();
      now = Clock::now();
    } while (ran == 0 && !io.stopped() && polling.looks_again(now - began, now - last));
  }
  if (ran == 0) ran = io.run_one();
  polling.waited(Clock::now() - began);
  return ran;
}

}  // namespace dlm::wire
