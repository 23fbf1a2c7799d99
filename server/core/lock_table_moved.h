// What goes with an arc from one group to another: every lock in it with holders and waiters in order, the
// sessions that these live by, and what is remembered of operations and tokens. As plain values and as bytes.
// The bytes are part of the replicated state (the group that gives keeps them until they have arrived), so
// they are the same on every replica: owners are numbered in the order in which they come up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/lock_table.h"
#include "server/core/session_memory.h"

namespace dlm::server {

struct MovedOwner {
  std::string_view client_id;
  std::string_view owner_tag;
};

// Owners and sessions are named by their index in MovedArc.
struct MovedSession {
  SessionId id;  // in the group that gives; the generation is that group's affair
  std::uint32_t client = 0;
  std::uint32_t ttl_ms = 0;
  std::uint64_t since_unix_ms = 0;
  Sequence acked_below;
  std::vector<StoredAnswer> answers;      // `count` of one with a holder: an owner
  std::vector<StoredAnswer> ended_waits;  // from the oldest
};

struct MovedHold {
  FencingToken token;
  FencingToken replaced;  // none: it was not upgraded
  Sequence sequence;
  std::uint64_t since_unix_ms = 0;
  std::uint32_t owner = 0;
  std::uint32_t session = kNoSession;
  std::uint32_t count = 1;
  std::uint32_t lease_ms = 0;
  LeaseKind lease = LeaseKind::session;
  bool waited = false;
  static constexpr std::uint32_t kNoSession = UINT32_MAX;
};

struct MovedWait {
  Sequence sequence;
  std::uint64_t since_unix_ms = 0;
  std::uint32_t owner = 0;
  std::uint32_t session = 0;
  std::uint32_t wait_ms = 0;
  std::uint32_t lease_ms = 0;
  LockMode mode = LockMode::exclusive;
  LeaseKind lease = LeaseKind::session;
};

struct MovedLock {
  std::string_view name;
  LockMode mode = LockMode::exclusive;
  std::vector<MovedHold> holds;  // in grant order; at least one
  std::vector<MovedWait> waits;  // in queue order
};

struct MovedArc {
  OwnedArc arc;
  FencingToken last_token;  // that the group has given: none of the arc is higher
  std::vector<MovedOwner> owners;
  std::vector<MovedSession> sessions;
  std::vector<ExpiredToken> expired;  // from the oldest
  std::vector<MovedLock> locks;
};

std::string encode_moved(const MovedArc& moved);
// The reverse, for bytes that may be anything: false, and `out` undefined, when they are no such state, or
// one that no table can have (a hold without an owner, a name outside of the arc, two exclusive holders, an
// owner or a token twice in a lock). The strings are borrowed.
bool decode_moved(std::string_view bytes, MovedArc& out);

}  // namespace dlm::server
