#include "schema/service_rate.h"

#include <algorithm>

namespace dlm {
namespace {

constexpr std::size_t kTellingMin = 256;  // operations at a time
constexpr double kWeightOfNew = 0.2;
constexpr std::uint32_t kRetryMsUnmeasured = 200;

}  // namespace

void ServiceRate::served(std::size_t operations, std::uint64_t took_ms) {
  if (operations < kTellingMin) return;
  const double sample =
      static_cast<double>(operations) / static_cast<double>(std::max<std::uint64_t>(took_ms, 1));
  per_ms_ = per_ms_ == 0 ? sample : per_ms_ + kWeightOfNew * (sample - per_ms_);
}

std::uint64_t ServiceRate::time_of_ms(std::size_t operations) const {
  return per_ms_ == 0 ? 0 : static_cast<std::uint64_t>(static_cast<double>(operations) / per_ms_);
}

std::uint32_t ServiceRate::turn_away(std::size_t waiting, std::uint64_t now_ms) {
  if (per_ms_ == 0) return kRetryMsUnmeasured;
  const double passed = now_ms > at_ms_ ? static_cast<double>(now_ms - at_ms_) : 0;
  at_ms_ = std::max(at_ms_, now_ms);
  turned_away_ = std::clamp(turned_away_ - passed * per_ms_ + 1, 1.0, per_ms_ * kRetryMsMax);
  const double wait_ms = (static_cast<double>(waiting) + turned_away_) / per_ms_;
  return static_cast<std::uint32_t>(std::clamp<double>(wait_ms, kRetryMsMin, kRetryMsMax));
}

}  // namespace dlm
