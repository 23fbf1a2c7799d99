// SessionCore: time and the connection.
#include <algorithm>
#include <cassert>
#include <utility>

#include "client/core/session_core.h"

namespace dlm::client {

namespace {

constexpr std::uint64_t kWaitGraceMs = 1'000;  // for the group's own "timed out" to come
constexpr std::uint64_t kSilenceMsMin = 1'000;
constexpr std::size_t kHeartbeatsRemembered = 16;
constexpr std::uint64_t kBaseAbandonedMs = kSessionTombstoneMs / 2;

}  // namespace

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

}  // namespace dlm::client
