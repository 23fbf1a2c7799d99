#include "test/chaos/history/holds.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

namespace dlm::chaos {
namespace {

using ClaimKey = std::pair<std::string, std::uint64_t>;  // resource, token

// Follows one client on one resource.
class Follower {
 public:
  Follower(const std::map<ClaimKey, std::int64_t>& claims, const Context& context, const HoldOptions& options,
           Holds& found)
      : claims_(claims), context_(context), options_(options), found_(found) {}

  void follow(const std::vector<const Record*>& records) {
    for (const Record* record : records) step(*record);
    if (hold_) close(deadline_ns_);
  }

 private:
  void step(const Record& record) {
    switch (record.op) {
      case Op::acquire:
        if (record.outcome == Outcome::granted) granted(record);
        if (record.outcome == Outcome::unknown && hold_) perhaps_counted(record, count_ + 1);
        if (record.outcome == Outcome::timeout && sure_at(record.return_ns)) {
          report("count", "an owner that holds the lock was refused it", record);
        }
        break;
      case Op::release:
        ended_or(record, Outcome::released, [&] { released(record); });
        break;
      case Op::renew:
        ended_or(record, Outcome::renewed, [&] { renewed(record); });
        break;
      case Op::query:
        break;
    }
  }

  void granted(const Record& record) {
    if (record.count == 0) return report("count", "a grant without a count", record);
    if (record.count > 1) return granted_again(record);
    if (sure_at(record.return_ns))
      report("lost hold", "a new hold was given while the old one was to last", record);
    if (hold_) close(std::min(deadline_ns_, record.call_ns));
    hold_.emplace();
    hold_->client = record.client;
    hold_->resource = record.resource;
    hold_->token = record.token;
    hold_->mode = record.mode;
    hold_->acquired = record;
    count_ = 0;
    evidence_ns_ = record.call_ns;  // by the return of a slow answer it may be over
    deadline_ns_ = record.call_ns;
    auto claim = claims_.find({record.resource, record.token});
    if (claim != claims_.end()) deadline_ns_ = claim->second - options_.clock_tolerance_ns;
    counted(record, 1);
    leased(record);
  }

  void granted_again(const Record& record) {
    if (!hold_ || record.token != hold_->token) {
      return report("exactly once", "counted again, but its client had no such hold", record);
    }
    if (record.count != count_ + 1) {
      report("count", "expected " + std::to_string(count_ + 1) + " acquisitions", record);
    }
    counted(record, record.count);
    leased(record);
  }

  void released(const Record& record) {
    if (!hold_ || record.token != hold_->token) {
      return report("exactly once", "released, but its client had no such hold", record);
    }
    if (record.count + 1 != count_) {
      report("count", "expected " + std::to_string(count_ - 1) + " acquisitions to remain", record);
    }
    evidence_ns_ = record.call_ns;
    if (record.count != 0) return counted(record, record.count);
    counted(record, 0);
    hold_->released_ns = record.return_ns;
    close(record.call_ns);
  }

  void renewed(const Record& record) {
    if (!hold_ || record.token != hold_->token) {
      return report("exactly once", "renewed, but its client had no such hold", record);
    }
    evidence_ns_ = record.call_ns;
    leased(record);
  }

  // A release or renewal that succeeded, or what its failure says of the hold.
  template <class Success>
  void ended_or(const Record& record, Outcome success, Success succeeded) {
    if (record.outcome == success) return succeeded();
    if (record.outcome == Outcome::failed || !hold_) return;
    if (record.outcome == Outcome::unknown) {
      if (record.op != Op::release) return;
      perhaps_counted(record, count_ - 1);
      return close(std::min(deadline_ns_, record.call_ns));
    }
    if (record.token != 0 && record.token != hold_->token) return;  // of an earlier hold
    if (sure_at(record.return_ns)) {
      report("lost hold", "the service had ended it before its lease did", record);
    }
    hold_->released_ns = record.return_ns;
    close(std::min(deadline_ns_, record.call_ns));
  }

