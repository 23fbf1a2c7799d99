// What a history of the lock service must not show. Pure: records in, violations out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "test/chaos/history/context.h"
#include "test/chaos/history/holds.h"
#include "test/chaos/history/record.h"

namespace dlm::chaos {

struct CheckOptions {
  HoldOptions holds;
  // Who called this much later must not be granted first; how long a request takes to its primary without
  // faults.
  std::int64_t fifo_tolerance_ns = 2'000'000'000;
};

struct Verdict {
  std::vector<Violation> violations;
  std::size_t records = 0;
  std::size_t holds = 0;
  std::map<std::string, std::size_t> outcomes;  // "acquire granted" → how often
  bool good() const { return violations.empty(); }
};

// Rules: "history" (the file itself contradicts what it promises), "overlap" (which also tells of a lease
// that ended early), "token order", "count", "lost hold", "exactly once", "phantom hold" (a query saw one
// that nobody was given, as after a grant past a time-out), "stale read", "order" (FIFO).
Verdict check(const std::vector<Record>& records, const Context& context, const CheckOptions& options);

// The longest time without a successful operation of the group (of any group, when it is empty) that touches
// the window. Returns 0 when nothing at all succeeded before it.
std::int64_t longest_gap_ns(const std::vector<Record>& records, const Context& context,
                            const FaultWindow& window);

// An answer that shows that the service worked.
bool is_success(const Record& record);

}  // namespace dlm::chaos
