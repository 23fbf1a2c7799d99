// The rules of the lock table once more, as plainly as they can be put: maps, deques, and a walk over
// everything. What it answers is compared with what the real one answers. It tells no messages and no
// timers.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "schema/operation.h"
#include "schema/report.h"
#include "server/core/lock_table.h"

namespace dlm::server {

class ReferenceTable {
 public:
  explicit ReferenceTable(const LockTableLimits& limits) : limits_(limits) {}

  std::vector<Answer> apply(const Operation& op, std::uint64_t stamp_unix_ms);
  LockReport inspect(const std::string& resource) const;
  std::set<std::string> held() const;
  std::size_t waiters() const;
  std::size_t sessions() const { return sessions_.size(); }
  // For a test to choose from: (session, sequence, resource) of all waits; (token, resource) of all leased
  // holds.
  struct WaitName {
    SessionId session;
    Sequence sequence;
    std::string resource;
  };
  std::vector<WaitName> all_waits() const;
  std::vector<std::pair<FencingToken, std::string>> all_leased() const;

 private:
  using Owner = std::pair<std::string, std::string>;
  struct Hold {
    Owner owner;
    SessionId session;
    Sequence sequence;
    FencingToken token;
    std::uint64_t since = 0;
    std::uint32_t count = 1;
    std::uint32_t lease_ms = 0;
    LeaseKind lease = LeaseKind::session;
    bool waited = false;
    FencingToken replaced;  // by an upgrade
    bool goes_by(FencingToken name) const { return token == name || (replaced && replaced == name); }
  };
  struct Wait {
    Owner owner;
    OwnedOperation op;
    std::uint64_t since = 0;
  };
  struct Lock {
    LockMode mode = LockMode::exclusive;
    std::vector<Hold> holds;
    std::deque<Wait> waits;
  };
  struct Session {
    std::string client;
    std::uint32_t ttl_ms = 0;
    std::uint64_t since = 0;
    Sequence acked_below;
    std::map<Sequence, Answer> answers;
    std::deque<Answer> ended_waits;
  };

  void client_operation(const Operation& op);
  std::optional<Answer> earlier(const Operation& op);
  bool well_formed(const Operation& op) const;
  void acquire(const Operation& op);
  void release_or_renew(const Operation& op);
  void cancel(const Operation& op);
  void open_session(const Operation& op);
  void end_session(SessionId id, bool expired);
  // Empty: it has to wait.
  std::optional<Answer> decide(Lock& lock, const Owner& owner, const Operation& op, bool waited);
  void serve_queue(const std::string& resource);
  void end_wait(const Operation& op, Answer answer);
  void remember_ended_wait(SessionId session, Answer answer);
  void expire_tokens(const std::string& resource, const Hold& hold);
  bool remove_wait(SessionId session, Sequence sequence, std::string& resource, Wait& removed);
  Answer base(const Operation& op, Status status) const;
  Answer told(Answer answer, const Lock& lock, const Owner* other_than = nullptr) const;
  void conclude(Answer answer);
  void remember(const Answer& answer);
  FencingToken next_token() { return last_token_ = last_token_.next(); }

  LockTableLimits limits_;
  std::map<std::string, Lock> locks_;
  std::map<SessionId, Session> sessions_;
  std::map<SessionId, bool> tombstones_;  // whether the client closed it
  std::deque<std::pair<std::string, FencingToken>> expired_;
  FencingToken last_token_;
  std::vector<Answer> out_;
  std::uint64_t now_ = 0;
};

}  // namespace dlm::server
