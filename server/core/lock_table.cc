#include "server/core/lock_table.h"

#include <algorithm>
#include <utility>

#include "schema/limits.h"
#include "server/core/lock_table_codec.h"
#include "server/core/lock_table_impl.h"
#include "server/core/lock_table_snapshot.h"

namespace dlm::server {

LockTable::LockTable() : impl_(std::make_unique<Impl>()) {}
LockTable::~LockTable() = default;
LockTable::LockTable(LockTable&&) noexcept = default;
LockTable& LockTable::operator=(LockTable&&) noexcept = default;

void LockTable::apply(const Operation& entry, std::uint64_t stamp_unix_ms, Effects& effects) {
  impl_->apply(entry, stamp_unix_ms, effects);
}

// --- reads ---------------------------------------------------------------------------------------

namespace {

LockReport report_lock(const LockState& state, std::uint32_t index, std::size_t limit_waiters) {
  const Lock& lock = state.lock(index);
  LockReport report;
  report.resource = lock.name.view();
  report.waiter_count = lock.wait_count;
  for (std::uint32_t h = lock.first_hold; h != kNil; h = state.hold(h).next) {
    const Hold& hold = state.hold(h);
    HoldReport& out = report.holders.emplace_back();
    out.client_id = state.client_of(hold.owner);
    out.owner_tag = state.tag_of(hold.owner);
    out.mode = lock.mode;
    out.lease = hold.lease;
    out.token = hold.token;
    out.count = hold.count;
    out.since_unix_ms = hold.since_unix_ms;
  }
  for (std::uint32_t w = lock.first_wait; w != kNil && report.waiters.size() < limit_waiters;
       w = state.wait(w).next) {
    const Wait& wait = state.wait(w);
    WaitReport& out = report.waiters.emplace_back();
    out.client_id = state.client_of(wait.owner);
    out.owner_tag = state.tag_of(wait.owner);
    out.mode = wait.mode;
    out.since_unix_ms = wait.since_unix_ms;
    if (wait.wait_ms == kWaitForeverMs) out.left_ms = kWaitForeverMs;
  }
  return report;
}

}  // namespace

LockReport LockTable::inspect(std::string_view resource, std::size_t limit_waiters) const {
  std::uint32_t lock = impl_->state.find_lock(NameKey(resource));
  if (lock != kNil) return report_lock(impl_->state, lock, limit_waiters);
  LockReport nobody;
  nobody.resource = resource;
  return nobody;
}

LockTable::Deadlines LockTable::deadlines_of(const LockReport& report) const {
  const LockState& state = impl_->state;
  Deadlines deadlines;
  std::uint32_t lock = state.find_lock(NameKey(report.resource));
  if (lock == kNil) return deadlines;
  auto id_of = [&](std::uint32_t session) {
    return session == kNil ? SessionId() : state.session(session).id;
  };
  for (std::uint32_t h = state.lock(lock).first_hold; h != kNil; h = state.hold(h).next) {
    const Hold& hold = state.hold(h);
    deadlines.holds.push_back({hold.lease == LeaseKind::detached ? SessionId() : id_of(hold.session),
                               hold.lease_ms == 0 ? FencingToken() : hold.token});
  }
  for (std::uint32_t w = state.lock(lock).first_wait;
       w != kNil && deadlines.waits.size() < report.waiters.size(); w = state.wait(w).next)
    deadlines.waits.push_back({id_of(state.wait(w).session), state.wait(w).sequence});
  return deadlines;
}

LockPage LockTable::list(std::string_view prefix, std::uint64_t cursor, std::size_t limit) const {
  constexpr std::uint64_t kLocksPerCallMax = 10'000;
  constexpr std::size_t kNameBytesMax = 1u << 20;  // in a page, about
  const LockState& state = impl_->state;
  LockPage page;
  std::uint64_t size = state.locks().size();
  if (cursor >= size) return page;
  std::uint64_t end = cursor + std::min(kLocksPerCallMax, size - cursor);
  limit = std::max<std::size_t>(limit, 1);
  std::size_t name_bytes = 0;
  for (; cursor < end && page.locks.size() < limit && name_bytes < kNameBytesMax; ++cursor) {
    auto lock = static_cast<std::uint32_t>(cursor);
    if (!state.lock_live(lock) || !state.lock(lock).name.view().starts_with(prefix)) continue;
    page.locks.push_back(report_lock(state, lock, 0));
    name_bytes += page.locks.back().resource.size();
  }
  page.next_cursor = cursor < size ? cursor : 0;
  return page;
}

TableStats LockTable::stats() const {
  const LockState& state = impl_->state;
  return {state.locks().live(), state.wait_count(), state.session_count(), state.last_token};
}

const LockTableLimits& LockTable::limits() const {
  return impl_->state.limits;
}

bool LockTable::owns(std::string_view resource) const {
  return impl_->owns(NameKey(resource));
}

const std::vector<OwnedArc>& LockTable::arcs() const {
  return impl_->state.arcs;
}

std::vector<OutgoingArc> LockTable::outgoing() const {
  std::vector<OutgoingArc> arcs;
  for (const auto& [number, arc] : impl_->state.outgoing) arcs.push_back(arc);
  return arcs;
}

std::vector<std::pair<GroupId, std::vector<OwnedArc>>> LockTable::missing() const {
  return {impl_->state.missing.begin(), impl_->state.missing.end()};
}

std::uint64_t LockTable::last_move() const {
  return impl_->state.last_move;
}

bool LockTable::has_received(GroupId from, std::uint64_t number) const {
  auto known = impl_->state.received.find(from);
  return known != impl_->state.received.end() && known->second.has(number);
}

OwnedArc LockTable::piece_of(const OwnedArc& arc, std::size_t locks_max) const {
  const LockState& state = impl_->state;
  const std::vector<std::uint32_t> locks = state.locks_in(arc);
  if (locks.size() <= locks_max) return arc;
  std::vector<std::uint64_t> hashes;
  hashes.reserve(locks.size());
  for (std::uint32_t lock : locks) hashes.push_back(NameKey(state.lock(lock).name.view()).hash);
  auto last = hashes.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(locks_max, 1) - 1);
  std::nth_element(hashes.begin(), last, hashes.end());
  return {arc.begin, *last};
}

