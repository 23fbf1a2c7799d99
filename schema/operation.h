// One lock operation and its answer, as plain values: what clients ask, routers carry, primaries log and the
// lock table applies.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "schema/types.h"

namespace dlm {

// An operation. The strings are borrowed: whoever keeps an Operation keeps their bytes.
struct Operation {
  OperationKind kind = OperationKind::acquire;
  LockMode mode = LockMode::exclusive;   // acquire
  LeaseKind lease = LeaseKind::session;  // acquire
  SessionId session;                     // all; filled in by the router
  Sequence sequence;                     // all but heartbeats and internal ones
  Sequence acked_below;                  // answers below this arrived; the group may forget them
  Sequence target;                       // cancel, expire_wait: sequence of the acquire
                                         // move_out: the group that gets it; miss_arcs, take_arcs, let_arcs:
                                         // the other group. move_in, move_done: the number
                                         // of the arc. (move_in: session: the group that gave it;
                                         // acked_below: all of its arcs below this have arrived; take_arcs,
                                         // let_arcs: those of the other group below this are no more)
  FencingToken token;             // release, renew, expire_hold; 0 in release: the owner's hold, whichever.
                                  // start_epoch, take_arcs: no token is given below this (era << 40)
  std::uint32_t wait_ms = 0;      // acquire: 0 none (try), kWaitForeverMs for ever
  std::uint32_t lease_ms = 0;     // acquire, renew: the hold's own lease; open_session: the TTL
  std::uint32_t deadline_ms = 0;  // how long routers may go on trying; 0: for ever. Not logged.
  std::string_view resource;      // acquire, release, renew, cancel, expire_hold, expire_wait;
                                  // start_epoch of a new group: the encoded arcs it owns; move_out: the arc
                                  // as such; move_in: what goes with it
  std::string_view owner_tag;  // acquire, release, renew: part of the owner. start_epoch: the encoded limits
  std::string_view client_id;  // open_session: the session's client. acquire, release, renew of a detached
                               // hold: its owner's client id, empty for the session's own
};

// The holder (or first of them) in the way of a request that was refused or queued.
struct HolderInfo {
  std::string client_id;  // empty: none told
  std::string owner_tag;
  std::uint64_t since_unix_ms = 0;  // by the clock of the primary that granted it; for people only
};

struct Answer {
  SessionId session;
  Sequence sequence;
  Status status = Status::ok;
  EndCause cause = EndCause::none;  // not_held
  GroupId group;                    // filled in by the group's service
  FencingToken token;               // ok: the hold's; cancel that came too late: the granted hold's
  std::uint32_t count = 0;          // ok: acquisitions of the hold after this operation
  std::uint32_t ttl_ms = 0;  // acquire, renew: lease in force (0: the session's); open_session: TTL in force;
                             // unavailable: nothing was done, ask again after this (0: at once, elsewhere)
  std::uint32_t retry_after_ms = 0;  // overloaded: when it is worth asking again; 0: not known
  std::uint32_t position = 0;        // queued: number of requests before this one
  HolderInfo holder;                 // queued, timed_out, would_deadlock, client_id_in_use
  std::string message;               // for people: what to do; empty where the status says it all
  std::vector<GroupId> moved_to;  // heartbeat, ok: groups to which holds and waits of the session went: they
                                  // live by the client's sessions there
};

// Owning form of an operation's strings, for whoever must keep it.
class OwnedOperation {
 public:
  OwnedOperation() = default;
  explicit OwnedOperation(const Operation& op)
      : op_(op), resource_(op.resource), owner_tag_(op.owner_tag), client_id_(op.client_id) {}

  // A view into this object; valid while it lives unmoved.
  Operation view() const {
    Operation op = op_;
    op.resource = resource_;
    op.owner_tag = owner_tag_;
    op.client_id = client_id_;
    return op;
  }

 private:
  Operation op_;
  std::string resource_;
  std::string owner_tag_;
  std::string client_id_;
};

}  // namespace dlm
