// The simulator's only source of chance: SplitMix64 (Steele, Lea, Flood, 2014). The same seed gives the same
// numbers on every machine, which std's distributions do not promise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dlm::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  // 0 to n - 1; 0 for an n of 0.
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : next() % n; }
  // Both ends inclusive.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  bool percent(std::uint64_t p) { return below(100) < p; }
  // Small values often, large ones now and then: a power of two at random, then anything up to it. `mean` is
  // about what comes out in the middle, 8 times it the most.
  std::uint64_t around(std::uint64_t mean) { return below((mean << below(4)) + 1); }
  template <class T>
  const T& pick(const std::vector<T>& list) {
    return list[below(list.size())];
  }
  // An independent stream, so that one user's draws do not shift another's.
  Random fork() { return Random(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace dlm::sim
