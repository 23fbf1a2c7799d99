// One member of a shard group, whole: replica, lock table, lease clock, and whatever waits for commits and
// barriers. Pure: messages, operations, coordinator events and the time go in, one GroupOutput comes out. It
// holds every decision of a group; the shell (server/group_host) and the simulator only carry them out, both
// in the same way:
//
//     core.submit(…); core.on_append(…); …       everything that came in this turn of the loop
//     core.turn(now, output);                    once
//     … do what `output` says, field by field; output.clear() …
//     call turn() again at core.next_turn() at the latest
//
// So all operations of a turn leave in one batch, and while a batch is out the next one collects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "coordinator/core/group_config.h"
#include "coordinator/core/ring.h"
#include "schema/operation.h"
#include "schema/report.h"
#include "schema/types.h"
#include "server/core/lock_table.h"
#include "server/core/move.h"
#include "server/core/replica.h"

namespace dlm::server {

// A router's channel to the group on this server. Given by the shell, never twice.
using ChannelId = StrongInt<struct ChannelIdTag, std::uint64_t>;
// A submit, query, append or install whose answer the shell waits for. Given by the shell, never twice.
using RequestId = StrongInt<struct RequestIdTag, std::uint64_t>;

struct Instant {
  TimeMs ms = 0;              // monotonic, of one process, sleep counted: what deadlines are counted by
  std::uint64_t unix_ms = 0;  // for people only
};

struct GroupOptions {
  ReplicaOptions replica;  // names the group and self
  LockTableLimits table;
  // Beyond these, acquires are answered "overloaded"; what gives back or renews at half as much again;
  // heartbeats at twice as many operations, whatever the bytes.
  std::size_t pending_operations_max = 262'144;
  std::size_t pending_bytes_max = 64u << 20;  // of logged entries that are not applied yet
  std::size_t pending_queries_max = 1'024;
  // One batch of the log. An operation more than fits begins the next.
  std::size_t batch_operations_max = 16'384;
  std::size_t batch_bytes_max = 2u << 20;
  std::size_t expiries_per_turn_max = 4'096;
  std::size_t snapshot_chunk_bytes = 256u << 10;
  // A durable group writes a snapshot of its own when so much of the log has come since the last one, or as
  // much as that took: so a restart reads about twice the state at most.
  std::size_t snapshot_log_bytes = 64u << 20;
  std::size_t moves_under_way_max = 8;       // arcs given away at a time
  std::uint32_t move_pause_ms = 20;          // from when some are given to when more are
  std::size_t move_locks_max = 1'000;        // in a piece of an arc, about
  std::uint32_t list_limit_max = 1'000;      // locks in a page
  std::uint32_t waiters_listed_max = 1'000;  // of one lock
};

struct GroupQuery {
  // step_down is no read: it has this primary give its place to a backup, and is answered when that leads.
  enum class Kind : std::uint8_t { inspect, list, status, step_down };
  Kind kind = Kind::status;
  std::string text;  // inspect: the resource; list: the prefix; step_down: the member that is meant
  std::uint64_t cursor = 0;
  std::uint32_t limit = 0;
};

// A part of a snapshot for this member's own disk.
struct SnapshotChunk {
  LogPlace place;  // of the state
  bool first = false;
  bool last = false;
  std::string bytes;
};

// What a durable member goes on with after a restart.
struct RecoveredState {
  RecoveredLog log;
  std::unique_ptr<LockTable> table;  // at log.base; null: an empty one
  std::uint64_t log_bytes = 0;       // that were read to get there
};

// What to do now, in this order; but log_writes may go first, as they take longest.
struct GroupOutput {
  // What was committed and applied in this turn, in order, for whoever follows the log. The first may come
  // after a gap: then a snapshot was installed.
  std::vector<Batch> applied;

  // Results of submits: one answer for each of the operations, in any order.
  struct Finished {
    RequestId request;
    Epoch epoch;
    std::vector<Answer> answers;
  };
  std::vector<Finished> finished;
  // Later answers (grants, time-outs, cancelled waits) of sessions that were told "queued" through this
  // channel.
  struct Later {
    ChannelId channel;
    std::vector<Answer> answers;
  };
  std::vector<Later> later;
  // Results of queries.
  struct Reported {
    RequestId request;
    Status status = Status::ok;
    std::string message;
    std::variant<std::monostate, LockReport, LockPage, GroupReport> content;
  };
  std::vector<Reported> reports;

