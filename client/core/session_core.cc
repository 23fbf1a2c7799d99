// SessionCore: callers, and the operations that go out for them.
#include "client/core/session_core.h"

#include <algorithm>
#include <utility>

namespace dlm::client {

namespace {

constexpr std::uint64_t kCancelMs = 1'000;  // for a cancel to be confirmed
constexpr std::size_t kSpareMax = 4'096;

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

// --- operations

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