std::vector<GroupId> LockTable::moved_to(SessionId session) const {
  std::uint32_t index = impl_->find_session(session);
  return index == kNil ? std::vector<GroupId>() : impl_->state.session(index).moved_to;
}

SessionId LockTable::live_session(SessionId session) const {
  std::uint32_t index = impl_->find_session(session);
  return index == kNil ? SessionId() : impl_->state.session(index).id;
}

std::uint32_t LockTable::session_ttl_ms(SessionId session) const {
  std::uint32_t index = impl_->find_session(session);
  return index == kNil ? 0 : impl_->state.session(index).ttl_ms;
}

Status LockTable::session_status(SessionId session) const {
  if (impl_->find_session(session) != kNil) return Status::ok;
  return impl_->no_session(session).status;
}

// --- renewals ------------------------------------------------------------------------------------

Answer LockTable::check_renewal(const Operation& renew) const {
  auto answer = [&](const Outcome& outcome) {
    return impl_->write_out(renew.session, renew.sequence, outcome);
  };
  std::uint32_t session = impl_->find_session(renew.session);
  if (session == kNil) return answer(impl_->no_session(renew.session));
  Outcome outcome = impl_->check_form(renew);
  if (outcome.reason != Reason::none) return answer(outcome);
  NameKey key(renew.resource);
  if (!impl_->owns(key)) {
    outcome.status = Status::moved;
    return answer(outcome);
  }
  std::uint32_t index = impl_->find_named_hold(session, renew, key, outcome);
  if (index == kNil) return answer(outcome);
  const Hold& hold = impl_->state.hold(index);
  outcome.token = hold.token;
  outcome.count = hold.count;
  outcome.ttl_ms = hold.lease_ms;
  return answer(outcome);
}

bool LockTable::renewal_needs_log(const Operation& renew) const {
  std::uint32_t session = impl_->find_session(renew.session);
  if (renew.lease_ms == 0 || session == kNil || impl_->check_form(renew).reason != Reason::none) return false;
  NameKey key(renew.resource);
  Outcome refusal;
  std::uint32_t index = impl_->owns(key) ? impl_->find_named_hold(session, renew, key, refusal) : kNil;
  if (index == kNil) return false;
  std::uint32_t lease_ms = impl_->state.hold(index).lease_ms;
  return lease_ms != 0 && lease_ms != renew.lease_ms;
}

// --- everything ----------------------------------------------------------------------------------

void LockTable::for_each_timer(const std::function<void(const TimerEvent&)>& visit) const {
  const LockState& state = impl_->state;
  TimerEvent event;
  event.start = true;
  event.kind = TimerEvent::Kind::session;
  for (SessionId id : state.session_ids()) {
    event.session = id;
    const std::uint32_t index = state.find_session(id);
    event.duration_ms = state.is_ending(index) ? 0 : state.session(index).ttl_ms;
    visit(event);
  }
  event.kind = TimerEvent::Kind::tombstone;
  event.duration_ms = state.limits.tombstone_ms;
  for (SessionId id : state.tombstone_ids()) {
    event.session = id;
    visit(event);
  }
  for (std::uint32_t lock = 0; lock < state.locks().size(); ++lock) {
    if (!state.lock_live(lock)) continue;
    event = {TimerEvent::Kind::hold, true, 0, SessionId(), Sequence(), FencingToken(), {}};
    event.resource = state.lock(lock).name.view();
    for (std::uint32_t h = state.lock(lock).first_hold; h != kNil; h = state.hold(h).next) {
      event.token = state.hold(h).token;
      event.duration_ms = state.hold(h).lease_ms;
      if (event.duration_ms != 0) visit(event);
    }
    event.kind = TimerEvent::Kind::wait;
    event.token = FencingToken();
    for (std::uint32_t w = state.lock(lock).first_wait; w != kNil; w = state.wait(w).next) {
      event.session = state.session(state.wait(w).session).id;
      event.sequence = state.wait(w).sequence;
      event.duration_ms = state.wait(w).wait_ms;
      if (event.duration_ms != kWaitForeverMs) visit(event);
    }
  }
}

std::unique_ptr<LockTable::SnapshotWriter> LockTable::snapshot() {
  return write_snapshot(impl_->state);
}

std::unique_ptr<LockTable::SnapshotReader> LockTable::restore() {
  auto empty = std::make_unique<LockTable>();
  LockState& state = empty->impl_->state;
  return read_snapshot(std::move(empty), state);
}

std::uint64_t LockTable::fingerprint() const {
  return server::fingerprint(impl_->state);
}

}  // namespace dlm::server
