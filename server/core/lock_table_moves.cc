// Arcs that go to another group and come from one. See ARCHITECTURE.md, "Moving arcs".
#include <algorithm>
#include <utility>

#include "server/core/lock_table_arcs.h"
#include "server/core/lock_table_impl.h"
#include "server/core/lock_table_moved.h"

namespace dlm::server {
namespace {

// Collects what goes with an arc, and numbers owners and sessions as they come up.
class Collector {
 public:
  Collector(const LockState& state, const OwnedArc& arc) : state_(state) {
    moved_.arc = arc;
    moved_.last_token = state.last_token;
  }

  void add_lock(std::uint32_t index) {
    const Lock& lock = state_.lock(index);
    MovedLock& out = moved_.locks.emplace_back();
    out.name = lock.name.view();
    out.mode = lock.mode;
    for (std::uint32_t h = lock.first_hold; h != kNil; h = state_.hold(h).next)
      out.holds.push_back(moved_hold(h));
    out.waits.reserve(lock.wait_count);
    for (std::uint32_t w = lock.first_wait; w != kNil; w = state_.wait(w).next)
      out.waits.push_back(moved_wait(w));
  }

  // What is remembered of operations on names of the arc, by whatever session. The place is half of a hash:
  // one at the edge of the arc may be of another name, and does no harm where it is not asked for.
  void add_answers() {
    for (SessionId id : state_.session_ids()) {
      const std::uint32_t index = state_.find_session(id);
      const Session& session = state_.session(index);
      for (const StoredAnswer& answer : session.answers) {
        if (concerns(answer.place)) this->session(index).answers.push_back(moved_answer(answer));
      }
      for (std::size_t i = 0; i < session.ended_waits.size(); ++i) {
        const StoredAnswer& ended = session.ended_waits[i];
        if (concerns(ended.place)) this->session(index).ended_waits.push_back(moved_answer(ended));
      }
    }
  }

  void add_expired() {
    for (const ExpiredToken& expired : state_.expired())
      if (concerns(expired.place)) moved_.expired.push_back(expired);
  }

  const MovedArc& moved() const { return moved_; }

 private:
  bool concerns(std::uint32_t place) const {
    return place >= moved_.arc.begin >> 32 && place <= moved_.arc.end >> 32;
  }

  std::uint32_t owner(std::uint32_t index) {
    auto [number, is_new] = owners_.try_emplace(index, static_cast<std::uint32_t>(moved_.owners.size()));
    if (is_new) moved_.owners.push_back({state_.client_of(index), state_.tag_of(index)});
    return number->second;
  }

  std::uint32_t session_number(std::uint32_t index) {
    auto known = sessions_.find(index);
    if (known != sessions_.end()) return known->second;
    const Session& session = state_.session(index);
    MovedSession out;
    out.id = session.id;
    out.client = owner(session.client);
    out.ttl_ms = session.ttl_ms;
    out.since_unix_ms = session.since_unix_ms;
    out.acked_below = session.acked_below;
    moved_.sessions.push_back(std::move(out));
    return sessions_[index] = static_cast<std::uint32_t>(moved_.sessions.size() - 1);
  }
  MovedSession& session(std::uint32_t index) { return moved_.sessions[session_number(index)]; }

  MovedHold moved_hold(std::uint32_t index) {
    const Hold& hold = state_.hold(index);
    MovedHold out;
    out.token = hold.token;
    out.replaced = state_.replaced_token(index);
    out.sequence = hold.sequence;
    out.since_unix_ms = hold.since_unix_ms;
    out.owner = owner(hold.owner);
    if (hold.session != kNil) out.session = session_number(hold.session);
    out.count = hold.count;
    out.lease_ms = hold.lease_ms;
    out.lease = hold.lease;
    out.waited = hold.waited;
    return out;
  }

  MovedWait moved_wait(std::uint32_t index) {
    const Wait& wait = state_.wait(index);
    MovedWait out;
    out.sequence = wait.sequence;
    out.since_unix_ms = wait.since_unix_ms;
    out.owner = owner(wait.owner);
    out.session = session_number(wait.session);
    out.wait_ms = wait.wait_ms;
    out.lease_ms = wait.lease_ms;
    out.mode = wait.mode;
    out.lease = wait.lease;
    return out;
  }

  StoredAnswer moved_answer(const StoredAnswer& answer) {
    StoredAnswer out = answer;
    if (answer.has_holder) out.count = owner(answer.count);
    return out;
  }

