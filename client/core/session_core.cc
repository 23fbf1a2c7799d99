// SessionCore: callers, time and the connection.
#include "client/core/session_core.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace dlm::client {

namespace {

constexpr std::uint64_t kWaitGraceMs = 1'000;  // for the group's own "timed out" to come
constexpr std::uint64_t kCancelMs = 1'000;     // for a cancel to be confirmed
constexpr std::uint64_t kSilenceMsMin = 1'000;
constexpr std::size_t kHeartbeatsRemembered = 16;
constexpr std::size_t kSpareMax = 4'096;
constexpr std::uint64_t kBaseAbandonedMs = kSessionTombstoneMs / 2;

}  // namespace

void Output::clear() {
  holds.clear();
  terms.clear();
  ended.clear();
  completions.clear();
  queued.clear();
  heartbeat.reset();
  send.clear();
  send_queries.clear();
  reconnect.clear();
}

SessionCore::SessionCore(const CoreOptions& options, std::uint64_t session_base)
    : options_(options), base_(session_base), random_(session_base | 1) {}

// --- callers

Sequence SessionCore::submit(const Request& request, std::uint64_t now_ms, Output& out) {
  advance(now_ms, out);
  if (closed_) return refuse(Status::unavailable, EndCause::none, "the client is closed", out);
  bool gives_back = request.kind == OperationKind::release;
  if (!gives_back && operations_.size() >= options_.operations_max) {
    return refuse(Status::overloaded, EndCause::none, "too many operations of this client are under way",
                  out);
  }
  if (request.hold && request.kind == OperationKind::release) return submit_release(request, now_ms, out);
  if (request.hold && request.kind == OperationKind::renew) return submit_renew(request, now_ms, out);

  Operation view;
  view.mode = request.mode;
  view.lease = request.lease;
  view.token = request.token;
  view.wait_ms = request.wait_ms;
  view.lease_ms = request.lease_ms;
  view.resource = request.resource;
  view.owner_tag = request.owner_tag;
  view.client_id = request.client_id;
  Pending& op = make(request.kind, view, now_ms);
  op.caller = !request.background;
  op.handle = request.handle;
  if (request.request_timeout_ms != 0) op.timeout_ms = request.request_timeout_ms;
  bool own = request.client_id.empty();
  if (own && request.kind != OperationKind::release && request.lease_ms != 0)
    shorten_leases(op.owned.view(), now_ms, out);
  arm(op);
  send(op, now_ms, out);
  return op.sequence;
}

Sequence SessionCore::submit_release(const Request& request, std::uint64_t now_ms, Output& out) {
  auto at = holds_.find(request.hold.value);
  if (at == holds_.end()) {
    return refuse(Status::not_held, EndCause::expired, "it was lost before it was released", out);
  }
  HoldRecord hold = at->second;
  remove_hold(request.hold);
  Operation view;
  view.lease = hold.lease;
  view.token = hold.token;
  view.resource = hold.resource;
  view.owner_tag = hold.owner_tag;
  Pending& op = make(OperationKind::release, view, now_ms);
  op.caller = !request.background;
  op.group = hold.group;
  if (request.request_timeout_ms != 0) op.timeout_ms = request.request_timeout_ms;
  arm(op);
  send(op, now_ms, out);
  return op.sequence;
}

Sequence SessionCore::submit_renew(const Request& request, std::uint64_t now_ms, Output& out) {
  auto at = holds_.find(request.hold.value);
  if (at == holds_.end()) {
    return refuse(Status::not_held, EndCause::expired, "it was lost before it was renewed", out);
  }
  const HoldRecord& hold = at->second;
  if (hold.lease == LeaseKind::session) {
    return refuse(Status::invalid_argument, EndCause::none,
                  "a hold without a lease of its own is renewed with its session, by itself", out);
  }
  Operation view;
  view.lease = hold.lease;
  view.token = hold.token;
  view.lease_ms = request.lease_ms != 0 ? request.lease_ms : hold.lease_ms;
  view.resource = hold.resource;
  view.owner_tag = hold.owner_tag;
  Pending& op = make(OperationKind::renew, view, now_ms);
  op.caller = !request.background;
  op.group = hold.group;
  op.hold = request.hold;
  if (request.request_timeout_ms != 0) op.timeout_ms = request.request_timeout_ms;
  shorten_leases(op.owned.view(), now_ms, out);
  arm(op);
  send(op, now_ms, out);
  return op.sequence;
}

