// What a router knows of the cluster (ring, group configurations, servers) and what it makes of each kind of
// refusal. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/coordinator.h"
#include "coordinator/core/group_config.h"
#include "coordinator/core/ring.h"
#include "router/core/moving_ring.h"
#include "schema/operation.h"
#include "schema/types.h"

namespace dlm::router {

// What to do with a group's answer to an operation.
enum class Reaction : std::uint8_t {
  answer,        // final: the client gets it
  wait,          // queued: the client is told, the final answer comes later
  retry,         // not (or not yet) this replica: again, when the configuration changed or after a pause
  put_off,       // this replica, but not yet: this operation again, after the time that it tells
  reroute,       // the group does not own the resource: again, of the other group of an arc that moves, by a
                 // newer ring or after a pause
  open_session,  // the group has never seen the session: open it, then again
};
Reaction reaction_to(Status status);
Reaction reaction_to(const Answer& answer);

// The latest view, never going back: a group's record or a ring older than the known one is ignored, so a
// coordinator replica that lags cannot undo a takeover.
class Routes {
 public:
  struct Changes {
    bool ring = false;            // where arcs are or go
    std::vector<GroupId> groups;  // with another configuration than before, new ones included; sorted
  };
  Changes update(const coordinator::ClusterView& view);

  bool ready() const { return ready_; }  // a view has come
  const MovingRing& ring() const { return ring_; }
  Candidates candidates(std::uint64_t hash) const { return ring_.candidates(hash); }
  void moved(std::uint64_t hash, GroupId by) { ring_.moved(hash, by); }
  const coordinator::ClusterView& view() const { return view_; }
  // "" when there is none.
  const coordinator::MemberName& primary_of(GroupId group) const;

 private:
  coordinator::ClusterView view_;
  MovingRing ring_;
  bool ready_ = false;
};

}  // namespace dlm::router
