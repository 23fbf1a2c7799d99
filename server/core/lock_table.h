// The replicated state machine of a shard group: sessions, locks, queues, fencing tokens and the answers
// kept for retries. Pure: no clock, no I/O, no randomness. The same entries give the same table, bit for
// bit, on every replica; so its limits come with an entry, too.
//
// Where ARCHITECTURE.md ("Sessions", "Exactly once", "Lock table rules") leaves it open:
// - A request in the queue is decided when it gets to the front, by the rules for one that comes then. So
//   if its owner holds the lock by now it counts into that hold, upgrades it, or is refused with
//   would_deadlock or invalid_argument.
// - A lease asked for by a reentrant acquire can make that of the hold longer, never shorter; a renewal can
//   do both.
// - A cancel is answered ok with the hold, if its acquire got one that is still there, else cancelled:
//   whether the wait was withdrawn just now, had ended before, or the acquire has not come yet and never
//   will be executed.
// - A session that ends with very many holds is over with the first entry: nothing of it is renewed or
//   granted from then on. Its holds go in further entries (expire_session, which the LeaseClock gives at
//   once), in the order of the locks' indexes, and until then stand in the way of others.
// - When a session ends, its waiting acquires are answered session_expired, or cancelled if the client
//   closed it.
// - The position told to a repeat of a waiting acquire is exact near the front, else an upper bound.
// - open_session, close_session and what is answered moved or overloaded are not remembered: a repeat is
//   executed anew, the first two with the same result. What is over a quota is remembered: the client goes on
//   from that answer, and a copy that comes late must not get it a lock that it does not know of.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schema/operation.h"
#include "schema/report.h"
#include "schema/types.h"

namespace dlm::server {

// What is refused. Those of its primary are in force in a group, from the first entry of each epoch on.
struct LockTableLimits {
  std::uint32_t lease_ms_min = 1'000;
  std::uint32_t lease_ms_max = 3'600'000;
  std::uint32_t tombstone_ms = 3'600'000;
  std::uint32_t answers_per_session_max = 65'536;  // unacknowledged answers; more: overloaded
  // Quotas; more: over quota. A client has one session in a group at a time, so its waits are its session's.
  std::uint32_t waits_per_client_max = 131'072;
  std::uint32_t holds_per_client_max =
      2'000'000;                           // by the client id of their owners; its waits count as holds to be
  std::uint32_t sessions_max = 1'000'000;  // of all clients
  // A session with more holds than this ends in several entries, each of which ends about so many holds and
  // looks at so many locks at most: the end of a million holds at once would stall everybody.
  std::uint32_t holds_per_sweep = 2'048;
  std::uint32_t locks_per_sweep = 16'384;
  bool operator==(const LockTableLimits&) const = default;
};
// Of start_epoch entries.
std::string encode_limits(const LockTableLimits& limits);

// A deadline that began anew or went away. The table knows durations only; the primary's LeaseClock counts
// them.
struct TimerEvent {
  enum class Kind : std::uint8_t { session, hold, wait, tombstone };
  Kind kind = Kind::session;
  bool start = false;  // false: the deadline is gone. A start for a live one restarts it.
  std::uint32_t duration_ms = 0;
  SessionId session;     // session, wait, tombstone
  Sequence sequence;     // wait
  FencingToken token;    // hold
  std::string resource;  // hold: part of its name; wait: what the expiry operation will need
};

// What applying one entry did. Answers go to clients, timers to the LeaseClock; backups drop both.
struct Effects {
  std::vector<Answer> answers;
  std::vector<TimerEvent> timers;
  void clear() {
    answers.clear();
    timers.clear();
  }
};

// A run of the 64-bit hash space, both ends inclusive.
struct OwnedArc {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool operator==(const OwnedArc&) const = default;
};
// Of start_epoch and move_out entries. REQUIRES: sorted, not overlapping.
std::string encode_arcs(std::span<const OwnedArc> arcs);

// An arc that was given away (frozen here: nobody serves it) and is not known to have arrived.
struct OutgoingArc {
  std::uint64_t number = 0;  // ascending; above all of an earlier era of the group
  OwnedArc arc;
  GroupId to;
  std::shared_ptr<const std::string> state;  // all that goes with it; lock_table_moved.h
  std::uint64_t locks = 0;
};

// What a receiver has to know of a state before it takes it.
struct MovedHead {
  OwnedArc arc;
  FencingToken last_token;
};

struct TableStats {
  std::uint64_t locks_held = 0;
  std::uint64_t waiters = 0;
  std::uint64_t sessions = 0;  // live ones, without tombstones
  FencingToken last_token;
};

class LockTable {
 public:
  LockTable();
  ~LockTable();
  LockTable(LockTable&&) noexcept;
  LockTable& operator=(LockTable&&) noexcept;

