// The rules of the lock table, over the state of lock_table_state.h. lock_table_apply.cc has what comes in
// and the life of sessions, lock_table_locks.cc the operations on locks and the queues, lock_table_moves.cc
// arcs that come and go, lock_table.cc reads.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "server/core/lock_table.h"
#include "server/core/lock_table_messages.h"
#include "server/core/lock_table_state.h"

namespace dlm::server {

struct MovedLock;
struct MovedSession;

// An answer before it is written out: its strings as references into the state.
struct Outcome {
  Status status = Status::ok;
  EndCause cause = EndCause::none;
  Reason reason = Reason::none;
  std::uint32_t reason_number = 0;
  FencingToken token;
  std::uint32_t count = 0;
  std::uint32_t ttl_ms = 0;
  std::uint32_t position = 0;
  std::uint32_t holder = kNil;  // an owner; not owned
  std::uint64_t holder_since_unix_ms = 0;

  static Outcome refused(Reason why, std::uint32_t number = 0, Status status = Status::invalid_argument) {
    Outcome outcome;
    outcome.status = status;
    outcome.reason = why;
    outcome.reason_number = number;
    return outcome;
  }
};

struct LockTable::Impl {
  LockState state;

  void apply(const Operation& op, std::uint64_t stamp_unix_ms, Effects& effects);

  // --- for reads too -----------------------------------------------------------------------------
  bool owns(const NameKey& key) const;
  // Why an operation is refused whatever the state is; reason none: it is not.
  Outcome check_form(const Operation& op) const;
  Outcome check_session_options(const Operation& op) const;
  // The live session that answers to this id; kNil: none.
  std::uint32_t find_session(SessionId id) const;
  Outcome no_session(SessionId id) const;  // session_unknown or session_expired
  // The hold that a release or renewal names, or kNil and why not.
  std::uint32_t find_named_hold(std::uint32_t session, const Operation& op, const NameKey& key,
                                Outcome& refusal) const;
  Answer write_out(SessionId session, Sequence sequence, const Outcome& outcome) const;

 private:
  // One entry: what it works on and where its effects go.
  struct Context {
    const Operation& op;
    std::uint64_t stamp_unix_ms;
    Effects& effects;
    std::uint32_t session = kNil;
    std::uint32_t place = 0;  // of its resource
  };

  // --- lock_table_apply.cc -----------------------------------------------------------------------
  void serve(Context& context);
  bool repeat(Context& context, bool owned);
  void open_session(Context& context);
  void close_session(Context& context);
  void expire_session(Context& context);
  void end_session(Context& context, bool expired);
  void end_waits(Context& context, bool expired, std::vector<std::uint32_t>& locks);
  void session_is_gone(Context& context, bool expired, bool leaves_tombstone);
  void expire_hold(Context& context);
  void expire_wait(Context& context);
  void forget_session(Context& context);
  void start_epoch(Context& context);

  // --- lock_table_sweeps.cc ----------------------------------------------------------------------
  void begin_end(Context& context, bool expired);
  void sweep(Context& context);
  std::uint32_t end_holds_of(Context& context, std::uint32_t lock, bool expired);
  void end_ending_holds(Context& context, std::uint32_t lock);

  // --- lock_table_moves.cc -----------------------------------------------------------------------
  void move_out(Context& context);
  void freeze(Context& context, std::uint32_t lock, GroupId to);
  void move_in(Context& context);
  void install(Context& context, const MovedLock& moved, const std::vector<std::uint32_t>& owners,
               const std::vector<std::uint32_t>& sessions);
  std::uint32_t install_session(Context& context, const MovedSession& moved, std::uint32_t client);
  void move_done(Context& context);
  void miss_arcs(Context& context);
  void take_arcs(Context& context);
  void let_arcs(Context& context);
  // The client spoke under a later generation than the one under which its session came.
  void follow_generation(Context& context, SessionId id);

  void answer(Context& context, SessionId session, Sequence sequence, const Outcome& outcome);
  // Answers the operation of the context and remembers it.
  void conclude(Context& context, const Outcome& outcome);
  void remember(std::uint32_t session, Sequence sequence, std::uint32_t place, const Outcome& outcome);
  StoredAnswer stored(Sequence sequence, std::uint32_t place, const Outcome& outcome);
  Outcome recall(const StoredAnswer& stored) const;

  void start_hold_timer(Context& context, std::uint32_t hold);
  void stop_hold_timer(Context& context, std::uint32_t hold);
  void start_wait_timer(Context& context, std::uint32_t wait);
  void stop_wait_timer(Context& context, std::uint32_t wait);

  // --- lock_table_locks.cc -----------------------------------------------------------------------
  struct Request {
    std::uint32_t owner;
    std::uint32_t session;
    Sequence sequence;
    LockMode mode;
    LeaseKind lease;
    std::uint32_t lease_ms;
    bool waited;
  };
  void acquire(Context& context, const NameKey& key);
  void release(Context& context, const NameKey& key);
  void renew(Context& context, const NameKey& key);
  void cancel(Context& context, const NameKey& key);
  bool has_all_its_holds(std::uint32_t session, std::uint32_t owner) const;
  void enqueue(Context& context, std::uint32_t lock, std::uint32_t owner);
  // Decides a request with nobody before it. False: it is not compatible with the holders, and must wait.
  // Otherwise it is granted or refused, as `outcome` tells.
  bool decide(Context& context, std::uint32_t lock, const Request& request, Outcome& outcome);
  bool decide_again(Context& context, std::uint32_t hold, const Request& request, Outcome& outcome);
  bool is_own(std::uint32_t hold, std::uint32_t session) const;
  void remember_replaced_grant(std::uint32_t hold);
  Outcome grant(Context& context, std::uint32_t lock, const Request& request);
  // After holds or waits of a lock have gone: serves its queue as far as it goes, and drops a lock of
  // nobody.
  void settle(Context& context, std::uint32_t lock);
  // Takes a wait out of its queue and gives its acquire the final answer.
  void end_wait(Context& context, std::uint32_t wait, const Outcome& outcome);
  void end_hold(Context& context, std::uint32_t hold, bool expired);
  void tell_holder(std::uint32_t lock, std::uint32_t other_than, Outcome& outcome) const;
  std::uint32_t place_of(std::uint32_t lock) const { return NameKey(state.lock(lock).name.view()).place(); }
  std::uint32_t hold_of_acquire(std::uint32_t session, Sequence sequence, const NameKey& key) const;
  FencingToken next_token() { return state.last_token = state.last_token.next(); }
};

}  // namespace dlm::server
