// GroupCore as the serving primary: what waits for barriers, renewals and reads, and what they are answered.
#include <algorithm>
#include <utility>

#include "schema/limits.h"
#include "server/core/group_core_impl.h"

namespace dlm::server {

// --- renewals and reads ----------------------------------------------------------------------------------

bool GroupCore::Impl::take_barriers(const Instant& now) {
  std::uint64_t barrier = 0;
  for (Reads& reads : reads_) {
    if (reads.barrier != 0) continue;
    if (reads.after_batch > collector_.last_taken()) break;
    if (barrier == 0) barrier = replica_.barrier(now.ms, wanted_);
    if (barrier == 0) break;  // does not serve any more; stop_serving() follows
    reads.barrier = barrier;
    reads.logged = replica_.last_index();
  }
  return barrier != 0;
}

// A barrier may pass while what was logged before it is still on its way to this primary's own disk. The end
// of the very session that is renewed may be among that.
void GroupCore::Impl::answer_reads(std::uint64_t barrier_passed, const Instant& now) {
  barrier_passed_ = std::max(barrier_passed_, barrier_passed);
  while (!reads_.empty() && reads_.front().barrier != 0 && reads_.front().barrier <= barrier_passed_ &&
         reads_.front().logged <= replica_.applied_index()) {
    Reads reads = std::move(reads_.front());
    reads_.pop_front();
    for (const Waiter& waiter : reads.heartbeats) answer_heartbeat(waiter);
    for (const Reads::Renewal& renewal : reads.renewals) answer_renewal(renewal);
    for (const Reads::Query& read : reads.queries) answer_query(read, now);
  }
}

void GroupCore::Impl::answer_heartbeat(const Waiter& waiter) {
  Answer result;
  result.session = waiter.session;
  result.sequence = waiter.sequence;
  result.status = table_->session_status(waiter.session);
  if (result.status == Status::ok) {
    result.ttl_ms = table_->session_ttl_ms(waiter.session);
    result.moved_to = table_->moved_to(waiter.session);
  }
  answer(waiter, std::move(result));
}

void GroupCore::Impl::answer_renewal(const Reads::Renewal& renewal) {
  const Operation op = renewal.operation.view();
  const Waiter waiter{renewal.slot, op.session, op.sequence};
  if (table_->renewal_needs_log(op)) {  // what was logged before it has changed the hold
    collect(op, waiter);
    return;
  }
  Answer result = table_->check_renewal(op);
  result.session = op.session;
  result.sequence = op.sequence;
  answer(waiter, std::move(result));
}

void GroupCore::Impl::answer_query(const Reads::Query& read, const Instant& now) {
  --queries_;
  const GroupQuery& query = read.query;
  GroupOutput::Reported reported{read.request, Status::ok, {}, {}};
  switch (query.kind) {
    case GroupQuery::Kind::inspect: {
      if (!table_->owns(query.text)) {
        reported.status = Status::moved;
        break;
      }
      LockReport lock = table_->inspect(query.text, options_.waiters_listed_max);
      fill_left_ms(lock, now);
      reported.content = std::move(lock);
      break;
    }
    case GroupQuery::Kind::list: {
      const std::uint32_t limit = query.limit == 0 ? options_.list_limit_max : query.limit;
      LockPage page = table_->list(query.text, query.cursor, std::min(limit, options_.list_limit_max));
      for (LockReport& lock : page.locks) fill_left_ms(lock, now);
      reported.content = std::move(page);
      break;
    }
    case GroupQuery::Kind::step_down:
      break;  // never waits for a barrier
    case GroupQuery::Kind::status:
      reported.content = report(now.ms);
      break;
  }
  out_.reports.push_back(std::move(reported));
}

void GroupCore::Impl::fill_left_ms(LockReport& lock, const Instant& now) const {
  lock.group = group_;
  const LockTable::Deadlines deadlines = table_->deadlines_of(lock);
  for (std::size_t i = 0; i < lock.holders.size() && i < deadlines.holds.size(); ++i) {
    const auto& [session, token] = deadlines.holds[i];
    const std::uint32_t session_ms = session ? clock_.session_left_ms(session, now.ms) : UINT32_MAX;
    const std::uint32_t lease_ms = token ? clock_.hold_left_ms(token, lock.resource, now.ms) : UINT32_MAX;
    lock.holders[i].left_ms = std::min(session_ms, lease_ms);
  }
  for (std::size_t i = 0; i < lock.waiters.size() && i < deadlines.waits.size(); ++i) {
    const auto& [session, sequence] = deadlines.waits[i];
    WaitReport& wait = lock.waiters[i];
    if (wait.left_ms != kWaitForeverMs) wait.left_ms = clock_.wait_left_ms(session, sequence, now.ms);
  }
}

GroupReport GroupCore::Impl::report(TimeMs now) const {
  const coordinator::GroupConfig& config = replica_.config().config;
  const TableStats stats = table_->stats();
  GroupReport report;
  report.group = group_;
  report.epoch = config.epoch;
  report.primary = coordinator::to_string(config.primary);
  for (const MemberName& member : config.in_sync) report.in_sync.push_back(coordinator::to_string(member));
  for (const MemberName& member : alive_) report.members.push_back(coordinator::to_string(member));
  report.era = config.era;
  report.last_index = replica_.last_index();
  report.committed_index = replica_.committed_index();
  report.locks_held = stats.locks_held;
  report.waiters = stats.waiters;
  report.sessions = stats.sessions;
  const LockTableLimits& limits = table_->limits();
  report.holds_per_client_max = limits.holds_per_client_max;
  report.waits_per_client_max = limits.waits_per_client_max;
  report.sessions_max = limits.sessions_max;
  report.operations_pending = submits_.operations();
  report.operations_refused = refused_;
  report_moves(report, now);
  if (recovery_left_ms(now) != 0) report.problem = describe_recovery(now);
  return report;
}

void GroupCore::Impl::fail(const Reads& reads) {
  for (const Waiter& waiter : reads.heartbeats) answer_not_primary(waiter);
  for (const Reads::Renewal& renewal : reads.renewals) {
    const Operation op = renewal.operation.view();
    answer_not_primary({renewal.slot, op.session, op.sequence});
  }
  for (const Reads::Query& read : reads.queries) {
    --queries_;
    out_.reports.push_back({read.request, Status::not_primary, who_is_primary(), {}});
  }
}

}  // namespace dlm::server
