#include "test/chaos/history/checker.h"

#include <algorithm>
#include <utility>

#include "test/chaos/history/rules.h"

namespace dlm::chaos {
namespace {

std::map<std::string, ResourceHistory> by_resource(const std::vector<Record>& records,
                                                   const std::vector<Hold>& holds) {
  std::map<std::string, ResourceHistory> found;
  for (const Hold& hold : holds) found[hold.resource].by_token.push_back(&hold);
  for (const Record& record : records) {
    ResourceHistory& history = found[record.resource];
    if (record.op == Op::acquire) history.acquires.push_back(&record);
    if (record.outcome == Outcome::held || record.outcome == Outcome::free)
      history.queries.push_back(&record);
  }
  for (auto& [resource, history] : found) {
    std::stable_sort(history.by_token.begin(), history.by_token.end(),
                     [](const Hold* a, const Hold* b) { return a->token < b->token; });
  }
  return found;
}

}  // namespace

Verdict check(const std::vector<Record>& records, const Context& context, const CheckOptions& options) {
  Verdict verdict;
  Holds holds = find_holds(records, context, options.holds);
  verdict.records = records.size();
  verdict.holds = holds.holds.size();
  verdict.violations = std::move(holds.violations);
  for (const Record& record : records) {
    ++verdict.outcomes[std::string(to_string(record.op)) + " " + std::string(to_string(record.outcome))];
  }
  for (const auto& [resource, history] : by_resource(records, holds.holds)) {
    check_overlap(history, verdict.violations);
    check_token_order(history, verdict.violations);
    check_order(history, context, options, verdict.violations);
    check_queries(history, context, verdict.violations);
  }
  return verdict;
}

bool is_success(const Record& record) {
  switch (record.outcome) {
    case Outcome::granted:
    case Outcome::released:
    case Outcome::renewed:
    case Outcome::held:
    case Outcome::free:
      return true;
    default:
      return false;
  }
}

std::int64_t longest_gap_ns(const std::vector<Record>& records, const Context& context,
                            const FaultWindow& window) {
  std::vector<std::int64_t> successes;
  for (const Record& record : records) {
    if (!is_success(record)) continue;
    auto group = context.groups.find(record.resource);
    if (!window.group.empty() && (group == context.groups.end() || group->second != window.group)) continue;
    successes.push_back(record.return_ns);
  }
  std::sort(successes.begin(), successes.end());
  std::int64_t longest = 0;
  for (std::size_t i = 1; i < successes.size(); ++i) {
    if (successes[i] < window.from_ns || successes[i - 1] > window.to_ns) continue;
    longest = std::max(longest, successes[i] - successes[i - 1]);
  }
  return longest;
}

}  // namespace dlm::chaos
