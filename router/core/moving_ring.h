// The ring as a router follows it: while a change is under way also the ring before, and what was found out
// about where each arc is on its way. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "coordinator/core/ring.h"
#include "coordinator/core/ring_change.h"
#include "schema/types.h"

namespace dlm::router {

// Whom to ask for a hash.
struct Candidates {
  GroupId group;  // first; none: there is no ring
  GroupId other;  // when `group` says moved; none: the arc stays where it is
};

// An arc that moves is asked of the group that it comes from until that says moved, and of the other from
// then on. A large one moves in pieces, so what is known is a guess, right for most of its names and changed
// by each answer: who asks in vain asks the other.
class MovingRing {
 public:
  // Whether anything has changed in where arcs are or go; a pause or another rate has not.
  bool follow(const coordinator::RingRecord& record);

  Candidates candidates(std::uint64_t hash) const;
  // `by` says that it does not own the hash, any more or not yet.
  void moved(std::uint64_t hash, GroupId by);

  bool empty() const { return ring_.empty(); }
  const coordinator::Ring& ring() const { return ring_; }
  const coordinator::Ring& before() const { return before_; }                 // empty without a change
  const std::vector<coordinator::RingFlow>& flows() const { return flows_; }  // of the change
  // The part of the difference in which the hash lies; null: it stays where it is.
  const coordinator::ArcMove* move_of(std::uint64_t hash) const;

 private:
  void turn_back();

  std::vector<coordinator::RingGroup> groups_;
  std::vector<coordinator::RingGroup> groups_before_;
  coordinator::Ring ring_;
  coordinator::Ring before_;
  std::vector<coordinator::ArcMove> moves_;  // from before_ to ring_
  std::vector<bool> went_;                   // of each: to be asked of the group that it goes to first
  std::vector<coordinator::RingFlow> flows_;
};

}  // namespace dlm::router
