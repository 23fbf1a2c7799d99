// The consistent-hash ring: names → hash → arc → group. Pure; the same record gives the same ring everywhere.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "schema/types.h"

namespace dlm::coordinator {

struct RingGroup {
  GroupId group;
  double weight = 1;
  bool operator==(const RingGroup&) const = default;
};

// What the coordinator holds: the ring, and while arcs move to bring it about, the ring before. Each group's
// primary gives away what `groups` does not give it, and says in the group's record when it is through; when
// all have, `before` is dropped.
struct RingRecord {
  std::uint64_t version = 0;          // of the record in the coordinator; 0: there is none
  std::vector<RingGroup> groups{};    // sorted
  std::vector<RingGroup> before{};    // empty: no change is under way. Sorted
  bool paused = false;                // no arc begins to move; those under way arrive
  std::uint32_t locks_per_s_max = 0;  // that a group may give away; 0: no limit
  bool changing() const { return !before.empty(); }
  bool operator==(const RingRecord&) const = default;
};
// {"groups":[{"group":"g1","weight":1.0}],"before":[],"paused":false,"locksPerSecondMax":0}; the version is
// the coordinator's and not part of it. Both sort the groups, so that one ring has one record. parse returns
// false, why, and `out` as it was, on anything else, on a group named twice in a list and outside of the
// limits below.
std::string to_json(const RingRecord&);
bool parse_json(std::string_view json, RingRecord& out, std::string& error);
std::string weight_text(double weight);  // "1.0", "0.25"

inline constexpr double kRingWeightMin = 0.01;
inline constexpr double kRingWeightMax = 64;
inline constexpr double kRingWeightSumMax = 1024;  // bounds the number of virtual nodes

// To the 15 digits that survive being written and read, as those of a record do.
double rounded_weight(double weight);
// The same whatever order they are in.
double sum_of_weights(std::vector<RingGroup> groups);

// XXH3 (64 bit, seed 0) of a resource name: the position on the ring.
std::uint64_t hash_of(std::string_view resource);

// A run of the hash space, both ends inclusive.
struct Arc {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  GroupId group;
  bool operator==(const Arc&) const = default;
};

// What part of the hash space a run of it is, both ends inclusive.
double share_of_space(std::uint64_t begin, std::uint64_t end);

// Each group has virtual nodes at fixed points, XXH3("g<id>/<n>") for n from 0, in proportion to its weight;
// a hash belongs to the nearest point. (Karger et al., 1997, have it belong to the next point. A cell between
// two midpoints varies half as much as a gap, so the same balance takes half as many arcs.) The points of a
// group depend on nothing but its id and weight: a group that comes only takes, a group that goes only gives.
//
// Immutable, so safe to read from any thread. Weights outside of the limits count as the limit, a group named
// twice counts once.
class Ring {
 public:
  Ring() = default;
  explicit Ring(const RingRecord& record);  // of its `groups`
  explicit Ring(const std::vector<RingGroup>& groups, std::uint64_t version = 0);

  bool empty() const { return arcs_.empty(); }
  std::uint64_t version() const { return version_; }
  // GroupId() for an empty ring. Constant time.
  GroupId group_of(std::uint64_t hash) const { return empty() ? GroupId() : arc_of(hash).group; }
  // REQUIRES: the ring is not empty.
  const Arc& arc_of(std::uint64_t hash) const;
  // Sorted, without gaps, neighbours of one group merged, covering the whole space.
  const std::vector<Arc>& arcs() const { return arcs_; }
  std::vector<Arc> arcs_of(GroupId group) const;
  // Share of the hash space, 0 to 1. Cheap.
  double share_of(GroupId group) const;

 private:
  std::uint64_t version_ = 0;
  std::vector<Arc> arcs_;
  std::map<GroupId, double> shares_;
  std::vector<std::uint32_t>
      index_;  // by the upper bits of a hash: the arc of the first hash with these bits
  int index_shift_ = 63;
};

// An arc whose owner differs between two rings.
struct ArcMove {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  GroupId from;
  GroupId to;
  bool operator==(const ArcMove&) const = default;
};
// Sorted; as few moves as possible: neighbours with the same owners before and after are one. Empty when
// either ring is.
std::vector<ArcMove> difference(const Ring& before, const Ring& after);

}  // namespace dlm::coordinator
