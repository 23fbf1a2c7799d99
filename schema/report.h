// What reads tell: one lock, a page of locks, the state of a group and of the cluster. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schema/types.h"

namespace dlm {

struct HoldReport {
  std::string client_id;
  std::string owner_tag;
  LockMode mode = LockMode::exclusive;
  LeaseKind lease = LeaseKind::session;
  FencingToken token;
  std::uint32_t count = 0;
  std::uint64_t since_unix_ms = 0;
  std::uint32_t left_ms = 0;  // until it ends unless renewed (session or lease, whichever is first)
};

struct WaitReport {
  std::string client_id;
  std::string owner_tag;
  LockMode mode = LockMode::exclusive;
  std::uint64_t since_unix_ms = 0;
  std::uint32_t left_ms = 0;  // kWaitForeverMs: no limit
};

struct LockReport {
  std::string resource;
  GroupId group;
  std::vector<HoldReport> holders;
  std::vector<WaitReport> waiters;  // in order; at most `limit` of them in a page, `waiter_count` tells all
  std::uint32_t waiter_count = 0;
};

struct LockPage {
  std::vector<LockReport> locks;
  std::uint64_t next_cursor = 0;  // opaque; 0: the end
};

struct GroupReport {
  GroupId group;
  Epoch epoch;
  std::string primary;               // member name "s1#42"; empty: none
  std::vector<std::string> in_sync;  // member names
  std::vector<std::string> members;  // live servers of the group that registered
  std::uint64_t era = 0;
  // Told by the primary; zero when it can't be reached (then `problem` says why).
  LogIndex last_index;
  LogIndex committed_index;
  std::uint64_t locks_held = 0;
  std::uint64_t waiters = 0;
  std::uint64_t sessions = 0;
  std::string problem;
};

struct RouterReport {
  std::string id;
  std::string address;
};

struct ClusterReport {
  std::string cluster;
  std::uint64_t ring_version = 0;
  std::vector<RouterReport> routers;
  struct Share {
    GroupId group;
    double weight = 1;
    double share = 0;  // of the hash space, 0 to 1
  };
  std::vector<Share> ring;
  std::vector<GroupReport> groups;
};

}  // namespace dlm
