#include "test/chaos/history/rules.h"

#include <algorithm>

namespace dlm::chaos {
namespace {

bool later(const Hold* a, const Hold* b) {
  return b == nullptr || a->sure_until_ns > b->sure_until_ns;
}

}  // namespace

// Grants follow one another in the order of their tokens. So whoever conflicts with a later grant and has a
// smaller token had ended when that grant was made, which was before it returned.
void check_overlap(const ResourceHistory& history, std::vector<Violation>& violations) {
  const Hold* last = nullptr;  // of those before, the one that is sure to live longest
  const Hold* last_exclusive = nullptr;
  for (const Hold* hold : history.by_token) {
    const Hold* before = hold->mode == LockMode::exclusive ? last : last_exclusive;
    if (before != nullptr && before->sure_until_ns > hold->acquired.return_ns) {
      violations.push_back(
          {"overlap",
           "granted to " + hold->client + " while " + before->client + " held it for sure, " +
               std::to_string((before->sure_until_ns - hold->acquired.return_ns) / 1'000'000) +
               " ms too early at least",
           {before->acquired, hold->acquired}});
    }
    if (later(hold, last)) last = hold;
    if (hold->mode == LockMode::exclusive && later(hold, last_exclusive)) last_exclusive = hold;
  }
}

// A token that was known before a grant was asked for is smaller than that grant's.
void check_token_order(const ResourceHistory& history, std::vector<Violation>& violations) {
  struct Known {
    std::int64_t at_ns;
    const Record* record;
  };
  std::vector<Known> known;
  for (const Hold* hold : history.by_token) known.push_back({hold->acquired.return_ns, &hold->acquired});
  for (const Record* query : history.queries) {
    if (query->outcome == Outcome::held) known.push_back({query->return_ns, query});
  }
  std::sort(known.begin(), known.end(), [](const Known& a, const Known& b) { return a.at_ns < b.at_ns; });
  std::vector<const Hold*> by_call = history.by_token;
  std::sort(by_call.begin(), by_call.end(),
            [](const Hold* a, const Hold* b) { return a->acquired.call_ns < b->acquired.call_ns; });
  const Record* highest = nullptr;
  std::size_t next = 0;
  for (const Hold* hold : by_call) {
    for (; next < known.size() && known[next].at_ns < hold->acquired.call_ns; ++next) {
      if (highest == nullptr || known[next].record->token > highest->token) highest = known[next].record;
    }
    if (highest != nullptr && highest->token >= hold->token) {
      violations.push_back(
          {"token order", "a later grant has a token that is not greater", {*highest, hold->acquired}});
    }
  }
  for (std::size_t i = 1; i < history.by_token.size(); ++i) {
    const Hold* a = history.by_token[i - 1];
    const Hold* b = history.by_token[i];
    if (a->token == b->token) {
      violations.push_back({"token order", "two grants have one token", {a->acquired, b->acquired}});
    }
  }
}

// First come, first served, for those whose request had time to arrive: no fault was in its way.
void check_order(const ResourceHistory& history, const Context& context, const CheckOptions& options,
                 std::vector<Violation>& violations) {
  auto hindered = [&](const Record& acquire) {
    if (state_lost_between(context, acquire.call_ns, acquire.return_ns)) return true;  // with the line
    return std::any_of(context.faults.begin(), context.faults.end(), [&](const FaultWindow& fault) {
      return fault.from_ns <= acquire.call_ns + options.fifo_tolerance_ns && fault.to_ns >= acquire.call_ns;
    });
  };
  const Hold* latest = nullptr;  // of those granted so far, the one that came last
  for (const Hold* hold : history.by_token) {
    const Record& acquire = hold->acquired;
    if (latest != nullptr && latest->acquired.call_ns > acquire.call_ns + options.fifo_tolerance_ns &&
        !hindered(acquire)) {
      violations.push_back({"order",
                            latest->client + " came " +
                                std::to_string((latest->acquired.call_ns - acquire.call_ns) / 1'000'000) +
                                " ms later and was granted first",
                            {acquire, latest->acquired}});
    }
    if (latest == nullptr || acquire.call_ns > latest->acquired.call_ns) latest = hold;
  }
}

namespace {

// Whether the count that the query saw was one of those that the hold may have had meanwhile.
bool count_possible(const Hold& hold, const Record& query) {
  std::uint32_t before = 0;
  for (const CountStep& step : hold.counts) {
    if (step.sure_ns < query.call_ns) before = step.count;
  }
  if (query.count == before) return true;
  // What its client does not trust any more its library gives back, acquisition by acquisition, which nobody
  // writes down.
  if (query.return_ns > hold.whole_until_ns && query.count < before) return true;
  return std::any_of(hold.counts.begin(), hold.counts.end(), [&](const CountStep& step) {
    return step.count == query.count && step.from_ns <= query.return_ns && step.sure_ns >= query.call_ns;
  });
}

// Whether the client asked for the lock in a way whose outcome nobody heard (so far): then a hold of it is no
// wonder.
bool may_hold(const ResourceHistory& history, const Record& query) {
  return std::any_of(history.acquires.begin(), history.acquires.end(), [&](const Record* acquire) {
    return acquire->client == query.holder && acquire->call_ns <= query.return_ns &&
           (acquire->outcome == Outcome::unknown ||
            (acquire->outcome != Outcome::granted && acquire->return_ns >= query.call_ns));
  });
}

void check_held(const ResourceHistory& history, const Hold* hold, const Record& query,
                std::vector<Violation>& violations) {
  if (hold == nullptr) {
    if (may_hold(history, query)) return;
    Violation phantom{
        "phantom hold", "seen to be held by " + query.holder + ", who was never granted it", {query}};
    for (const Record* acquire : history.acquires) {
      if (acquire->client == query.holder && acquire->return_ns < query.call_ns)
        phantom.records = {*acquire, query};
    }
    violations.push_back(std::move(phantom));
  } else if (hold->client != query.holder) {
    violations.push_back({"exactly once", "one token for two clients", {hold->acquired, query}});
  } else if (hold->released_ns < query.call_ns) {
    violations.push_back(
        {"stale read", "seen to be held after its end was acknowledged", {hold->acquired, query}});
  } else if (hold->acquired.call_ns > query.return_ns) {
    violations.push_back({"token order", "seen before it was asked for", {hold->acquired, query}});
  } else if (hold->mode == LockMode::exclusive && !count_possible(*hold, query)) {
    violations.push_back({"count", "seen with a count that it never had", {hold->acquired, query}});
  }
}

}  // namespace

// Queries are answered behind a barrier: they show what was true at some moment between call and return.
void check_queries(const ResourceHistory& history, const Context& context,
                   std::vector<Violation>& violations) {
  std::vector<const Hold*> by_start = history.by_token;
  std::sort(by_start.begin(), by_start.end(),
            [](const Hold* a, const Hold* b) { return a->sure_from_ns() < b->sure_from_ns(); });
  for (const Record* query : history.queries) {
    auto of_token =
        std::lower_bound(history.by_token.begin(), history.by_token.end(), query->token,
                         [](const Hold* hold, std::uint64_t token) { return hold->token < token; });
    const bool known = of_token != history.by_token.end() && (*of_token)->token == query->token;
    if (query->outcome == Outcome::held) check_held(history, known ? *of_token : nullptr, *query, violations);
    auto after =
        std::upper_bound(by_start.begin(), by_start.end(), query->call_ns,
                         [](std::int64_t at_ns, const Hold* hold) { return at_ns < hold->sure_from_ns(); });
    if (after == by_start.begin()) continue;
    const Hold& sure = **std::prev(after);
    if (sure.sure_until_ns < query->return_ns) continue;
    if (state_lost_between(context, sure.acquired.call_ns, query->return_ns)) continue;
    if (query->outcome == Outcome::free || (query->token != sure.token && sure.mode == LockMode::exclusive)) {
      violations.push_back(
          {"stale read", "does not show the hold of " + sure.client, {sure.acquired, *query}});
    }
  }
}

}  // namespace dlm::chaos
