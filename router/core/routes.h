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
#include "schema/operation.h"
#include "schema/types.h"

namespace dlm::router {

// What to do with a group's answer to an operation.
enum class Reaction : std::uint8_t {
  answer,        // final: the client gets it
  wait,          // queued: the client is told, the final answer comes later
  retry,         // not (or not yet) this replica: again, when the configuration changed or after a pause
  put_off,       // this replica, but not yet: this operation again, after the time that it tells
  reroute,       // the group does not own the resource: again, by a newer ring or after a pause
  open_session,  // the group has never seen the session: open it, then again
};
Reaction reaction_to(Status status);
Reaction reaction_to(const Answer& answer);

// The latest view, never going back: a group's record or a ring older than the known one is ignored, so a
// coordinator replica that lags cannot undo a takeover.
class Routes {
 public:
  struct Changes {
    bool ring = false;
    std::vector<GroupId> groups;  // with another configuration than before, new ones included; sorted
  };
  Changes update(const coordinator::ClusterView& view);

  bool ready() const { return ready_; }  // a view has come
  bool has_ring() const { return !ring_.empty(); }
  // GroupId() without a ring.
  GroupId group_of(std::uint64_t hash) const { return ring_.group_of(hash); }
  const coordinator::Ring& ring() const { return ring_; }
  const coordinator::ClusterView& view() const { return view_; }
  // "" when there is none.
  const coordinator::MemberName& primary_of(GroupId group) const;

 private:
  coordinator::ClusterView view_;
  coordinator::Ring ring_;
  bool ready_ = false;
};

}  // namespace dlm::router
