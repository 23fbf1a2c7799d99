#include <algorithm>
#include <utility>

#include "schema/limits.h"
#include "server/core/lock_table_arcs.h"
#include "server/core/lock_table_codec.h"
#include "server/core/lock_table_impl.h"

namespace dlm::server {

void LockTable::Impl::apply(const Operation& op, std::uint64_t stamp_unix_ms, Effects& effects) {
  Context context{op, stamp_unix_ms, effects};
  switch (op.kind) {
    case OperationKind::open_session:
      return open_session(context);
    case OperationKind::close_session:
      return close_session(context);
    case OperationKind::expire_session:
      return expire_session(context);
    case OperationKind::expire_hold:
      return expire_hold(context);
    case OperationKind::expire_wait:
      return expire_wait(context);
    case OperationKind::forget_session:
      return forget_session(context);
    case OperationKind::start_epoch:
      return start_epoch(context);
    case OperationKind::move_out:
      return move_out(context);
    case OperationKind::move_in:
      return move_in(context);
    case OperationKind::move_done:
      return move_done(context);
    case OperationKind::miss_arcs:
      return miss_arcs(context);
    case OperationKind::take_arcs:
      return take_arcs(context);
    case OperationKind::let_arcs:
      return let_arcs(context);
    default:
      return serve(context);
  }
}

// --- answers -------------------------------------------------------------------------------------

Answer LockTable::Impl::write_out(SessionId session, Sequence sequence, const Outcome& outcome) const {
  Answer answer;
  answer.session = session;
  answer.sequence = sequence;
  answer.status = outcome.status;
  answer.cause = outcome.cause;
  answer.token = outcome.token;
  answer.count = outcome.count;
  answer.ttl_ms = outcome.ttl_ms;
  answer.position = outcome.position;
  if (outcome.holder != kNil) {
    answer.holder.client_id = state.client_of(outcome.holder);
    answer.holder.owner_tag = state.tag_of(outcome.holder);
    answer.holder.since_unix_ms = outcome.holder_since_unix_ms;
  }
  if (outcome.reason != Reason::none)
    answer.message = text_of(outcome.reason, outcome.reason_number, state.limits);
  return answer;
}

void LockTable::Impl::answer(Context& context, SessionId session, Sequence sequence, const Outcome& outcome) {
  context.effects.answers.push_back(write_out(session, sequence, outcome));
}

void LockTable::Impl::conclude(Context& context, const Outcome& outcome) {
  remember(context.session, context.op.sequence, context.place, outcome);
  answer(context, context.op.session, context.op.sequence, outcome);
}

StoredAnswer LockTable::Impl::stored(Sequence sequence, std::uint32_t place, const Outcome& outcome) {
  StoredAnswer stored;
  stored.sequence = sequence;
  stored.place = place;
  stored.status = outcome.status;
  stored.cause = outcome.cause;
  stored.reason = outcome.reason;
  stored.ttl_ms = outcome.reason == Reason::none ? outcome.ttl_ms : outcome.reason_number;
  stored.has_holder = outcome.holder != kNil;
  if (stored.has_holder) {
    state.ref_owner(outcome.holder);
    stored.count = outcome.holder;
    stored.number = outcome.holder_since_unix_ms;
  } else {
    stored.count = outcome.count;
    stored.number = outcome.token.value;
  }
  return stored;
}

Outcome LockTable::Impl::recall(const StoredAnswer& stored) const {
  Outcome outcome;
  outcome.status = stored.status;
  outcome.cause = stored.cause;
  outcome.reason = stored.reason;
  (stored.reason == Reason::none ? outcome.ttl_ms : outcome.reason_number) = stored.ttl_ms;
  if (stored.has_holder) {
    outcome.holder = stored.count;
    outcome.holder_since_unix_ms = stored.number;
  } else {
    outcome.count = stored.count;
    outcome.token = FencingToken(stored.number);
  }
  return outcome;
}

void LockTable::Impl::remember(std::uint32_t session, Sequence sequence, std::uint32_t place,
                               const Outcome& outcome) {
  Session& node = state.session(session);
  if (sequence >= node.acked_below) state.remember(node, stored(sequence, place, outcome));
}

// --- what clients ask ----------------------------------------------------------------------------

std::uint32_t LockTable::Impl::find_session(SessionId id) const {
  const std::uint32_t session = state.find_session(id);
  if (session != kNil) return state.is_ending(session) ? kNil : session;
  if (state.tombstone(id) != LockState::Tombstone::none) return kNil;
  const std::uint32_t earlier = state.find_generation(id);
  if (earlier == kNil || !state.session(earlier).adopted || state.session(earlier).id > id) return kNil;
  return earlier;
}

Outcome LockTable::Impl::no_session(SessionId id) const {
  if (state.find_session(id) != kNil)  // it is ending
    return Outcome::refused(Reason::session_ended, 0, Status::session_expired);
  switch (state.tombstone(id)) {
    case LockState::Tombstone::none:
      return Outcome::refused(Reason::session_not_known, 0, Status::session_unknown);
    case LockState::Tombstone::closed:
      return Outcome::refused(Reason::session_closed, 0, Status::session_expired);
    case LockState::Tombstone::ended:
      break;
  }
  return Outcome::refused(Reason::session_ended, 0, Status::session_expired);
}

Outcome LockTable::Impl::check_form(const Operation& op) const {
  auto bytes = [](std::string_view text) {
    return static_cast<std::uint32_t>(std::min<std::size_t>(text.size(), UINT32_MAX));
  };
  bool is_acquire = op.kind == OperationKind::acquire;
  if (!is_acquire && op.kind != OperationKind::release && op.kind != OperationKind::renew &&
      op.kind != OperationKind::cancel)
    return Outcome::refused(Reason::kind_unknown);
  if (op.resource.size() > kResourceBytesMax)
    return Outcome::refused(Reason::resource_too_long, bytes(op.resource));
  if (op.kind == OperationKind::cancel) {
    bool earlier = op.target && op.target < op.sequence;
    return earlier ? Outcome() : Outcome::refused(Reason::cancel_target);
  }
  if (op.owner_tag.size() > kOwnerTagBytesMax)
    return Outcome::refused(Reason::owner_tag_too_long, bytes(op.owner_tag));
  if (op.client_id.size() > kClientIdBytesMax)
    return Outcome::refused(Reason::client_id_too_long, bytes(op.client_id));
  if (is_acquire) {
    if (op.mode > LockMode::shared) return Outcome::refused(Reason::mode_unknown);
    if (op.lease > LeaseKind::capped) return Outcome::refused(Reason::lease_kind_unknown);
    if (!op.client_id.empty() && op.lease != LeaseKind::detached)
      return Outcome::refused(Reason::client_id_not_detached);
    if (op.lease == LeaseKind::session)
      return op.lease_ms == 0 ? Outcome() : Outcome::refused(Reason::lease_of_session_hold);
  }
  if (op.kind == OperationKind::release || (!is_acquire && op.lease_ms == 0)) return {};
  if (op.lease_ms < state.limits.lease_ms_min) return Outcome::refused(Reason::lease_too_short, op.lease_ms);
  if (op.lease_ms > state.limits.lease_ms_max) return Outcome::refused(Reason::lease_too_long, op.lease_ms);
  return {};
}

void LockTable::Impl::serve(Context& context) {
  const Operation& op = context.op;
  context.session = find_session(op.session);
  if (context.session == kNil) {
    if (op.kind != OperationKind::heartbeat) answer(context, op.session, op.sequence, no_session(op.session));
    return;
  }
  follow_generation(context, op.session);
  Session& session = state.session(context.session);
  state.forget_answers_below(session, op.acked_below);
  if (op.kind == OperationKind::heartbeat) return;
  if (!op.sequence)
    return answer(context, op.session, op.sequence, Outcome::refused(Reason::sequence_missing));
  const NameKey key(op.resource);
  context.place = key.place();
  const bool owned = owns(key);
  if (repeat(context, owned)) return;
  // But for the one that keeps the others from being acknowledged.
  const bool is_oldest = session.answers.size() != 0 && op.sequence < session.answers.begin()->sequence;
  if (session.answers.size() >= state.limits.answers_per_session_max && !is_oldest) {
    Outcome full = Outcome::refused(Reason::answers_full, 0, Status::overloaded);
    return answer(context, op.session, op.sequence, full);
  }
  Outcome refusal = check_form(op);
  if (refusal.reason != Reason::none) return conclude(context, refusal);
  if (!owned) {
    // Not remembered: when the router has found the right group, the operation is executed there under the
    // same name.
    refusal.status = Status::moved;
    return answer(context, op.session, op.sequence, refusal);
  }
  switch (op.kind) {
    case OperationKind::acquire:
      return acquire(context, key);
    case OperationKind::release:
      return release(context, key);
    case OperationKind::renew:
      return renew(context, key);
    default:
      return cancel(context, key);
  }
}

// Whether the operation came before; then it gets the answer of that time.
bool LockTable::Impl::repeat(Context& context, bool owned) {
  const Operation& op = context.op;
  const Session& session = state.session(context.session);
  if (const StoredAnswer* stored = session.answers.find(op.sequence)) {
    answer(context, op.session, op.sequence, recall(*stored));
    return true;
  }
  bool is_acquire = op.kind == OperationKind::acquire;
  if (std::uint32_t wait = state.find_wait(context.session, op.sequence); is_acquire && wait != kNil) {
    Outcome queued;
    queued.status = Status::queued;
    queued.position = state.position_of(wait);
    tell_holder(state.wait(wait).lock, kNil, queued);
    answer(context, op.session, op.sequence, queued);
    return true;
  }
  // What the client has an answer to, "queued" for one, may have gone with its arc.
  if (op.sequence >= session.acked_below || !owned) return false;
  Outcome outcome;
  outcome.status = Status::stale;
  if (const StoredAnswer* ended = session.ended_waits.find(op.sequence)) {
    outcome = recall(*ended);
  } else if (std::uint32_t hold = state.find_waited_hold(context.session, op.sequence);
             is_acquire && hold != kNil) {
    // As the grant was answered: later acquisitions and renewals of the hold do not show.
    outcome.status = Status::ok;
    outcome.token = state.hold(hold).token;
    outcome.count = 1;
    outcome.ttl_ms = op.lease_ms;
  }
  answer(context, op.session, op.sequence, outcome);
  return true;
}

// --- sessions ------------------------------------------------------------------------------------

namespace {

bool is_later_generation(SessionId session, SessionId than) {
  return session > than && (session.value >> 16) == (than.value >> 16);
}

}  // namespace

Outcome LockTable::Impl::check_session_options(const Operation& op) const {
  std::size_t bytes = op.client_id.size();
  if (!op.session) return Outcome::refused(Reason::session_missing);
  if (bytes == 0) return Outcome::refused(Reason::client_id_missing);
  if (bytes > kClientIdBytesMax) {
    auto shown = static_cast<std::uint32_t>(std::min<std::size_t>(bytes, UINT32_MAX));
    return Outcome::refused(Reason::client_id_too_long, shown);
  }
  if (op.lease_ms < state.limits.lease_ms_min) return Outcome::refused(Reason::ttl_too_short, op.lease_ms);
  if (op.lease_ms > state.limits.lease_ms_max) return Outcome::refused(Reason::ttl_too_long, op.lease_ms);
  return {};
}

// A client begins the next generation of its session when it has given up all that the one before holds and
// waits for. So that one, if it is alive here (a copy of its opening may have come late), makes room.
void LockTable::Impl::open_session(Context& context) {
  const Operation& op = context.op;
  Outcome outcome = check_session_options(op);
  if (outcome.reason != Reason::none) return answer(context, op.session, op.sequence, outcome);
  const std::uint32_t known = state.find_session(op.session);
  const bool is_over = state.tombstone(op.session) != LockState::Tombstone::none;
  if (is_over || (known != kNil && state.is_ending(known)))
    return answer(context, op.session, op.sequence, no_session(op.session));

  auto in_use = [&](std::uint32_t by, Reason reason) {
    const Session& other = state.session(by);
    Outcome refusal = Outcome::refused(reason, other.ttl_ms, Status::client_id_in_use);
    refusal.holder = other.client;
    refusal.holder_since_unix_ms = other.since_unix_ms;
    answer(context, op.session, op.sequence, refusal);
  };
  std::uint32_t index = find_session(op.session);
  if (index != kNil) {
    if (state.client_of(state.session(index).client) != op.client_id)
      return in_use(index, Reason::session_id_in_use);
    context.session = index;
    follow_generation(context, op.session);
    state.set_ttl_ms(state.session(index), op.lease_ms);
    state.forget_answers_below(state.session(index), op.acked_below);
  } else {
    std::uint32_t client = state.intern_owner(op.client_id, {});
    std::uint32_t other = state.live_session_of(client);
    // One that came with an arc, while another with this client id was the live one.
    if (other == kNil) other = state.find_generation(op.session);
    if (other != kNil) {
      if (!is_later_generation(op.session, state.session(other).id)) {
        in_use(other, Reason::client_id_in_use);
        return state.unref_owner(client);
      }
      context.session = other;
      end_session(context, true);
    }
    if (state.session_count() >= state.limits.sessions_max) {
      answer(context, op.session, op.sequence,
             Outcome::refused(Reason::sessions_full, 0, Status::over_quota));
      return state.unref_owner(client);
    }
    index = state.add_session(op.session, client, op.lease_ms, context.stamp_unix_ms);
    state.forget_answers_below(state.session(index), op.acked_below);
  }
  outcome.ttl_ms = op.lease_ms;
  answer(context, op.session, op.sequence, outcome);
  context.effects.timers.push_back(
      {TimerEvent::Kind::session, true, op.lease_ms, op.session, Sequence(), FencingToken(), {}});
}

void LockTable::Impl::close_session(Context& context) {
  const Operation& op = context.op;
  context.session = find_session(op.session);
  bool closed_before = state.tombstone(op.session) == LockState::Tombstone::closed;
  Outcome outcome = context.session == kNil && !closed_before ? no_session(op.session) : Outcome();
  answer(context, op.session, op.sequence, outcome);
  if (context.session != kNil) end_session(context, false);
}

void LockTable::Impl::expire_session(Context& context) {
  context.session = state.find_session(context.op.session);
  if (context.session == kNil) return;
  state.is_ending(context.session) ? sweep(context) : end_session(context, true);
}

// Everything of it is told in the order of sequences and tokens, whatever the order of the lists is.
void LockTable::Impl::end_session(Context& context, bool expired) {
  // Nothing was ever executed under an adopted one's id, so the client may still use it.
  const bool leaves_tombstone = !state.session(context.session).adopted;
  if (leaves_tombstone && state.session(context.session).hold_count > state.limits.holds_per_sweep)
    return begin_end(context, expired);
  // By token and name, as tokens that other groups gave may be equal: the order is the same on all replicas.
  std::vector<std::pair<FencingToken, std::uint32_t>> holds;
  for (auto h = state.session(context.session).first_hold; h != kNil; h = state.hold(h).session_next)
    holds.emplace_back(state.hold(h).token, h);
  const auto name_of = [&](std::uint32_t hold) { return state.lock(state.hold(hold).lock).name.view(); };
  std::sort(holds.begin(), holds.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : name_of(a.second) < name_of(b.second);
  });

