// The holds of a history: each client's operations on a resource, followed one by one, give its holds, what
// is certain of them, and where an answer contradicts the answers before it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "test/chaos/history/context.h"
#include "test/chaos/history/record.h"

namespace dlm::chaos {

// A rule of the service that a history breaks.
struct Violation {
  std::string rule;  // "overlap", "token order", …
  std::string what;
  std::vector<Record> records;  // those that contradict each other
};

// A range of counts that the hold went through, for the queries that saw it.
struct CountStep {
  std::int64_t from_ns = 0;  // call of the operation that led to it
  std::int64_t sure_ns = 0;  // its return
  std::uint32_t count = 0;
};

struct Hold {
  std::string client;
  std::string resource;
  std::uint64_t token = 0;
  LockMode mode = LockMode::exclusive;
  Record acquired;                 // the acquire that gave it
  std::int64_t sure_until_ns = 0;  // it certainly did not end before
  // The first of its acquisitions that its client did not trust any more ended then: the library gives it
  // back.
  std::int64_t whole_until_ns = 0;
  // When its end was acknowledged; INT64_MAX: never.
  std::int64_t released_ns = INT64_MAX;
  std::vector<CountStep> counts;

  std::int64_t sure_from_ns() const { return acquired.return_ns; }
};

struct HoldOptions {
  // How much earlier than by the client's own arithmetic a lease may end: servers count whole milliseconds.
  std::int64_t clock_tolerance_ns = 2'000'000;
};

struct Holds {
  std::vector<Hold> holds;
  std::vector<Violation> violations;  // rules "count", "lost hold", "exactly once", "history"
};

// `records` in any order.
Holds find_holds(const std::vector<Record>& records, const Context& context, const HoldOptions& options);

}  // namespace dlm::chaos
