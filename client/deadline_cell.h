// A deadline that the I/O thread extends and that any thread reads. Who finds it passed closes it, for good:
// no extension that races with that can bring it back.
#pragma once

#include <atomic>
#include <cstdint>

namespace dlm::client {

class DeadlineCell {
 public:
  DeadlineCell(std::uint64_t deadline_ms, std::uint64_t jeopardy_ms)
      : deadline_ms_(deadline_ms), jeopardy_ms_(jeopardy_ms) {}

  // False: it has been closed. Also earlier than before. I/O thread only.
  bool set(std::uint64_t deadline_ms, std::uint64_t jeopardy_ms) {
    std::uint64_t before = deadline_ms_.load(std::memory_order_acquire);
    do {
      if (before == kClosed) return false;
    } while (!deadline_ms_.compare_exchange_weak(before, deadline_ms, std::memory_order_acq_rel));
    jeopardy_ms_.store(jeopardy_ms, std::memory_order_release);
    return true;
  }

  enum class State : std::uint8_t { good, jeopardy, passed };
  State check(std::uint64_t now_ms) {
    std::uint64_t deadline = deadline_ms_.load(std::memory_order_acquire);
    for (;;) {
      if (deadline == kClosed) return State::passed;
      if (now_ms < deadline) break;
      if (deadline_ms_.compare_exchange_weak(deadline, kClosed, std::memory_order_acq_rel))
        return State::passed;
    }
    return now_ms < jeopardy_ms_.load(std::memory_order_acquire) ? State::good : State::jeopardy;
  }
  // 0: closed.
  std::uint64_t deadline_ms() const { return deadline_ms_.load(std::memory_order_acquire); }

 private:
  static constexpr std::uint64_t kClosed = 0;
  std::atomic<std::uint64_t> deadline_ms_;
  std::atomic<std::uint64_t> jeopardy_ms_;
};

}  // namespace dlm::client
