// Identifiers and enumerations of the lock service: plain values, known to every layer, on the wire
// numbers or strings. No behaviour, no I/O.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace dlm {

// An integer that does not mix with other integers. Zero means "none" for every kind of it.
template <class Tag, class Rep>
struct StrongInt {
  Rep value{};

  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep v) : value(v) {}
  constexpr auto operator<=>(const StrongInt&) const = default;
  constexpr explicit operator bool() const { return value != 0; }
  constexpr StrongInt next() const { return StrongInt(static_cast<Rep>(value + 1)); }
  friend std::size_t hash_value(const StrongInt& id) { return std::hash<Rep>{}(id.value); }
};

// A client's session within one shard group: the client's random base (low 16 bits zero) plus a generation
// that the client raises each time that group has ended its session. Dead ids never come back.
using SessionId = StrongInt<struct SessionIdTag, std::uint64_t>;
// Number of an operation within a client, from 1, increasing. (session, sequence) names an operation for
// ever.
using Sequence = StrongInt<struct SequenceTag, std::uint64_t>;
// Strictly greater for each new grant of a resource than for all earlier grants of it. Upper 24 bits: the era
// of the group; lower 40: a counter. Valid tokens are never below 1 << 40.
using FencingToken = StrongInt<struct FencingTokenTag, std::uint64_t>;
// Version of a group's configuration; at most one primary in each.
using Epoch = StrongInt<struct EpochTag, std::uint64_t>;
// Position of a batch in a group's log, from 1.
using LogIndex = StrongInt<struct LogIndexTag, std::uint64_t>;
// A shard group; shown to people as "g<number>". Valid from 1.
using GroupId = StrongInt<struct GroupIdTag, std::uint32_t>;

constexpr SessionId session_of(std::uint64_t base, std::uint32_t generation) {
  return SessionId(base + (generation & 0xffffU));
}

enum class LockMode : std::uint8_t { exclusive = 0, shared = 1 };

// What keeps a hold alive.
enum class LeaseKind : std::uint8_t {
  session = 0,   // the session that acquired it
  detached = 1,  // a lease of its own alone; outlives the process that took it
  capped = 2,    // both, whichever ends first
};

enum class Status : std::uint8_t {
  ok = 0,
  queued = 1,             // interim: the final answer follows
  timed_out = 2,          // contended: the wait ended (or was "none") without a grant
  cancelled = 3,          // the caller withdrew the wait; it can no longer be granted
  not_held = 4,           // the cause says which of never, released, expired
  session_expired = 5,    // the group ended the session; its holds and waits are gone
  session_unknown = 6,    // the group has never seen the session (routers open it and go on)
  client_id_in_use = 7,   // another live session has this client id
  would_deadlock = 8,     // an upgrade that could wait for ever: another owner holds the lock shared too
  unavailable = 9,        // the group (or every router) can't be reached; the outcome may be unknown
  overloaded = 10,        // a bounded queue is full; nothing was done
  invalid_argument = 11,  // outside a limit, or contradictory; nothing was done
  permission_denied = 12,
  moved = 13,        // this group does not own the resource's arc (routers follow)
  not_primary = 14,  // this replica does not serve (routers follow)
  stale = 15,        // a repeat of an operation whose answer was acknowledged and forgotten; nothing was done
  over_quota = 16,   // the client has as many sessions, holds or waits as it may; nothing was done
};
inline constexpr Status kStatusLast = Status::over_quota;

// Why a hold that is asked for is not there.
enum class EndCause : std::uint8_t {
  none = 0,
  never = 1,     // this token was never given for this resource and owner
  released = 2,  // it was released
  expired = 3,   // its lease or its session ended
};

// What an operation does. Those from kFirstInternal on are made by a primary for its own log and are refused
// from the wire.
enum class OperationKind : std::uint8_t {
  open_session = 0,
  close_session = 1,
  acquire = 2,
  release = 3,
  renew = 4,
  cancel = 5,
  heartbeat = 6,

  expire_session = 16,
  expire_hold = 17,
  expire_wait = 18,
  forget_session = 19,  // drops the tombstone of an ended session
  start_epoch = 20,     // first entry of each epoch: era, limits, and the arcs the group owns when it is new
  move_out = 21,        // the group gives an arc away: from here on it does not serve it
  move_in = 22,         // it gets an arc, with all that the group before it knew of its locks
  move_done = 23,       // the other group has what was given away
  miss_arcs = 24,  // first entries of a group that begins anew while the ring changes: arcs that are its own
                   // or another group's, whichever had them last
  take_arcs = 25,  // those of them that the other group does not have
  let_arcs = 26,   // the other group begins anew: what was under way to it or from it is no more
};
constexpr OperationKind kFirstInternalOperation = OperationKind::expire_session;

std::string_view to_string(Status);
std::string_view to_string(EndCause);
std::string_view to_string(LockMode);
std::string_view to_string(LeaseKind);

// "g7" for 7.
std::string to_string(GroupId);
// Parses "g7"; GroupId() when it is not of that form.
GroupId parse_group(std::string_view);

}  // namespace dlm

template <class Tag, class Rep>
struct std::hash<dlm::StrongInt<Tag, Rep>> {
  std::size_t operator()(const dlm::StrongInt<Tag, Rep>& id) const { return hash_value(id); }
};