Sequence SessionCore::refuse(Status status, EndCause cause, const char* message, Output& out) {
  Sequence sequence = window_.take();
  window_.answered(sequence);
  Completion& completion = out.completions.emplace_back();
  completion.sequence = sequence;
  completion.answer.sequence = sequence;
  completion.answer.status = status;
  completion.answer.cause = cause;
  completion.answer.message = message;
  return sequence;
}

void SessionCore::cancel(Sequence acquire, std::uint64_t now_ms, Output& out) {
  advance(now_ms, out);
  auto renumbered = renumbered_.find(acquire.value);
  auto at = operations_.find(renumbered == renumbered_.end() ? acquire.value : renumbered->second.value);
  if (at == operations_.end()) return;
  Pending& op = *at->second;
  if (op.kind != OperationKind::acquire || !op.caller || op.cancelling) return;
  op.cancelling = true;
  if (is_put_off(op) && !op.doubted) {
    complete_error(op, Status::cancelled, "", false, out);
    return finish(op.sequence);
  }
  if (op.first_sent_ms == 0 || op.stage == Stage::granted) {
    complete_error(op, Status::cancelled, "", false, out);
    withdraw(op, now_ms, out);
    return;
  }
  op.give_up_at_ms = now_ms + kCancelMs;
  arm(op);
  withdraw(op, now_ms, out);
}

QueryId SessionCore::query(std::uint32_t timeout_ms, std::uint64_t now_ms, Output& out, bool once) {
  advance(now_ms, out);
  QueryId id(++last_query_);
  queries_.emplace_back(id, PendingQuery{now_ms + timeout_ms, once, connected_});
  wake_by(now_ms + timeout_ms);
  if (connected_) out.send_queries.push_back(id);
  return id;
}

bool SessionCore::end_query(QueryId id) {
  return std::erase_if(queries_, [&](const auto& entry) { return entry.first == id; }) != 0;
}

std::vector<QueryId> SessionCore::take_late_queries() {
  return std::exchange(late_queries_, {});
}

// --- time

void SessionCore::advance(std::uint64_t now_ms, Output& out) {
  if (now_ms < idle_until_ms_) {
    assert(now_ms < next_due_ms());
    return;
  }
  expire_terms(now_ms, out);
  expire_leases(now_ms, out);
  while (!deadlines_.empty() && deadlines_.top().at_ms <= now_ms) {
    DeadlineQueue::Entry entry = deadlines_.top();
    deadlines_.pop();
    auto at = operations_.find(entry.id);
    if (at == operations_.end() || at->second->armed_ms != entry.at_ms) continue;
    at->second->armed_ms = 0;
    due(*at->second, now_ms, out);
  }
  std::erase_if(queries_, [&](const auto& entry) {
    if (entry.second.give_up_at_ms > now_ms) return false;
    late_queries_.push_back(entry.first);
    return true;
  });
  if (connected_) {
    if (sessions_.any_open() && now_ms >= next_heartbeat_ms()) beat(now_ms, out);
    search_where_due(now_ms, out);
    if (awaits_anything() && now_ms >= expecting_ms_ + silence_ms_max()) {
      expecting_ms_ = now_ms;
      out.reconnect = "it has been silent for too long";
    }
  }
  idle_until_ms_ = next_due_ms();
}

// When an operation has to be looked at again.
std::uint64_t SessionCore::due_ms(const Pending& op) const {
  std::uint64_t at = kNever;
  if (op.retry_at_ms != 0) at = std::min(at, op.retry_at_ms);
  if (op.give_up_at_ms != 0) at = std::min(at, op.give_up_at_ms);
  if (!op.caller) return at;
  if (is_put_off(op)) return std::min(at, overload_end_ms(op));
  if (op.stage == Stage::pending) {
    at = std::min(at, op.submitted_ms + op.timeout_ms);
    const bool waits = op.overload && op.kind == OperationKind::acquire && op.wait_ms != 0;
    return waits && op.wait_until_ms != kNever ? std::min(at, op.wait_until_ms + kWaitGraceMs) : at;
  }
  if (op.stage != Stage::queued) return at;
  if (op.wait_ms != kWaitForeverMs) at = std::min(at, op.queued_ms + op.wait_ms + kWaitGraceMs);
  if (!connected_) at = std::min(at, std::max(disconnected_ms_, op.queued_ms) + op.timeout_ms);
  // Its group has not been heard of for so long that the wait may be gone there.
  const GroupSession* session = sessions_.find(op.group);
  std::uint64_t heard_ms = std::max(op.in_line_ms, session ? session->heard_ms : 0);
  return std::min(at, heard_ms + heartbeat_interval_ms() + op.timeout_ms);
}

