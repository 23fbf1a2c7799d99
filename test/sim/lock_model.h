// What the lock semantics of the design mean, put as plainly as possible: maps, lists, and the rules in the
// order in which the design gives them. Fed with the committed log of a group, it says what each operation's
// answer must be, who holds what, and what ended. Written from the design, not from LockTable, which it
// judges.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
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

class LockModel {
 public:
  struct Owner {
    std::string client;
    std::string tag;
    auto operator<=>(const Owner&) const = default;
  };
  struct Hold {
    Owner owner;
    SessionId session;  // that acquired it; none: that has ended (detached holds only)
    Sequence acquire;   // that was given this token
    FencingToken token;
    LeaseKind lease = LeaseKind::session;
    std::uint32_t count = 1;
    bool waited = false;
    FencingToken replaced;  // by the upgrade, if there was one
    bool goes_by(FencingToken name) const { return token == name || (replaced && replaced == name); }
  };
  struct Wait {
    OperationName name;
    Owner owner;
    LockMode mode = LockMode::exclusive;
    LeaseKind lease = LeaseKind::session;
  };
  struct Lock {
    LockMode mode = LockMode::exclusive;  // of all holders
    std::vector<Hold> holders;            // in grant order
    std::list<Wait> queue;
  };
  // What somebody who watches wants to know, at the moment when it happens.
  struct Events {
    std::function<void(const std::string& resource)> on_change;
    std::function<void(const std::string& resource, const Hold&)> on_grant;
    std::function<void(const std::string& resource, const Hold&)> on_end;  // released or expired
    std::function<void(const OperationName& wait)> on_wait_expired;
  };

  LockModel(const server::LockTableLimits& limits, Events events)
      : limits_(limits), events_(std::move(events)) {}

  void apply(const Operation& entry);

  // What the operation came to; null: nothing yet, or it never came.
  const Outcome* outcome(const OperationName& name) const;
  bool is_waiting(const OperationName& name) const { return waits_.contains(name); }
  bool is_live(SessionId session) const { return sessions_.contains(session); }
  Sequence acked_below(SessionId session) const;
  const Lock* lock(const std::string& resource) const;
  const std::map<std::string, Lock, std::less<>>& locks() const { return locks_; }
  FencingToken last_token() const { return last_token_; }

 private:
  struct Session {
    std::string client;
    Sequence acked_below;
  };

  void open(const Operation& entry);
  void end_session(SessionId session, bool expired);
  void serve(const Operation& entry);
  bool came_before(const Operation& entry, const Session& session);
  void acquire(const Operation& entry, const Owner& owner);
  bool try_grant(const std::string& resource, Lock& lock, const Wait& request, bool waited, Outcome& outcome);
  Outcome again(const std::string& resource, Lock& lock, Hold& own, const Wait& request);
  void release_or_renew(const Operation& entry, const Owner& owner);
  void cancel(const Operation& entry);
  const Hold* hold_of(const OperationName& acquire, const std::string& resource) const;
  void expire_hold(const Operation& entry);
  void expire_wait(const Operation& entry);
  void end_hold(const std::string& resource, Lock& lock, std::size_t index, bool expired);
  void end_wait(const OperationName& name, const Outcome& outcome);
  void serve_queue(const std::string& resource);
  EndCause why_not_held(const Operation& entry, const Lock* lock) const;
  void conclude(const Operation& entry, const Outcome& outcome) {
    outcomes_[{entry.session, entry.sequence}] = outcome;
  }
  void changed(const std::string& resource) {
    if (events_.on_change) events_.on_change(resource);
  }

  server::LockTableLimits limits_;
  Events events_;
  std::map<std::string, Lock, std::less<>> locks_;
  std::map<SessionId, Session> sessions_;
  std::map<SessionId, bool> ended_;  // by the client itself?
  std::unordered_map<OperationName, Outcome, OperationNameHash> outcomes_;
  std::unordered_map<OperationName, std::string, OperationNameHash> waits_;  // where
  std::unordered_set<OperationName, OperationNameHash> waited_;    // got their outcome from the queue
  std::set<std::pair<std::string, FencingToken>> expired_tokens_;  // by name: groups may give equal ones
  FencingToken last_token_;
};

}  // namespace dlm::sim
