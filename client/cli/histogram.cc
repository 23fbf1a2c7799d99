#include "client/cli/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace dlm::cli {

// Values below 64 have a bucket each; from there, the leading one bit picks the row and the six bits behind
// it the step.
std::size_t Histogram::bucket_of(std::uint64_t value) {
  if (value < kSteps) return value;
  auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kStepBits;
  return (shift + 1) * kSteps + ((value >> shift) - kSteps);
}

std::uint64_t Histogram::highest_of(std::size_t bucket) {
  if (bucket < kSteps) return bucket;
  std::size_t shift = bucket / kSteps - 1;
  std::uint64_t lowest = (kSteps + bucket % kSteps) << shift;
  return lowest + ((std::uint64_t{1} << shift) - 1);
}

void Histogram::record(std::uint64_t value) {
  ++buckets_[bucket_of(value)];
  ++count_;
  max_ = std::max(max_, value);
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

std::uint64_t Histogram::percentile(double percent) const {
  if (count_ == 0) return 0;
  double share = std::clamp(percent, 0.0, 100.0) / 100.0;
  auto rank = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_) - 1e-6)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::min(highest_of(i), max_);
  }
  return max_;
}

}  // namespace dlm::cli
