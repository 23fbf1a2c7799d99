// What primaries say to each other about an arc that goes from one group to another. Plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "schema/types.h"

namespace dlm::server {

// An arc with all that goes with it, from the primary of the group that gives it. Sent again until it is
// accepted, also by the next primary. Without a number and a state it only asks whether one would be taken,
// so that nothing is frozen for a group that can't.
struct Transfer {
  GroupId from;
  GroupId to;
  std::uint64_t number = 0;        // with `from`, the arc's name for ever; 0: only asks
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
  bool ok() const { return status == Status::ok; }
};

}  // namespace dlm::server