  std::vector<std::uint32_t> locks;  // to be settled when nothing of this session can be granted any more
  end_waits(context, expired, locks);
  for (const auto& [token, hold] : holds) {
    if (state.hold(hold).lease == LeaseKind::detached) {
      state.detach_from_session(hold);
    } else {
      locks.push_back(state.hold(hold).lock);
      end_hold(context, hold, expired);
    }
  }
  session_is_gone(context, expired, leaves_tombstone);
  for (std::uint32_t lock : locks)
    if (state.lock_live(lock)) settle(context, lock);
}

void LockTable::Impl::end_waits(Context& context, bool expired, std::vector<std::uint32_t>& locks) {
  const SessionId id = state.session(context.session).id;
  std::vector<std::pair<Sequence, std::uint32_t>> waits;
  for (auto w = state.session(context.session).first_wait; w != kNil; w = state.wait(w).session_next)
    waits.emplace_back(state.wait(w).sequence, w);
  std::sort(waits.begin(), waits.end());
  Outcome gone;
  gone.status = expired ? Status::session_expired : Status::cancelled;
  for (const auto& [sequence, wait] : waits) {
    locks.push_back(state.wait(wait).lock);
    stop_wait_timer(context, wait);
    state.remove_wait(wait);
    answer(context, id, sequence, gone);
  }
}

