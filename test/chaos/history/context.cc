#include "test/chaos/history/context.h"

#include <algorithm>

namespace dlm::chaos {

bool state_lost_between(const Context& context, std::int64_t from_ns, std::int64_t to_ns) {
  return std::any_of(context.faults.begin(), context.faults.end(), [&](const FaultWindow& fault) {
    return fault.kind == kGroupForgot && fault.from_ns <= to_ns && fault.to_ns >= from_ns;
  });
}

}  // namespace dlm::chaos
