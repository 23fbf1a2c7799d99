// Latencies in buckets of logarithmic width, as HdrHistogram does it (Tene, 2012): 64 linear steps to each
// power of two, so every percentile is within 1.6% of the truth, in constant memory and constant time. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dlm::cli {

// Of one thread; merge() those of several.
class Histogram {
 public:
  void record(std::uint64_t value);
  void merge(const Histogram& other);
  void clear() { *this = Histogram(); }

  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }
  // The least recorded value (to bucket precision, rounded up, never above max) that `percent` of all values
  // do not exceed; 0 of nothing.
  std::uint64_t percentile(double percent) const;

 private:
  static constexpr unsigned kStepBits = 6;
  static constexpr std::size_t kSteps = std::size_t{1} << kStepBits;
  static constexpr std::size_t kBuckets = kSteps * (64 - kStepBits + 1);
  static std::size_t bucket_of(std::uint64_t value);
  static std::uint64_t highest_of(std::size_t bucket);

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace dlm::cli