  // The lease that began no earlier than the call.
  void leased(const Record& record) {
    const std::int64_t end =
        record.call_ns + std::int64_t{record.ttl_ms} * 1'000'000 - options_.clock_tolerance_ns;
    deadline_ns_ = std::max(deadline_ns_, end);
    evidence_ns_ = std::max(evidence_ns_, record.call_ns);
  }

  void counted(const Record& record, std::uint32_t count) {
    count_ = count;
    hold_->counts.push_back({record.call_ns, record.return_ns, count});
  }

  void perhaps_counted(const Record& record, std::uint32_t count) {
    hold_->counts.push_back({record.call_ns, INT64_MAX, count});
  }

  // A group that lost its state may have forgotten the hold, though nobody else may have it before its time.
  bool sure_at(std::int64_t at_ns) const {
    return hold_ && deadline_ns_ > at_ns && !state_lost_between(context_, hold_->acquired.call_ns, at_ns);
  }

  void close(std::int64_t end_ns) {
    hold_->sure_until_ns = std::max(end_ns, evidence_ns_);
    found_.holds.push_back(std::move(*hold_));
    hold_.reset();
  }

  void report(std::string rule, std::string what, const Record& record) {
    Violation violation{std::move(rule), std::move(what), {}};
    if (hold_) violation.records.push_back(hold_->acquired);
    violation.records.push_back(record);
    found_.violations.push_back(std::move(violation));
  }

  const std::map<ClaimKey, std::int64_t>& claims_;
  const Context& context_;
  const HoldOptions& options_;
  Holds& found_;
  std::optional<Hold> hold_;
  std::uint32_t count_ = 0;
  std::int64_t deadline_ns_ = 0;  // sure until then unless it is released
  std::int64_t evidence_ns_ = 0;  // an answer says that it lived then
};

// One operation at a time, and none after an unknown outcome: the ground that the other rules stand on.
void check_one_at_a_time(const std::vector<const Record*>& of_client, Holds& found) {
  for (std::size_t i = 1; i < of_client.size(); ++i) {
    const Record& before = *of_client[i - 1];
    const Record& record = *of_client[i];
    if (record.call_ns < before.return_ns) {
      found.violations.push_back({"history", "a client did two things at a time", {before, record}});
    } else if (before.outcome == Outcome::unknown) {
      found.violations.push_back(
          {"history", "a client went on under its name after an unknown outcome", {before, record}});
    }
  }
}

}  // namespace

Holds find_holds(const std::vector<Record>& records, const Context& context, const HoldOptions& options) {
  Holds found;
  std::map<std::string, std::map<ClaimKey, std::int64_t>> claimed;
  for (const Claim& claim : context.claims)
    claimed[claim.client][{claim.resource, claim.token}] = claim.until_ns;
  std::map<std::string, std::vector<const Record*>> by_client;
  for (const Record& record : records) by_client[record.client].push_back(&record);
  for (auto& [client, of_client] : by_client) {
    std::stable_sort(of_client.begin(), of_client.end(),
                     [](const Record* a, const Record* b) { return a->call_ns < b->call_ns; });
    check_one_at_a_time(of_client, found);
    std::map<std::string, std::vector<const Record*>> by_resource;
    for (const Record* record : of_client) by_resource[record->resource].push_back(record);
    for (const auto& [resource, of_resource] : by_resource) {
      Follower(claimed[client], context, options, found).follow(of_resource);
    }
  }
  std::map<std::pair<std::string, ClaimKey>, std::int64_t> first;
  for (const Claim& claim : context.claims) {
    const std::int64_t until_ns = claim.until_ns - options.clock_tolerance_ns;
    auto [at, is_new] = first.try_emplace({claim.client, {claim.resource, claim.token}}, until_ns);
    if (!is_new) at->second = std::min(at->second, until_ns);
  }
  for (Hold& hold : found.holds) {
    hold.whole_until_ns = hold.sure_until_ns;
    auto at = first.find({hold.client, {hold.resource, hold.token}});
    if (at != first.end()) hold.whole_until_ns = std::min(hold.whole_until_ns, at->second);
  }
  return found;
}

}  // namespace dlm::chaos
