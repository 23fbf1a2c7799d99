// What the lock semantics of the design mean, put as plainly as possible: maps, lists, and the rules in the
// order in which the design gives them. Fed with the committed log of a group, it says what each operation's
// answer must be, who holds what, and what ended. Written from the design, not from LockTable, which it
// judges. What moves from group to group the models give each other (ArcBook), whatever the servers send.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "schema/operation.h"
#include "schema/report.h"
#include "schema/types.h"
#include "server/core/lock_table.h"

namespace dlm::sim {

struct OperationName {
  SessionId session;
  Sequence sequence;
  bool operator==(const OperationName&) const = default;
};
struct OperationNameHash {
  std::size_t operator()(const OperationName& name) const {
    return static_cast<std::size_t>((name.session.value ^ (name.sequence.value << 1)) * 0x9e3779b97f4a7c15U);
  }
};

// The part of an answer that must never change.
struct Outcome {
  Status status = Status::ok;
  EndCause cause = EndCause::none;
  FencingToken token;
  std::uint32_t count = 0;
  bool operator==(const Outcome&) const = default;
};
std::string describe(const Outcome& outcome);

// The client's part of a session id, without the generation: that is each group's affair.
inline SessionId base_of(SessionId session) {
  return SessionId(session.value & ~std::uint64_t{0xffff});
}

class ArcBook;

class LockModel {
 public:
  struct Owner {
    std::string client;
    std::string tag;
    auto operator<=>(const Owner&) const = default;
  };
  struct Hold {
    Owner owner;
    SessionId session;  // base of the one that acquired it; none: that has ended (detached holds only)
    Sequence acquire;   // that was given this token
    FencingToken token;
    LeaseKind lease = LeaseKind::session;
    std::uint32_t count = 1;
    bool waited = false;
    FencingToken replaced;  // by the upgrade, if there was one
    // By a session of the owner. What lives by another session of the same client id is not its own.
    bool counts_for(SessionId base, const std::string& client) const {
      return lease == LeaseKind::detached || session == base || owner.client != client;
    }
    bool goes_by(FencingToken name) const { return token == name || (replaced && replaced == name); }
  };
  struct Wait {
    OperationName name;  // by the session's base
    Owner owner;
    LockMode mode = LockMode::exclusive;
    LeaseKind lease = LeaseKind::session;
  };
  struct Lock {
    LockMode mode = LockMode::exclusive;  // of all holders
    std::vector<Hold> holders;            // in grant order
    std::list<Wait> queue;
  };
  // What goes with an arc. Sessions and operations are named by the session's base.
  struct Piece {
    struct Memory {
      Sequence sequence;
      std::uint32_t place = 0;
      Outcome outcome;
    };
    struct Session {
      SessionId base;
      std::string client;
      Sequence acked_below;
      std::vector<Memory> answers;
      std::vector<Memory> ended_waits;
    };
    server::OwnedArc arc;
    GroupId to;
    FencingToken last_token;
    std::vector<Session> sessions;
    std::map<std::string, Lock> locks;
    std::vector<std::pair<std::string, FencingToken>> expired;
  };
  // What somebody who watches wants to know, at the moment when it happens.
  struct Events {
    std::function<void(const std::string& resource)> on_change;
    std::function<void(const std::string& resource, const Hold&)> on_grant;
    std::function<void(const std::string& resource, const Hold&)> on_end;  // released or expired
    std::function<void(const OperationName& wait)> on_wait_expired;
  };

  LockModel(GroupId group, ArcBook& arcs, Events events)
      : group_(group), arcs_(&arcs), events_(std::move(events)) {}

  void apply(const Operation& entry);
  // Its log was given up: what is still applied is told to nobody, and gives and takes arcs in a book of its
  // own.
  void go_on_alone();

  // What the operation came to; null: nothing yet, or it never came.
  const Outcome* outcome(const OperationName& name) const;
  // Now, or until it went with its arc: a primary may apply both before it answers.
  bool has_waited(const OperationName& name) const {
    return waits_.contains(by_base(name)) || given_waits_.contains(by_base(name));
  }
  bool is_live(SessionId session) const { return find_session(session) != nullptr; }
  Sequence acked_below(SessionId session) const;
  const Lock* lock(const std::string& resource) const;
  const std::map<std::string, Lock, std::less<>>& locks() const { return locks_; }
  FencingToken last_token() const { return last_token_; }

