// What reads tell: one lock, a page of locks, the state of a group and of the cluster. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
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

// How far a group is with giving arcs away, as its primary tells.
struct MoveReport {
  std::uint32_t arcs_left = 0;  // to be given away, those under way included
  std::uint32_t arcs_under_way = 0;
  double share_left = 0;          // of the hash space, still to be given away
  std::uint64_t arcs_moved = 0;   // since this primary leads
  std::uint64_t locks_moved = 0;  // since this primary leads; waiters not counted
  std::string waits_for;          // why it does not go on; empty: it does, or there is nothing to do
};

struct GroupReport {
  GroupId group;
  Epoch epoch;
  std::string primary;               // member name "s1#42"; empty: none
  std::vector<std::string> in_sync;  // member names
  std::vector<std::string> members;  // live servers of the group that registered
  std::vector<std::string> durable;  // those of them that acknowledge what is on their disks, and only that
  std::uint64_t era = 0;
  // Told by the primary; zero when it can't be reached (then `problem` says why).
  LogIndex last_index;
  LogIndex committed_index;
  std::uint64_t locks_held = 0;
  std::uint64_t waiters = 0;
  std::uint64_t sessions = 0;
  std::uint64_t ring_version = 0;  // of the ring that it knows
  std::uint32_t arcs = 0;          // that it owns
  double share_owned = 0;          // of the hash space
  MoveReport move;
  // Quotas in force: of each client, and of sessions of all. 0: not told.
  std::uint32_t holds_per_client_max = 0;
  std::uint32_t waits_per_client_max = 0;
  std::uint32_t sessions_max = 0;
  std::uint64_t operations_pending = 0;
  std::uint64_t operations_refused = 0;  // as overloaded, since this primary leads
  std::string problem;

  // "fsync", "memory", or "mixed" when its members differ; "?" when none lives.
  std::string_view durability() const {
    if (members.empty()) return "?";
    if (durable.empty()) return "memory";
    return durable.size() == members.size() ? "fsync" : "mixed";
  }
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

// The ring, what is moving in it, and what each group says of itself.
struct RingReport {
  std::uint64_t version = 0;
  bool changing = false;              // arcs are on their way (or, in a plan, would be)
  bool paused = false;                // of a change
  std::uint32_t locks_per_s_max = 0;  // of a change, for each group that gives; 0: no limit
  struct Group {
    double weight = 0;         // 0: it leaves the ring
    double weight_before = 0;  // before the change under way; 0: it comes. Without a change: as weight
    double share = 0;          // of the hash space, by the ring
    double share_before = 0;
    GroupReport state;  // problem not empty: its primary could not be asked
  };
  std::vector<Group> groups;  // of the ring, those that leave it included; sorted
  struct Flow {
    GroupId from;
    GroupId to;
    std::uint32_t arcs = 0;
    double share = 0;           // of the hash space
    std::uint64_t locks = 0;    // about: by the share of all that `from` owns
    std::uint64_t waiters = 0;  // likewise
  };
  std::vector<Flow> flows;  // what the whole change moves; empty: nothing changes
};

// A change of the ring, or of how one goes on.
struct RingChange {
  enum class Kind : std::uint8_t {
    add = 0,
    remove = 1,
    weight = 2,
    pause = 3,
    resume = 4,
    abort = 5,
    rate = 6
  };
  Kind kind = Kind::add;
  GroupId group;                       // add, remove, weight
  double weight = 1;                   // add, weight
  std::uint32_t locks_per_s_max = 0;   // add, remove, weight, rate; 0: no limit
  std::uint64_t expected_version = 0;  // refused when the ring has another; 0: the router's newest
  bool dry_run = false;                // tells what would be, and does nothing
};

// A group whose in-sync members may be gone for ever, and what it takes to begin it anew without them: every
// lock that it had is forgotten. By the group's record and by who is registered.
struct RecoveryReport {
  GroupId group;
  std::uint64_t version = 0;  // of the group's record; what is begun is begun from this one
  Epoch epoch;
  std::uint64_t era = 0;
  std::vector<std::string> lost;           // members of the in-sync set that are not registered
  std::vector<std::string> in_sync_alive;  // those that are: with one of them nothing is lost
  std::vector<std::string> members;        // live servers of the group
  std::uint32_t lease_ms_max = 0;          // for so long nothing is granted
  std::string successor;                   // who begins it anew, in the next epoch and era; empty: refused
  FencingToken first_token;                // all that are given afterwards are above it
  std::string refusal;                     // why it may not be done; empty: it may
  bool begun = false;                      // it was done: what stands above is how it was before
};

// Where a name is.
struct PlaceReport {
  std::string resource;
  std::uint64_t hash = 0;
  std::uint64_t arc_begin = 0;  // both ends inclusive
  std::uint64_t arc_end = 0;
  GroupId group;        // by the ring; while the arc moves: where it comes from
  GroupId moving_to;    // none: it stays
  std::string primary;  // of `group`; empty: none now
  std::uint64_t ring_version = 0;
};

}  // namespace dlm
