// What primaries say to each other about an arc that goes from one group to another. Plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "schema/types.h"

namespace dlm::server {

// Number of a transfer that moves nothing: its sender lost everything while the ring changed and asks which
// of the arcs between the two groups the receiver has, as the rest is its own. `state`: the arcs that it has;
// `done_below`: no arc that was sent with a lower number is from this life of it.
inline constexpr std::uint64_t kClaim = UINT64_MAX;

// An arc with all that goes with it, from the primary of the group that gives it. Sent again until it is
// accepted, also by the next primary. Without a number and a state it only asks whether one would be taken,
// so that nothing is frozen for a group that can't.
struct Transfer {
  GroupId from;
  GroupId to;
  std::uint64_t number = 0;        // with `from`, the arc's name for ever; 0: only asks; kClaim: see there
  std::uint64_t done_below = 0;    // those with lower numbers have arrived
  std::uint64_t ring_version = 0;  // of the ring that the sender knows
  std::uint32_t lease_ms_max = 0;  // no longer lease was ever given by `from`
  FencingToken last_token;         // no higher token was ever given by `from`
  std::shared_ptr<const std::string> state;
};

// ok: the group has it, now or since an earlier try, in its log. All else: not now; nothing was done, or the
// same transfer will find that it was.
struct TransferReply {
  Status status = Status::ok;
  std::string message;
  std::uint32_t retry_ms = 0;
  // To a claim: the arcs that the receiver has (encode_arcs), and the lowest number of those that it will
  // send.
  std::string arcs;
  std::uint64_t next_number = 0;
  bool ok() const { return status == Status::ok; }
};

}  // namespace dlm::server