void SessionCore::arm(Pending& op) {
  std::uint64_t at = due_ms(op);
  if (at == kNever || (op.armed_ms != 0 && op.armed_ms <= at)) return;
  op.armed_ms = at;
  wake_by(at);
  deadlines_.push(at, op.sequence.value);
  deadlines_.prune(operations_.size(), [this](const DeadlineQueue::Entry& entry) {
    auto live = operations_.find(entry.id);
    return live == operations_.end() || live->second->armed_ms != entry.at_ms;
  });
}

void SessionCore::due(Pending& op, std::uint64_t now_ms, Output& out) {
  if (op.retry_at_ms != 0 && op.retry_at_ms <= now_ms) {
    op.retry_at_ms = 0;
    begin_again(op, now_ms);
    send(op, now_ms, out);
  }
  if (due_ms(op) <= now_ms) {
    give_up(op, out, now_ms);
  } else {
    arm(op);
  }
}

// The caller of `op` has waited long enough, or its outcome can no longer be found out.
void SessionCore::give_up(Pending& op, Output& out, std::uint64_t now_ms) {
  if (is_put_off(op)) return give_up_refused(op, now_ms, out);
  bool sent = op.first_sent_ms != 0;
  op.give_up_at_ms = 0;
  std::string why = !connected_ ? unreachable_why_
                    : op.group  ? to_string(op.group) + " did not answer in time"
                                : std::string("no answer in time");
  if (op.doubtful) {
    complete_error(op, Status::session_expired, "the session ended before the answer came", true, out);
  } else if (op.kind == OperationKind::acquire && op.cancelling) {
    complete_error(op, Status::cancelled, "not confirmed yet (" + why + "); a late grant will be given back",
                   false, out);
  } else if (op.stage == Stage::queued && connected_ && op.wait_ms != kWaitForeverMs &&
             now_ms >= op.queued_ms + op.wait_ms + kWaitGraceMs) {
    complete_error(op, Status::timed_out, "by the client's clock; " + why, false, out);
  } else {
    complete_error(op, Status::unavailable, why, sent, out);
  }
  if (op.kind == OperationKind::acquire) {
    withdraw(op, now_ms, out);
  } else if (op.kind == OperationKind::renew || op.doubtful) {
    finish(op.sequence);
  }  // a release goes on in the background
}

std::uint64_t SessionCore::next_due_ms() const {
  std::uint64_t at = kNever;
  if (!deadlines_.empty()) at = std::min(at, deadlines_.top().at_ms);
  if (!leases_.empty()) at = std::min(at, leases_.top().at_ms);
  for (const LiveTerm& live : sessions_.terms()) {
    at = std::min(at, sessions_.deadline_ms(live));
    if (!live.in_jeopardy) at = std::min(at, sessions_.jeopardy_ms(live));
  }
  for (const auto& [id, query] : queries_) at = std::min(at, query.give_up_at_ms);
  if (!connected_) return at;
  for (const LiveTerm& live : sessions_.terms()) at = std::min(at, search_due_ms(live));
  if (sessions_.any_open()) at = std::min(at, next_heartbeat_ms());
  if (awaits_anything()) at = std::min(at, expecting_ms_ + silence_ms_max());
  return at;
}

// --- the connection

std::uint64_t SessionCore::heartbeat_interval_ms() const {
  return std::max<std::uint64_t>(1, sessions_.ttl_ms_min(options_.ttl_ms) / 3);
}

std::uint64_t SessionCore::next_heartbeat_ms() const {
  std::uint64_t oldest = kNever;
  for (const GroupSession& session : sessions_.all()) {
    if (session.open) oldest = std::min(oldest, session.sent_ms);
  }
  return std::max(oldest == kNever ? 0 : oldest, heartbeat_ms_) + heartbeat_interval_ms();
}

