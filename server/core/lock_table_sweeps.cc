// The end of a session with very many holds, in several entries. The session is over with the first of them:
// its waits go at once, so nothing of it can be granted any more, and as nobody finds it, nothing of it can
// be renewed or released either. What is left are holds that nobody owns, which go in sweeps.
#include "server/core/lock_table_impl.h"

namespace dlm::server {

void LockTable::Impl::begin_end(Context& context, bool expired) {
  std::vector<std::uint32_t> locks;
  end_waits(context, expired, locks);
  state.begin_ending(context.session, expired ? Ending::expired : Ending::closed);
  for (std::uint32_t lock : locks)
    if (state.lock_live(lock)) settle(context, lock);
  sweep(context);
}

// By the indexes of the locks, as these are the same on all replicas: the order of a session's own list is
// not.
void LockTable::Impl::sweep(Context& context) {
  const Session& session = state.session(context.session);
  const bool expired = session.ending == Ending::expired;
  const auto locks = static_cast<std::uint32_t>(state.locks().size());
  std::uint32_t lock = session.swept;
  std::uint32_t ended = 0;
  for (std::uint32_t looked = 0; session.first_hold != kNil && lock < locks; ++lock, ++looked) {
    if (ended >= state.limits.holds_per_sweep || looked >= state.limits.locks_per_sweep) break;
    if (state.lock_live(lock)) ended += end_holds_of(context, lock, expired);
  }
  if (session.first_hold == kNil) return session_is_gone(context, expired, true);
  state.set_swept(context.session, lock);
  // Due at once: the LeaseClock gives the entry for the next sweep.
  context.effects.timers.push_back(
      {TimerEvent::Kind::session, true, 0, session.id, Sequence(), FencingToken(), {}});
}

// Of the session of the context; how many.
std::uint32_t LockTable::Impl::end_holds_of(Context& context, std::uint32_t lock, bool expired) {
  std::uint32_t ended = 0;
  bool is_freer = false;
  for (std::uint32_t next = kNil, hold = state.lock(lock).first_hold; hold != kNil; hold = next) {
    next = state.hold(hold).next;
    if (state.hold(hold).session != context.session) continue;
    ++ended;
    if (state.hold(hold).lease == LeaseKind::detached) {
      state.detach_from_session(hold);
    } else {
      end_hold(context, hold, expired);
      is_freer = true;
    }
  }
  if (is_freer) settle(context, lock);
  return ended;
}

// Of any session that is ending: before the lock goes to another group, which knows nothing of it.
void LockTable::Impl::end_ending_holds(Context& context, std::uint32_t lock) {
  for (std::uint32_t hold = state.lock(lock).first_hold; hold != kNil;) {
    const std::uint32_t session = state.hold(hold).session;
    if (session == kNil || !state.is_ending(session)) {
      hold = state.hold(hold).next;
      continue;
    }
    Context of_session{context.op, context.stamp_unix_ms, context.effects, session};
    end_holds_of(of_session, lock, state.session(session).ending == Ending::expired);
    if (!state.lock_live(lock)) return;
    hold = state.lock(lock).first_hold;
  }
}

}  // namespace dlm::server