  const LockState& state_;
  MovedArc moved_;
  boost::unordered_flat_map<std::uint32_t, std::uint32_t> owners_;
  boost::unordered_flat_map<std::uint32_t, std::uint32_t> sessions_;
};

}  // namespace

// --- giving --------------------------------------------------------------------------------------

// The answers stay behind as well: who asks the old group again for what it did gets that answer.
void LockTable::Impl::move_out(Context& context) {
  std::vector<OwnedArc> arcs;
  const GroupId to(static_cast<std::uint32_t>(context.op.target.value));
  if (!to || !decode_arcs(context.op.resource, arcs) || arcs.size() != 1) return;
  const OwnedArc arc = arcs.front();
  if (!contains(state.arcs, arc)) return;

  for (std::uint32_t lock : state.locks_in(arc)) end_ending_holds(context, lock);
  const std::vector<std::uint32_t> locks = state.locks_in(arc);
  Collector collector(state, arc);
  for (std::uint32_t lock : locks) collector.add_lock(lock);
  collector.add_answers();
  collector.add_expired();

  OutgoingArc outgoing;
  outgoing.number = ++state.last_move;
  outgoing.arc = arc;
  outgoing.to = to;
  outgoing.state = std::make_shared<const std::string>(encode_moved(collector.moved()));
  outgoing.locks = locks.size();
  state.outgoing.emplace(outgoing.number, std::move(outgoing));
  remove_arc(state.arcs, arc);
  for (std::uint32_t lock : locks) freeze(context, lock, to);
}

// Who waits is told to ask the other group, where its place in line is kept.
void LockTable::Impl::freeze(Context& context, std::uint32_t lock, GroupId to) {
  Outcome moved;
  moved.status = Status::moved;
  while (state.lock(lock).first_wait != kNil) {
    const std::uint32_t index = state.lock(lock).first_wait;
    const std::uint32_t session = state.wait(index).session;
    stop_wait_timer(context, index);
    state.add_moved_to(session, to);
    answer(context, state.session(session).id, state.wait(index).sequence, moved);
    state.remove_wait(index);
  }
  while (state.lock(lock).first_hold != kNil) {
    const std::uint32_t index = state.lock(lock).first_hold;
    const std::uint32_t session = state.hold(index).session;
    stop_hold_timer(context, index);
    if (session != kNil) state.add_moved_to(session, to);
    state.remove_hold(index);
  }
  state.remove_lock(lock);
}

void LockTable::Impl::move_done(Context& context) {
  state.outgoing.erase(context.op.target.value);
}

// --- getting -------------------------------------------------------------------------------------

void LockTable::Impl::move_in(Context& context) {
  const GroupId from(static_cast<std::uint32_t>(context.op.session.value));
  const std::uint64_t number = context.op.target.value;
  const std::uint64_t done_below = context.op.acked_below.value;
  ReceivedArcs& received = state.received[from];
  MovedArc moved;
  if (received.has(number) || !decode_moved(context.op.resource, moved)) return;
  received.below = std::max(received.below, std::min(done_below, number));
  received.numbers.insert(number);
  received.numbers.erase(received.numbers.begin(), received.numbers.lower_bound(received.below));

  add_arc(state.arcs, moved.arc);
  state.last_token = std::max(state.last_token, moved.last_token);
  std::vector<std::uint32_t> owners;
  for (const MovedOwner& owner : moved.owners)
    owners.push_back(state.intern_owner(owner.client_id, owner.owner_tag));
  std::vector<std::uint32_t> sessions;
  for (MovedSession& session : moved.sessions) {
    auto rename = [&](StoredAnswer& answer) {
      if (answer.has_holder) answer.count = owners[answer.count];
    };
    std::for_each(session.answers.begin(), session.answers.end(), rename);
    std::for_each(session.ended_waits.begin(), session.ended_waits.end(), rename);
    sessions.push_back(install_session(context, session, owners[session.client]));
  }
  for (const ExpiredToken& expired : moved.expired) state.add_expired(expired);
  for (const MovedLock& lock : moved.locks) install(context, lock, owners, sessions);
  for (std::uint32_t owner : owners) state.unref_owner(owner);
}

// --- after everything was lost -------------------------------------------------------------------

void LockTable::Impl::miss_arcs(Context& context) {
  std::vector<OwnedArc> arcs;
  const GroupId other(static_cast<std::uint32_t>(context.op.target.value));
  if (other && decode_arcs(context.op.resource, arcs) && !arcs.empty())
    state.missing[other] = std::move(arcs);
}

void LockTable::Impl::take_arcs(Context& context) {
  std::vector<OwnedArc> arcs;
  const GroupId other(static_cast<std::uint32_t>(context.op.target.value));
  if (!state.missing.contains(other) || !decode_arcs(context.op.resource, arcs)) return;
  for (const OwnedArc& arc : arcs) add_arc(state.arcs, arc);
  state.last_token = std::max(state.last_token, context.op.token);
  state.missing.erase(other);
  ReceivedArcs& received = state.received[other];
  received.below = std::max(received.below, context.op.acked_below.value);
}

// What the other group's earlier life was given, or was to get, is its new life's to serve, empty. Said once:
// what is given to the new life is not touched by a repeat.
void LockTable::Impl::let_arcs(Context& context) {
  const GroupId other(static_cast<std::uint32_t>(context.op.target.value));
  const std::uint64_t below = context.op.acked_below.value;
  ReceivedArcs& received = state.received[other];
  if (received.below >= below) return;
  received.below = below;
  received.numbers.erase(received.numbers.begin(), received.numbers.lower_bound(below));
  std::erase_if(state.outgoing, [&](const auto& entry) { return entry.second.to == other; });
}

// --- sessions ------------------------------------------------------------------------------------

// Into the session that the client has here, or else into one of its own, which goes by whatever generation
// the client turns out to be at. Its deadline begins anew: the client may rely on the one before it until it
// has heard of this group.
std::uint32_t LockTable::Impl::install_session(Context& context, const MovedSession& moved,
                                               std::uint32_t client) {
  std::uint32_t index = state.find_generation(moved.id);
  if (index != kNil && state.session(index).client != client) index = kNil;
  if (index == kNil) {
    SessionId id(moved.id.value & ~std::uint64_t{0xffff});
    auto is_used = [&] {
      return !id || state.tombstone(id) != LockState::Tombstone::none || state.find_session(id) != kNil;
    };
    while (is_used()) id = id.next();
    state.ref_owner(client);
    index = state.adopt_session(id, client, moved.ttl_ms, moved.since_unix_ms);
  } else if (state.session(index).ttl_ms < moved.ttl_ms) {
    state.set_ttl_ms(state.session(index), moved.ttl_ms);
  }
  Session& session = state.session(index);
  state.forget_answers_below(session, moved.acked_below);
  auto take = [&](const StoredAnswer& answer) {
    if (answer.has_holder) state.ref_owner(answer.count);
    return answer;
  };
  for (const StoredAnswer& answer : moved.answers) state.remember(session, take(answer));
  for (const StoredAnswer& ended : moved.ended_waits) {
    if (session.ended_waits.find(ended.sequence) == nullptr) state.remember_ended_wait(session, take(ended));
  }
  context.effects.timers.push_back(
      {TimerEvent::Kind::session, true, session.ttl_ms, session.id, Sequence(), FencingToken(), {}});
  return index;
}

void LockTable::Impl::install(Context& context, const MovedLock& moved,
                              const std::vector<std::uint32_t>& owners,
                              const std::vector<std::uint32_t>& sessions) {
  const NameKey key(moved.name);
  if (state.find_lock(key) != kNil) return;  // never: the arc was not ours
  const std::uint32_t lock = state.add_lock(key);
  state.set_mode(lock, moved.mode);
  for (const MovedHold& from : moved.holds) {
    Hold hold;
    hold.token = from.token;
    hold.sequence = from.sequence;
    hold.since_unix_ms = from.since_unix_ms;
    hold.lock = lock;
    hold.owner = owners[from.owner];
    hold.session = from.session == MovedHold::kNoSession ? kNil : sessions[from.session];
    hold.count = from.count;
    hold.lease_ms = from.lease_ms;
    hold.lease = from.lease;
    hold.waited = from.waited;
    state.ref_owner(hold.owner);
    const std::uint32_t index = state.add_hold(hold);
    if (from.replaced) state.restore_replaced_token(index, from.replaced);
    start_hold_timer(context, index);
  }
  for (const MovedWait& from : moved.waits) {
    Wait wait;
    wait.sequence = from.sequence;
    wait.since_unix_ms = from.since_unix_ms;
    wait.lock = lock;
    wait.owner = owners[from.owner];
    wait.session = sessions[from.session];
    // The client gave one number to two operations, in different groups: only one can go by it here.
    if (state.find_wait(wait.session, wait.sequence) != kNil) continue;
    wait.wait_ms = from.wait_ms;
    wait.lease_ms = from.lease_ms;
    wait.mode = from.mode;
    wait.lease = from.lease;
    state.ref_owner(wait.owner);
    start_wait_timer(context, state.add_wait(wait));
  }
}

void LockTable::Impl::follow_generation(Context& context, SessionId id) {
  Session& session = state.session(context.session);
  if (!session.adopted) return;
  const SessionId before = session.id;
  state.settle_adopted(context.session, id);
  if (before == id) return;
  auto& timers = context.effects.timers;
  timers.push_back({TimerEvent::Kind::session, false, 0, before, Sequence(), FencingToken(), {}});
  timers.push_back({TimerEvent::Kind::session, true, session.ttl_ms, id, Sequence(), FencingToken(), {}});
  for (std::uint32_t w = session.first_wait; w != kNil; w = state.wait(w).session_next) {
    timers.push_back({TimerEvent::Kind::wait, false, 0, before, state.wait(w).sequence, FencingToken(), {}});
    start_wait_timer(context, w);
  }
}

// --- the outside's view --------------------------------------------------------------------------

bool LockTable::read_moved_head(std::string_view bytes, MovedHead& head) {
  MovedArc moved;
  if (!decode_moved(bytes, moved)) return false;
  head = {moved.arc, moved.last_token};
  return true;
}

}  // namespace dlm::server
