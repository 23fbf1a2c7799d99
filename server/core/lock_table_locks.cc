#include <utility>

#include "server/core/lock_table_arcs.h"
#include "server/core/lock_table_impl.h"

namespace dlm::server {

// --- acquire -------------------------------------------------------------------------------------

void LockTable::Impl::acquire(Context& context, const NameKey& key) {
  const Operation& op = context.op;
  std::uint32_t client = state.session(context.session).client;
  std::uint32_t owner = client;
  if (op.owner_tag.empty() && op.client_id.empty()) {
    state.ref_owner(owner);
  } else {
    owner = op.client_id.empty() ? state.intern_owner(client, op.owner_tag)
                                 : state.intern_owner(op.client_id, op.owner_tag);
  }
  std::uint32_t lock = state.find_lock(key);
  const std::uint32_t own = lock == kNil ? kNil : state.find_hold(lock, owner);
  const bool again = own != kNil && is_own(own, context.session);
  if (!again && has_all_its_holds(context.session, owner)) {
    conclude(context, Outcome::refused(Reason::holds_full, 0, Status::over_quota));
    return state.unref_owner(owner);
  }
  if (lock == kNil) lock = state.add_lock(key);

  Outcome outcome;
  Request request{owner, context.session, op.sequence, op.mode, op.lease, op.lease_ms, false};
  if ((again || state.lock(lock).wait_count == 0) && decide(context, lock, request, outcome)) {
    conclude(context, outcome);
  } else if (op.wait_ms == 0) {
    outcome.status = Status::timed_out;
    tell_holder(lock, kNil, outcome);
    conclude(context, outcome);
  } else {
    enqueue(context, lock, owner);
  }
  state.unref_owner(owner);
}

// What waits counts, too: it is granted without being asked whether there is room.
bool LockTable::Impl::has_all_its_holds(std::uint32_t session, std::uint32_t owner) const {
  const std::size_t held = state.holds_of_client(owner);
  return held + state.session(session).wait_count >= state.limits.holds_per_client_max;
}

void LockTable::Impl::enqueue(Context& context, std::uint32_t lock, std::uint32_t owner) {
  const Operation& op = context.op;
  if (state.session(context.session).wait_count >= state.limits.waits_per_client_max) {
    return conclude(context, Outcome::refused(Reason::waiters_full, 0, Status::over_quota));
  }
  Wait wait;
  wait.sequence = op.sequence;
  wait.since_unix_ms = context.stamp_unix_ms;
  wait.lock = lock;
  wait.owner = owner;
  wait.session = context.session;
  wait.wait_ms = op.wait_ms;
  wait.lease_ms = op.lease_ms;
  wait.mode = op.mode;
  wait.lease = op.lease;
  Outcome queued;
  queued.status = Status::queued;
  queued.position = state.lock(lock).wait_count;
  tell_holder(lock, kNil, queued);
  state.ref_owner(owner);
  std::uint32_t index = state.add_wait(wait);
  answer(context, op.session, op.sequence, queued);
  start_wait_timer(context, index);
}

// Not one that lives by another session of the client id: two processes with one id were in different groups
// until an arc moved, and what the one holds ends with its session, whatever the other counted into it.
bool LockTable::Impl::is_own(std::uint32_t hold, std::uint32_t session) const {
  const Hold& node = state.hold(hold);
  if (node.lease == LeaseKind::detached || node.session == session) return true;
  return state.session(node.session).client != state.session(session).client;  // acts for the owner
}

bool LockTable::Impl::decide(Context& context, std::uint32_t lock, const Request& request, Outcome& outcome) {
  const Lock& node = state.lock(lock);
  if (node.first_hold != kNil) {
    std::uint32_t own = state.find_hold(lock, request.owner);
    if (own != kNil) return is_own(own, request.session) && decide_again(context, own, request, outcome);
    if (node.mode == LockMode::exclusive || request.mode == LockMode::exclusive) return false;
  }
  outcome = grant(context, lock, request);
  return true;
}

// The owner holds the lock already. Never has to wait.
bool LockTable::Impl::decide_again(Context& context, std::uint32_t hold, const Request& request,
                                   Outcome& outcome) {
  const Hold& own = state.hold(hold);
  const Lock& lock = state.lock(own.lock);
  if (own.lease != request.lease) {
    outcome = Outcome::refused(Reason::other_lease_kind, static_cast<std::uint32_t>(own.lease));
    return true;
  }
  if (own.count == UINT32_MAX) {
    outcome = Outcome::refused(Reason::count_full);
    return true;
  }
  if (request.mode == LockMode::exclusive && lock.mode == LockMode::shared) {
    if (lock.first_hold != lock.last_hold) {
      outcome = Outcome::refused(Reason::upgrade_among_readers, 0, Status::would_deadlock);
      tell_holder(own.lock, request.owner, outcome);
      return true;
    }
    // An older reader that has gone may have had a higher token than this one.
    stop_hold_timer(context, hold);
    remember_replaced_grant(hold);
    state.upgrade(hold, next_token(), request.sequence);
    state.set_mode(own.lock, LockMode::exclusive);
  }
  state.set_count(hold, own.count + 1);
  // A lease that the owner has been given for longer must not become shorter behind its back.
  if (request.lease_ms > own.lease_ms) state.set_lease_ms(hold, request.lease_ms);
  start_hold_timer(context, hold);
  outcome.token = own.token;
  outcome.count = own.count;
  outcome.ttl_ms = own.lease_ms;
  return true;
}

// A grant from the queue is found again by its hold, until an upgrade makes that the hold of another acquire.
void LockTable::Impl::remember_replaced_grant(std::uint32_t hold) {
  const Hold& own = state.hold(hold);
  if (!own.waited) return;
  Outcome granted;
  granted.token = own.token;
  granted.count = 1;
  granted.ttl_ms = own.lease_ms;
  state.remember_ended_wait(state.session(own.session), stored(own.sequence, place_of(own.lock), granted));
}

Outcome LockTable::Impl::grant(Context& context, std::uint32_t lock, const Request& request) {
  Hold hold;
  hold.token = next_token();
  hold.sequence = request.sequence;
  hold.since_unix_ms = context.stamp_unix_ms;
  hold.lock = lock;
  hold.owner = request.owner;
  hold.session = request.session;
  hold.lease_ms = request.lease_ms;
  hold.lease = request.lease;
  hold.waited = request.waited;
  state.set_mode(lock, request.mode);
  state.ref_owner(request.owner);
  std::uint32_t index = state.add_hold(hold);
  start_hold_timer(context, index);
  Outcome granted;
  granted.token = hold.token;
  granted.count = 1;
  granted.ttl_ms = request.lease_ms;
  return granted;
}

void LockTable::Impl::tell_holder(std::uint32_t lock, std::uint32_t other_than, Outcome& outcome) const {
  std::uint32_t first = state.lock(lock).first_hold;
  if (first != kNil && state.hold(first).owner == other_than) first = state.hold(first).next;
  if (first == kNil) return;
  outcome.holder = state.hold(first).owner;
  outcome.holder_since_unix_ms = state.hold(first).since_unix_ms;
}

// --- the queue -----------------------------------------------------------------------------------

void LockTable::Impl::settle(Context& context, std::uint32_t lock) {
  while (state.lock(lock).first_wait != kNil) {
    std::uint32_t index = state.lock(lock).first_wait;
    const Wait& wait = state.wait(index);
    Request request{wait.owner, wait.session, wait.sequence, wait.mode, wait.lease, wait.lease_ms, true};
    Outcome outcome;
    if (!decide(context, lock, request, outcome)) return;
    end_wait(context, index, outcome);
  }
  if (state.lock(lock).first_hold == kNil) state.remove_lock(lock);
}

void LockTable::Impl::end_wait(Context& context, std::uint32_t index, const Outcome& outcome) {
  const Wait& wait = state.wait(index);
  std::uint32_t session = wait.session;
  Sequence sequence = wait.sequence;
  SessionId id = state.session(session).id;
  stop_wait_timer(context, index);
  const std::uint32_t place = place_of(wait.lock);
  remember(session, sequence, place, outcome);
  // A grant of its own is found again by the hold.
  if (state.find_waited_hold(session, sequence) == kNil)
    state.remember_ended_wait(state.session(session), stored(sequence, place, outcome));
  answer(context, id, sequence, outcome);
  state.remove_wait(index);
}

void LockTable::Impl::end_hold(Context& context, std::uint32_t index, bool expired) {
  stop_hold_timer(context, index);
  if (expired) {
    const std::uint32_t place = place_of(state.hold(index).lock);
    state.add_expired({state.hold(index).token, place});
    if (state.hold(index).upgraded) state.add_expired({state.replaced_token(index), place});
  }
  state.remove_hold(index);
}

// --- release and renew ---------------------------------------------------------------------------

std::uint32_t LockTable::Impl::find_named_hold(std::uint32_t session, const Operation& op, const NameKey& key,
                                               Outcome& refusal) const {
  std::uint32_t client = state.session(session).client;
  std::uint32_t owner = client;
  if (!op.owner_tag.empty() || !op.client_id.empty())
    owner = op.client_id.empty() ? state.find_owner(client, op.owner_tag)
                                 : state.find_owner(op.client_id, op.owner_tag);
  std::uint32_t lock = state.find_lock(key);
  std::uint32_t hold = lock == kNil || owner == kNil ? kNil : state.find_hold(lock, owner);
  if (hold != kNil && (!op.token || state.goes_by(hold, op.token))) {
    const bool is_detached = state.hold(hold).lease == LeaseKind::detached;
    if (is_detached || (op.client_id.empty() && is_own(hold, session))) return hold;
    if (!op.client_id.empty()) {
      refusal = Outcome::refused(Reason::hold_not_detached, 0, Status::not_held);
      refusal.cause = EndCause::never;
      return kNil;
    }
  }
  auto not_held = [&](EndCause cause, Reason reason) {
    refusal = Outcome::refused(reason, 0, Status::not_held);
    refusal.cause = cause;
    return kNil;
  };
  if (!op.token) return not_held(EndCause::never, Reason::never_held);
  const std::uint32_t of_session = hold == kNil ? kNil : state.hold(hold).session;
  if (of_session != kNil && state.is_ending(of_session) && state.goes_by(hold, op.token))
    return not_held(EndCause::expired, Reason::token_expired);
  if (op.token <= kTokenFloor || op.token > state.last_token)
    return not_held(EndCause::never, Reason::token_not_given);
  if (state.is_expired({op.token, key.place()})) return not_held(EndCause::expired, Reason::token_expired);
  // Of a lock with more holders than this, an owner with a live token of another is told "released"
  // instead.
  constexpr int kHoldersSearchedMax = 64;
  std::uint32_t other = lock == kNil ? kNil : state.lock(lock).first_hold;
  for (int i = 0; other != kNil && i < kHoldersSearchedMax; other = state.hold(other).next, ++i)
    if (state.goes_by(other, op.token)) return not_held(EndCause::never, Reason::token_of_other);
  return not_held(EndCause::released, Reason::token_released);
}

void LockTable::Impl::release(Context& context, const NameKey& key) {
  Outcome outcome;
  std::uint32_t hold = find_named_hold(context.session, context.op, key, outcome);
  if (hold == kNil) return conclude(context, outcome);
  outcome.token = state.hold(hold).token;
  outcome.count = state.hold(hold).count - 1;
  outcome.ttl_ms = 0;
  conclude(context, outcome);
  if (outcome.count != 0) return state.set_count(hold, outcome.count);
  std::uint32_t lock = state.hold(hold).lock;
  end_hold(context, hold, false);
  settle(context, lock);
}

void LockTable::Impl::renew(Context& context, const NameKey& key) {
  Outcome outcome;
  std::uint32_t hold = find_named_hold(context.session, context.op, key, outcome);
  if (hold == kNil) return conclude(context, outcome);
  if (state.hold(hold).lease_ms != 0) {
    if (context.op.lease_ms != 0) state.set_lease_ms(hold, context.op.lease_ms);
    start_hold_timer(context, hold);
  }
  outcome.token = state.hold(hold).token;
  outcome.count = state.hold(hold).count;
  outcome.ttl_ms = state.hold(hold).lease_ms;
  conclude(context, outcome);
}

// --- cancel --------------------------------------------------------------------------------------

// The hold that an acquire got, or was counted into, if it is still there.
std::uint32_t LockTable::Impl::hold_of_acquire(std::uint32_t session, Sequence sequence,
                                               const NameKey& key) const {
  std::uint32_t hold = state.find_waited_hold(session, sequence);
  if (hold != kNil) return hold;
  const Session& node = state.session(session);
  const StoredAnswer* stored = node.answers.find(sequence);
  if (stored == nullptr) stored = node.ended_waits.find(sequence);
  if (stored == nullptr ? sequence >= node.acked_below : stored->status != Status::ok) return kNil;

  FencingToken token = stored == nullptr ? FencingToken() : FencingToken(stored->number);
  std::uint32_t lock = state.find_lock(key);
  auto is_it = [&](std::uint32_t h) {
    const Hold& candidate = state.hold(h);
    return candidate.lock == lock && candidate.session == session &&
           (stored == nullptr ? candidate.sequence == sequence : state.goes_by(h, token));
  };
  // It is in the list of the lock and in that of the session. One of them is short, or both belong to one
  // who does strange things.
  std::uint32_t of_lock = lock == kNil ? kNil : state.lock(lock).first_hold;
  std::uint32_t of_session = node.first_hold;
  while (of_lock != kNil && of_session != kNil) {
    if (is_it(of_lock)) return of_lock;
    if (is_it(of_session)) return of_session;
    of_lock = state.hold(of_lock).next;
    of_session = state.hold(of_session).session_next;
  }
  return kNil;
}

// Whatever became of the acquire: after the answer either it holds the lock, and the answer is ok with the
// hold, or it does not, never will, and the answer is cancelled.
void LockTable::Impl::cancel(Context& context, const NameKey& key) {
  const Operation& op = context.op;
  Outcome outcome;
  outcome.status = Status::cancelled;
  std::uint32_t wait = state.find_wait(context.session, op.target);
  if (wait != kNil) {
    std::uint32_t lock = state.wait(wait).lock;
    conclude(context, outcome);
    end_wait(context, wait, outcome);
    return settle(context, lock);
  }
  std::uint32_t hold = hold_of_acquire(context.session, op.target, key);
  if (hold != kNil) {
    outcome.status = Status::ok;
    outcome.token = state.hold(hold).token;
    outcome.count = state.hold(hold).count;
    outcome.ttl_ms = state.hold(hold).lease_ms;
  } else {
    // An acquire that has not come yet finds this answer when it does. One that has, keeps its own.
    Outcome preempted;
    preempted.status = Status::cancelled;
    remember(context.session, op.target, context.place, preempted);
  }
  conclude(context, outcome);
}

}  // namespace dlm::server
