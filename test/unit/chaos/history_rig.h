// Histories for tests, written by hand: times in milliseconds, one line per operation.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "test/chaos/history/checker.h"

namespace dlm::chaos::test {

constexpr std::int64_t kMs = 1'000'000;

class HistoryRig {
 public:
  // All return the record, so that a test may change what is special about it. The reference holds until the
  // next one.
  Record& granted(const std::string& client, std::int64_t call_ms, std::int64_t return_ms,
                  std::uint64_t token, std::uint32_t count = 1, std::uint32_t ttl_ms = 1000) {
    Record& record = add(client, Op::acquire, call_ms, return_ms, Outcome::granted);
    record.token = token;
    record.count = count;
    record.ttl_ms = ttl_ms;
    return record;
  }
  Record& acquire(const std::string& client, std::int64_t call_ms, std::int64_t return_ms, Outcome outcome) {
    return add(client, Op::acquire, call_ms, return_ms, outcome);
  }
  Record& release(const std::string& client, std::int64_t call_ms, std::int64_t return_ms,
                  std::uint64_t token, Outcome outcome = Outcome::released, std::uint32_t left = 0) {
    Record& record = add(client, Op::release, call_ms, return_ms, outcome);
    record.token = token;
    record.count = left;
    return record;
  }
  Record& renew(const std::string& client, std::int64_t call_ms, std::int64_t return_ms, std::uint64_t token,
                Outcome outcome = Outcome::renewed, std::uint32_t ttl_ms = 1000) {
    Record& record = add(client, Op::renew, call_ms, return_ms, outcome);
    record.token = token;
    record.ttl_ms = ttl_ms;
    return record;
  }
  Record& held(std::int64_t call_ms, std::int64_t return_ms, const std::string& holder, std::uint64_t token,
               std::uint32_t count = 1) {
    Record& record = add("observer", Op::query, call_ms, return_ms, Outcome::held);
    record.holder = holder;
    record.token = token;
    record.count = count;
    return record;
  }
  Record& free(std::int64_t call_ms, std::int64_t return_ms) {
    return add("observer", Op::query, call_ms, return_ms, Outcome::free);
  }

  Verdict verdict() const { return check(records, context, options); }
  // The rules that are broken, each once, in order of their names.
  std::vector<std::string> broken() const {
    std::vector<std::string> rules;
    for (const Violation& violation : verdict().violations) rules.push_back(violation.rule);
    std::sort(rules.begin(), rules.end());
    rules.erase(std::unique(rules.begin(), rules.end()), rules.end());
    return rules;
  }

  std::vector<Record> records;
  Context context;
  CheckOptions options;

 private:
  Record& add(const std::string& client, Op op, std::int64_t call_ms, std::int64_t return_ms,
              Outcome outcome) {
    Record& record = records.emplace_back();
    record.client = client;
    record.op = op;
    record.resource = "r";
    record.call_ns = call_ms * kMs;
    record.return_ns = return_ms * kMs;
    record.outcome = outcome;
    return record;
  }
};

}  // namespace dlm::chaos::test
