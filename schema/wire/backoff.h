// How long to wait before trying again: exponential with full jitter (Brooker, "Exponential Backoff and
// Jitter", 2015). Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

namespace dlm::wire {

class Backoff {
 public:
  Backoff(std::uint32_t first_ms, std::uint32_t max_ms, std::uint64_t seed)
      : first_ms_(first_ms), max_ms_(max_ms), ceiling_ms_(first_ms), random_(seed) {}

  // The next delay, in [first/2, ceiling]; the ceiling doubles up to the maximum.
  std::uint32_t next_ms() {
    std::uint32_t low = first_ms_ / 2;
    std::uint32_t delay = low + static_cast<std::uint32_t>(random_() % (ceiling_ms_ - low + 1));
    ceiling_ms_ = std::min(max_ms_, ceiling_ms_ * 2);
    return delay;
  }
  // It worked: the next failure starts small again.
  void reset() { ceiling_ms_ = first_ms_; }

 private:
  std::uint32_t first_ms_;
  std::uint32_t max_ms_;
  std::uint32_t ceiling_ms_;
  std::mt19937_64 random_;
};

}  // namespace dlm::wire