std::uint64_t SessionCore::silence_ms_max() const {
  return std::max(kSilenceMsMin, heartbeat_interval_ms());
}

void SessionCore::expect_answer(std::uint64_t now_ms) {
  if (awaits_anything()) return;
  expecting_ms_ = now_ms;
  wake_by(now_ms + silence_ms_max());
}

void SessionCore::beat(std::uint64_t now_ms, Output& out) {
  Heartbeat heartbeat;
  heartbeat.number = ++heartbeat_number_;
  heartbeat.groups = sessions_.in_use();
  heartbeat_ms_ = now_ms;
  if (heartbeats_.size() == kHeartbeatsRemembered) heartbeats_.erase(heartbeats_.begin());
  heartbeats_.emplace_back(heartbeat.number, now_ms);
  if (sessions_.any_open()) {
    expect_answer(now_ms);
    heartbeat_unanswered_ = true;
  }
  out.heartbeat = std::move(heartbeat);
}

SessionCore::Pending& SessionCore::make(OperationKind kind, const Operation& view, std::uint64_t now_ms) {
  std::unique_ptr<Pending> op;
  if (spare_.empty()) {
    op = std::make_unique<Pending>();
  } else {
    op = std::move(spare_.back());
    spare_.pop_back();
    *op = Pending();
  }
  op->kind = kind;
  op->lease = view.lease;
  op->sequence = op->name = window_.take();
  op->timeout_ms = options_.request_timeout_ms;
  op->wait_ms = view.wait_ms;
  op->wait_until_ms = view.wait_ms == kWaitForeverMs ? kNever : now_ms + view.wait_ms;
  op->submitted_ms = now_ms;
  Operation named = view;
  named.kind = kind;
  named.sequence = op->sequence;
  op->owned = OwnedOperation(named);
  Pending& result = *op;
  operations_.emplace(op->sequence.value, std::move(op));
  return result;
}

void SessionCore::send(Pending& op, std::uint64_t now_ms, Output& out) {
  if (!connected_) return;
  if (op.renumber) renumber(op);
  if (op.first_sent_ms == 0) op.first_sent_ms = std::max<std::uint64_t>(1, now_ms);
  if (!op.unanswered) {
    expect_answer(now_ms);
    op.unanswered = true;
    ++unanswered_;
  }
  out.send.push_back(op.sequence);
}

void SessionCore::finish(Sequence sequence) {
  auto at = operations_.find(sequence.value);
  if (at == operations_.end()) return;
  Pending& op = *at->second;
  mark_answered(op);
  // Also one that is dropped unanswered: should it still be on its way somewhere, it is not to be done any
  // more.
  window_.answered(sequence);
  if (op.stage == Stage::granted) --ungranted_;
  if (op.name != op.sequence) renumbered_.erase(op.name.value);
  if (op.helper) {
    if (auto helper = operations_.find(op.helper.value); helper != operations_.end()) {
      helper->second->subject = Sequence();
    }
  }
  if (spare_.size() < kSpareMax) spare_.push_back(std::move(at->second));
  operations_.erase(at);
}

std::vector<Sequence> SessionCore::sequences_sorted() const {
  std::vector<Sequence> list;
  list.reserve(operations_.size());
  for (const auto& entry : operations_) list.emplace_back(entry.first);
  std::sort(list.begin(), list.end());
  return list;
}

HelloData SessionCore::hello(std::uint64_t fresh_base, std::uint64_t now_ms, Output& out) {
  advance(now_ms, out);
  if (contact_ms_ != 0 && now_ms - contact_ms_ >= kBaseAbandonedMs) abandon_base(fresh_base, now_ms, out);
  return {base_, options_.ttl_ms, sessions_.in_use()};
}

void SessionCore::abandon_base(std::uint64_t fresh_base, std::uint64_t now_ms, Output& out) {
  // A longer TTL keeps the sessions alive for longer than that: then they are known not to be forgotten.
  if (!sessions_.terms().empty()) return;
  look_again();
  base_ = fresh_base;
  sessions_.clear();
  contact_ms_ = now_ms;
  for (Sequence sequence : sequences_sorted()) {
    Pending& op = *operations_.at(sequence.value);
    // What was not sent yet begins under the new base, but for what only tidies up after the old one.
    bool tidies_up = !op.caller && op.lease != LeaseKind::detached;
    if (op.first_sent_ms == 0 && !tidies_up) continue;
    complete_error(op, Status::session_expired, "there was no contact for too long", true, out);
    finish(sequence);
  }
}