  // Of a durable member: to be made safe, in order; then on_durable(log_records) is to be called.
  std::vector<LogRecord> log_writes;
  std::uint64_t log_records = 0;
  // The next part of a snapshot; on_snapshot_written() when it is written, and safe if it is the last. A
  // first one while another snapshot is unfinished: that one is to be dropped.
  std::optional<SnapshotChunk> snapshot_chunk;

  // Results of on_append and on_install. `damaged`: the message was no batch at all; the link should be cut.
  struct Reply {
    RequestId request;
    bool damaged = false;
    AppendReply reply;
  };
  std::vector<Reply> replies;
  // For the other members: the result of each goes to on_reply, its failure to on_link_down.
  std::vector<Append> appends;
  std::vector<Install> installs;
  // Results of move_in.
  struct Arrived {
    RequestId request;
    TransferReply reply;
  };
  std::vector<Arrived> arrivals;
  // For the primaries of other groups; the result of each, or that nobody was reached, goes to
  // on_transferred.
  std::vector<Transfer> transfers;
  // For the coordinator: the results go to on_proposed and on_touched (with the time of this turn).
  std::optional<Proposal> propose;
  bool touch_coordinator = false;

  // Lines for operators: changes of role and in-sync set, snapshots. No line per operation.
  std::vector<std::string> notes;

  void clear();
};

// One thread. Never fails on what a peer or a router sent.
class GroupCore {
 public:
  explicit GroupCore(const GroupOptions& options);
  // One with `options.replica.durable`, that goes on under the name that it had.
  GroupCore(const GroupOptions& options, RecoveredState&& state);
  ~GroupCore();
  GroupCore(const GroupCore&) = delete;
  GroupCore& operator=(const GroupCore&) = delete;

  // --- routers -------------------------------------------------------------------------------------------
  // Strings are copied. Ends in one `finished`, unless the channel is closed before. Takes effect only when
  // this is the serving primary; when it ceases to be, operations are answered not_primary, with an unknown
  // outcome.
  void submit(ChannelId channel, RequestId request, std::span<const Operation> operations,
              const Instant& now);
  // Ends in one `reports`. Answered by the serving primary alone, after a barrier.
  void query(RequestId request, GroupQuery query, const Instant& now);
  // Nothing more is told to this channel. What was submitted is executed all the same.
  void channel_closed(ChannelId channel);

  // --- other members and the coordinator: as in replica.h -----------------------------------------------
  void on_view(const VersionedConfig& config, const std::vector<MemberName>& alive,
               const coordinator::RingRecord& ring, const Instant& now);
  void on_proposed(bool accepted, const Instant& now);
  void on_touched(bool ok, TimeMs sent, const Instant& now);
  void on_append(RequestId request, const MemberName& from, const Append& message, const Instant& now);
  void on_install(RequestId request, const MemberName& from, const Install& message, const Instant& now);
  void on_reply(const AppendReply& reply, const Instant& now);
  void on_link_down(const MemberName& member, bool gone, const Instant& now);

  // --- the disk -------------------------------------------------------------------------------------------
  // All log_writes of outputs up to that with this `log_records` are safe.
  void on_durable(std::uint64_t log_records, const Instant& now);
  // The chunk that was given out is written; the last of a snapshot of the state at `index`: it is safe.
  void on_snapshot_written(LogIndex index, bool last, const Instant& now);

  // --- other groups --------------------------------------------------------------------------------------
  // Ends in one `arrivals`.
  void move_in(RequestId request, const Transfer& transfer, const Instant& now);
  void on_transferred(GroupId to, std::uint64_t number, const TransferReply& reply, const Instant& now);

  // As in replica.h, at once; see GroupQuery for one that is answered when it is done.
  bool step_down(const Instant& now, StepDown how = StepDown::stay_in_set);

  // --- what follows --------------------------------------------------------------------------------------
  // Everything to do now. Call it once after each run of inputs, and at next_turn().
  void turn(const Instant& now, GroupOutput& output);
  TimeMs next_turn() const;  // UINT64_MAX: only after an input
  // The next turn is due, but what this one gave out should be on its way first.
  bool has_put_off() const;

  // --- what it is ----------------------------------------------------------------------------------------
  GroupId group() const;
  bool serving() const;
  const Replica& replica() const;
  const LockTable& table() const;
  LogIndex applied_index() const;  // by the table
  std::size_t pending_operations() const;
  std::string describe() const;  // one line for logs

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dlm::server