void LockTable::Impl::session_is_gone(Context& context, bool expired, bool leaves_tombstone) {
  const SessionId id = state.session(context.session).id;
  state.remove_session(context.session);
  context.session = kNil;
  auto& timers = context.effects.timers;
  timers.push_back({TimerEvent::Kind::session, false, 0, id, Sequence(), FencingToken(), {}});
  if (!leaves_tombstone) return;
  state.add_tombstone(id, expired ? LockState::Tombstone::ended : LockState::Tombstone::closed);
  timers.push_back(
      {TimerEvent::Kind::tombstone, true, state.limits.tombstone_ms, id, Sequence(), FencingToken(), {}});
}

void LockTable::Impl::forget_session(Context& context) {
  if (!state.remove_tombstone(context.op.session)) return;
  context.effects.timers.push_back(
      {TimerEvent::Kind::tombstone, false, 0, context.op.session, Sequence(), FencingToken(), {}});
}

// --- what the primary asks -----------------------------------------------------------------------

void LockTable::Impl::expire_hold(Context& context) {
  std::uint32_t lock = state.find_lock(NameKey(context.op.resource));
  std::uint32_t hold = lock == kNil ? kNil : state.find_leased_hold(lock, context.op.token);
  if (hold == kNil) return;
  end_hold(context, hold, true);
  settle(context, lock);
}