 private:
  // The place of a name: half of its hash.
  using Place = std::uint32_t;
  struct Session {
    SessionId id;  // of the generation that it goes by
    std::string client;
    Sequence acked_below;
    // Came with an arc, and the client has not been heard of here: it may be at a later generation.
    bool adopted = false;
    // What a repeat gets its answer from: operations whose answers are not acknowledged, and the last waits
    // that ended otherwise than in a hold of their own.
    std::map<Sequence, Place> answers;
    std::deque<std::pair<Sequence, Place>> ended_waits;

    void acknowledge(Sequence below);
    void remember(Sequence sequence, Place place);
    void remember_wait(Sequence sequence, Place place);
    bool remembers(Sequence sequence) const;
  };
  static OperationName by_base(const OperationName& name) { return {base_of(name.session), name.sequence}; }

  void open(const Operation& entry);
  const Session* find_session(SessionId id) const;
  Session* find_session(SessionId id) { return const_cast<Session*>(std::as_const(*this).find_session(id)); }
  void heard(Session& session, const Operation& entry);
  void end_session(SessionId base, bool expired);
  void end_waits_of(SessionId base, const Session& session, bool expired, std::vector<std::string>& touched);
  void end_holds_of(SessionId base, bool expired, std::vector<std::string>& touched);
  void serve(const Operation& entry);
  bool came_before(const Operation& entry, const Session& session, bool owned) const;
  bool is_malformed(const Operation& entry) const;
  void acquire(const Operation& entry, const Owner& owner);
  bool try_grant(const std::string& resource, Lock& lock, const Wait& request, bool waited, Outcome& outcome);
  Outcome again(const std::string& resource, Lock& lock, Hold& own, const Wait& request);
  void release_or_renew(const Operation& entry, const Owner& owner);
  void cancel(const Operation& entry);
  const Hold* hold_of(SessionId base, Sequence acquire, const std::string& resource) const;
  void expire_hold(const Operation& entry);
  void expire_wait(const Operation& entry);
  void end_hold(const std::string& resource, Lock& lock, std::size_t index, bool expired);
  void end_wait(const OperationName& name, const Outcome& outcome);
  void wait_over(const OperationName& name, const Outcome& outcome);
  void serve_queue(const std::string& resource);
  EndCause why_not_held(const Operation& entry, const Lock* lock) const;
  void conclude(const Operation& entry, const Outcome& outcome);

  std::size_t held_by(const std::string& client) const;
  std::size_t waiting_of(SessionId base) const;

  // lock_model_moves.cc
  void start_epoch(const Operation& entry);
  void move_out(const Operation& entry);
  void give_locks(Piece& piece, std::set<SessionId>& sessions);
  void give_sessions(Piece& piece, const std::set<SessionId>& sessions);
  void give_expired(Piece& piece) const;
  void move_in(const Operation& entry);
  void take_arcs(const Operation& entry);
  void install(const Piece::Session& from);
  void install(const std::string& resource, const Lock& lock);
  Session& adopt(const Piece::Session& from);
  std::vector<OperationName> names_of(SessionId base, const Session& session) const;
  void follow_generation(Session& session, SessionId id);
  void forget_adopted(SessionId base, const Session& session);
  void changed(const std::string& resource) {
    if (events_.on_change) events_.on_change(resource);
  }

  GroupId group_;
  ArcBook* arcs_;
  std::shared_ptr<ArcBook> own_arcs_;  // since it goes on alone
  server::LockTableLimits limits_;
  Events events_;
  std::map<std::string, Lock, std::less<>> locks_;
  std::map<SessionId, Session> sessions_;               // by base
  std::map<std::string, SessionId, std::less<>> live_;  // of each client: the base of its session
  std::map<SessionId, bool> ended_;                     // by the client itself?
  std::unordered_map<OperationName, Outcome, OperationNameHash> outcomes_;   // by the session's id
  std::unordered_map<OperationName, std::string, OperationNameHash> waits_;  // where; by its base
  std::unordered_set<OperationName, OperationNameHash> given_waits_;
  std::set<std::pair<std::string, FencingToken>> expired_tokens_;  // by name: groups may give equal ones
  FencingToken last_token_;
  std::uint64_t last_move_ = 0;
  std::set<GroupId> missing_;  // groups that may have arcs of this one, which lost everything
};

}  // namespace dlm::sim