  // Applies one entry. `stamp_unix_ms` comes with the entry and is data for people only. Never fails on
  // what is in an entry: bad requests are answered, unknown things ignored.
  void apply(const Operation& entry, std::uint64_t stamp_unix_ms, Effects& effects);

  // Reads. `limit_waiters` bounds the waiters listed. left_ms of the reports is left 0, but kWaitForeverMs
  // for a wait without limit: the LeaseClock knows the rest, by what deadlines_of() tells.
  LockReport inspect(std::string_view resource, std::size_t limit_waiters) const;
  // Which deadlines end the holds and waits of a report that was just made, in its order.
  struct Deadlines {
    struct Hold {
      SessionId session;   // none: a detached hold
      FencingToken token;  // none: it has no lease of its own
    };
    struct Wait {
      SessionId session;
      Sequence sequence;
    };
    std::vector<Hold> holds;
    std::vector<Wait> waits;
  };
  Deadlines deadlines_of(const LockReport& report) const;
  // Held locks whose name begins with `prefix`; each lock held throughout a listing appears exactly once in
  // it. Looks at a bounded number of locks per call, so a page may be short or empty and not be the last.
  LockPage list(std::string_view prefix, std::uint64_t cursor, std::size_t limit) const;
  TableStats stats() const;
  const LockTableLimits& limits() const;  // in force
  bool owns(std::string_view resource) const;

  // --- arcs: see ARCHITECTURE.md, "Moving arcs"
  const std::vector<OwnedArc>& arcs() const;  // that this group owns, sorted
  std::vector<OutgoingArc> outgoing() const;  // by number
  // Of a group that began anew, everything lost, while the ring changed: arcs that are its own unless the
  // other group has them; nobody serves them until that is known. Sorted.
  std::vector<std::pair<GroupId, std::vector<OwnedArc>>> missing() const;
  std::uint64_t last_move() const;  // the highest number of an arc given away
  // Whether this arc of the group `from` has come: a repeat of it is to be answered, not logged.
  bool has_received(GroupId from, std::uint64_t number) const;
  // The beginning of `arc`, as far as about `locks_max` locks lie in it.
  OwnedArc piece_of(const OwnedArc& arc, std::size_t locks_max) const;
  // False: the bytes are no state of an arc, and must not get into the log.
  static bool read_moved_head(std::string_view state, MovedHead& head);
  // The groups to which holds or waits of the session went.
  std::vector<GroupId> moved_to(SessionId session) const;

  // The live session that answers to this id: itself, or an earlier generation that came with an arc and has
  // not been spoken to. None: there is none.
  SessionId live_session(SessionId session) const;
  // Whether a session is live, and the TTL in force for it (0: unknown or ended).
  std::uint32_t session_ttl_ms(SessionId session) const;
  // ok, or why (and what) a heartbeat of the session is refused: session_expired, session_unknown.
  Status session_status(SessionId session) const;
  // For an unlogged renewal (lease_ms 0, or that of the hold) after a barrier: ok with token, count and
  // ttl_ms in force, or the refusal. Changes nothing.
  Answer check_renewal(const Operation& renew) const;
  // Whether `renew` changes replicated state and so has to be logged.
  bool renewal_needs_log(const Operation& renew) const;

  // Every live deadline at its full length, for a new primary's LeaseClock.
  void for_each_timer(const std::function<void(const TimerEvent&)>& visit) const;

  // A snapshot of the state as it is at this moment, handed out in chunks of about `chunk_bytes` while
  // entries go on being applied: what an entry is about to change is copied first. Several writers may be
  // at work at a time; the table must outlive them. Beginning one copies little (numbers of free places and
  // of ended sessions); all else follows in the chunks. The largest single step is the copy of a lock with
  // all its waiters, or of a session with all its unacknowledged answers, that is about to change.
  class SnapshotWriter {
   public:
    virtual ~SnapshotWriter() = default;
    // Appends the next chunk to `out`; false when that was the last.
    virtual bool next(std::size_t chunk_bytes, std::string& out) = 0;
  };
  std::unique_ptr<SnapshotWriter> snapshot();

  // Rebuilds a table from the chunks of one snapshot, in order.
  class SnapshotReader {
   public:
    virtual ~SnapshotReader() = default;
    // False: the bytes are not of a snapshot (nothing is to be used of it).
    virtual bool feed(std::span<const char> chunk) = 0;
    // The table, after the last chunk; null when something is missing.
    virtual std::unique_ptr<LockTable> finish() = 0;
  };
  static std::unique_ptr<SnapshotReader> restore();

  // A hash over the whole state, equal on replicas that applied the same entries. Costs a walk over
  // everything.
  std::uint64_t fingerprint() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dlm::server