void LockTable::Impl::expire_wait(Context& context) {
  std::uint32_t session = state.find_session(context.op.session);
  if (session == kNil) return;
  std::uint32_t wait = state.find_wait(session, context.op.target);
  if (wait == kNil) return;
  std::uint32_t lock = state.wait(wait).lock;
  Outcome outcome;
  outcome.status = Status::timed_out;
  tell_holder(lock, kNil, outcome);
  end_wait(context, wait, outcome);
  settle(context, lock);
}

void LockTable::Impl::start_epoch(Context& context) {
  // No token is below the first era, whatever the entry says.
  FencingToken floor = std::max(context.op.token, kTokenFloor);
  state.last_token = std::max(state.last_token, floor);
  state.last_move = std::max(state.last_move, floor.value);
  std::vector<OwnedArc> arcs;
  if (!context.op.resource.empty() && decode_arcs(context.op.resource, arcs)) state.arcs = std::move(arcs);
  decode_limits(context.op.owner_tag, state.limits);  // none, or damaged: they stay as they are
}

bool LockTable::Impl::owns(const NameKey& key) const {
  auto after = std::upper_bound(state.arcs.begin(), state.arcs.end(), key.hash,
                                [](std::uint64_t hash, const OwnedArc& arc) { return hash < arc.begin; });
  return after != state.arcs.begin() && key.hash <= std::prev(after)->end;
}

