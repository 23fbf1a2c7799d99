// Changes of the ring: what the record becomes, what that moves, and when a change is over. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/core/group_config.h"
#include "coordinator/core/ring.h"
#include "schema/report.h"
#include "schema/types.h"

namespace dlm::coordinator {

struct RingPlan {
  Status status = Status::ok;  // invalid_argument: refused, nothing is to be written
  std::string message;         // refused: why, and what to do
  RingRecord record;           // ok: to be written by compare-and-set; its version is still that of `now`
  bool ok() const { return status == Status::ok; }
};
// What a change makes of the ring. `groups`: the records of all groups of the cluster, as a group without a
// primary can take nothing.
//
// One change at a time, as arcs are given away by two rings, the one before and the one to be; while it goes
// on it may be paused, resumed, given another rate, and aborted, which is the change back.
RingPlan plan(const RingRecord& now, const RingChange& change,
              const std::map<GroupId, VersionedConfig>& groups);

// What a change moves from one group to another.
struct RingFlow {
  GroupId from;
  GroupId to;
  std::uint32_t arcs = 0;
  double share = 0;  // of the hash space
  bool operator==(const RingFlow&) const = default;
};
// Sorted.
std::vector<RingFlow> flows_of(const std::vector<ArcMove>& moves);

// The groups of the ring and of the one before, sorted.
std::vector<GroupId> groups_of(const RingRecord& ring);

// Every group of the ring, and of the one before, is through with this version of it. Then (and only then) a
// change may be settled.
bool all_done(const RingRecord& ring, const std::map<GroupId, VersionedConfig>& groups);
// The record once its change is over; its version is still that of `ring`.
RingRecord settled(RingRecord ring);

}  // namespace dlm::coordinator