void SessionCore::connected(std::uint64_t now_ms, Output& out) {
  look_again();
  connected_ = true;
  contact_ms_ = now_ms;
  expecting_ms_ = now_ms;
  advance(now_ms, out);
  if (sessions_.any_open()) beat(now_ms, out);
  for (Sequence sequence : sequences_sorted()) {
    auto at = operations_.find(sequence.value);
    if (at == operations_.end()) continue;  // ended by one before it
    Pending& op = *at->second;
    if (op.doubtful) {
      give_up(op, out, now_ms);
    } else if (op.stage == Stage::withdrawn) {
      cancel_unless_under_way(op, now_ms, out);
    } else if (op.stage != Stage::granted && !is_put_off(op)) {
      op.retry_at_ms = 0;
      if (!op.unanswered) send(op, now_ms, out);
    }
  }
  out.send_queries.clear();
  for (auto& [id, query] : queries_) {
    query.sent = true;
    out.send_queries.push_back(id);
  }
}

void SessionCore::disconnected(const std::string& why, std::uint64_t now_ms, Output& out) {
  look_again();
  unreachable_why_ = why;
  if (connected_ || disconnected_ms_ == 0) disconnected_ms_ = now_ms;
  bool first = connected_;
  connected_ = false;
  heartbeat_unanswered_ = false;
  unanswered_ = 0;
  if (first) {
    for (auto& entry : operations_) {
      entry.second->doubted = entry.second->doubted || entry.second->unanswered;
      entry.second->unanswered = false;
      arm(*entry.second);
    }
  }
  out.heartbeat.reset();
  out.send.clear();
  out.send_queries.clear();
  std::erase_if(queries_, [&](const auto& entry) {
    if (!entry.second.once || !entry.second.sent) return false;
    late_queries_.push_back(entry.first);
    return true;
  });
  advance(now_ms, out);
}

void SessionCore::refused(Status status, const std::string& message, std::uint64_t now_ms, Output& out) {
  advance(now_ms, out);
  for (Sequence sequence : sequences_sorted()) {
    Pending& op = *operations_.at(sequence.value);
    if (!op.caller || op.first_sent_ms != 0) continue;
    complete_error(op, status, message, false, out);
    if (op.kind != OperationKind::release) finish(sequence);
  }
}

void SessionCore::heard(std::uint64_t now_ms) {
  contact_ms_ = now_ms;
  expecting_ms_ = now_ms;
}

std::optional<Operation> SessionCore::operation(Sequence sequence, std::uint64_t now_ms) const {
  auto at = operations_.find(sequence.value);
  if (at == operations_.end()) return std::nullopt;
  const Pending& op = *at->second;
  Operation view = op.owned.view();
  view.deadline_ms = op.timeout_ms;
  view.wait_ms = op.wait_ms;
  if (op.caller && op.stage == Stage::pending) {
    // A little less for the routers, whose refusal knows the reason and is to come before the caller's time
    // is over.
    std::uint64_t end = op.submitted_ms + op.timeout_ms - std::min<std::uint64_t>(op.timeout_ms / 10, 200);
    view.deadline_ms = end > now_ms ? static_cast<std::uint32_t>(end - now_ms) : 1;
  }
  return view;
}

void SessionCore::close(std::uint64_t now_ms, Output& out) {
  advance(now_ms, out);
  closed_ = true;
  for (Sequence sequence : sequences_sorted()) {
    auto at = operations_.find(sequence.value);
    if (at == operations_.end()) continue;
    Pending& op = *at->second;
    bool sent = op.first_sent_ms != 0;
    if (op.caller) complete_error(op, Status::unavailable, "the client is closed", sent, out);
    if (op.kind == OperationKind::acquire && op.stage != Stage::withdrawn) {
      withdraw(op, now_ms, out);
    } else if (op.kind == OperationKind::renew) {
      finish(sequence);
    }
  }
  std::vector<std::uint64_t> ids;
  for (const auto& entry : holds_) ids.push_back(entry.first);
  std::sort(ids.begin(), ids.end());
  for (std::uint64_t id : ids) {
    lose(HoldId(id), LostCause::client_closed, "its client was closed", true, now_ms, out);
  }
}

}  // namespace dlm::client