// --- timers --------------------------------------------------------------------------------------

void LockTable::Impl::start_hold_timer(Context& context, std::uint32_t index) {
  const Hold& hold = state.hold(index);
  if (hold.lease_ms == 0) return;
  context.effects.timers.push_back({TimerEvent::Kind::hold, true, hold.lease_ms, SessionId(), Sequence(),
                                    hold.token, std::string(state.lock(hold.lock).name.view())});
}

void LockTable::Impl::stop_hold_timer(Context& context, std::uint32_t index) {
  const Hold& hold = state.hold(index);
  if (hold.lease_ms == 0) return;
  context.effects.timers.push_back({TimerEvent::Kind::hold, false, 0, SessionId(), Sequence(), hold.token,
                                    std::string(state.lock(hold.lock).name.view())});
}

void LockTable::Impl::start_wait_timer(Context& context, std::uint32_t index) {
  const Wait& wait = state.wait(index);
  if (wait.wait_ms == kWaitForeverMs) return;
  context.effects.timers.push_back({TimerEvent::Kind::wait, true, wait.wait_ms,
                                    state.session(wait.session).id, wait.sequence, FencingToken(),
                                    std::string(state.lock(wait.lock).name.view())});
}

void LockTable::Impl::stop_wait_timer(Context& context, std::uint32_t index) {
  const Wait& wait = state.wait(index);
  if (wait.wait_ms == kWaitForeverMs) return;
  context.effects.timers.push_back(
      {TimerEvent::Kind::wait, false, 0, state.session(wait.session).id, wait.sequence, FencingToken(), {}});
}

}  // namespace dlm::server
