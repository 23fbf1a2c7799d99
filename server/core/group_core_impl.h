// The state behind GroupCore, shared by its sides: group_core.cc (inputs and the turn), group_core_serving.cc
// (operations, answers, deadlines), group_core_reads.cc (what waits for barriers), group_core_moves.cc and
// group_core_claims.cc (arcs that come and go), group_core_snapshots.cc, group_core_storage.cc (the own
// disk). Only these include it.
#pragma once

#include <boost/container/small_vector.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "schema/service_rate.h"
#include "server/core/group_core.h"
#include "server/core/group_core_pending.h"
#include "server/core/lease_clock.h"

namespace dlm::server {

// For so long after a router has spoken to a member, routers ask it; they ask more often. Less than the next,
// so that to be asked once is not enough.
inline constexpr TimeMs kAskedMs = 250;
// A primary that no router has spoken to for so long, while they ask another, gives its place to that one.
inline constexpr TimeMs kUnreachedMs = 500;

struct GroupCore::Impl {
  Impl(const GroupOptions& options, RecoveredState&& state);

  // --- group_core.cc
  void turn(const Instant& now);
  bool may_put_off() const;
  bool advance(const Instant& now);
  bool begin_epoch(const Instant& now);
  void carry_out(const Instant& now);
  void hand_over_messages(TimeMs now);
  void follow_role(const Instant& now);
  void note_config(const VersionedConfig& config);
  void note(std::string line);
  void on_append(RequestId request, const MemberName& from, const Append& message, TimeMs now);
  void reply_added(std::size_t replies_before, RequestId request);
  TimeMs next_turn() const;

  // --- group_core_serving.cc
  bool may_serve() const { return serving_ && replica_.serving(); }
  void start_serving(const Instant& now);
  void begin_recovery(TimeMs now);
  void end_recovery_if_due(TimeMs now);
  // How long no lock is granted yet, since everything was lost.
  std::uint32_t recovery_left_ms(TimeMs now) const;
  std::string describe_recovery(TimeMs now) const;
  void stop_serving();
  void submit(ChannelId channel, RequestId request, std::span<const Operation> operations,
              const Instant& now);
  void take(std::uint32_t slot, const Operation& op, const Instant& now);
  void collect(const Operation& op, const Waiter& waiter);
  std::optional<Answer> refuse_at_door(const Operation& op) const;
  std::optional<Answer> put_off(const Operation& op, TimeMs now);
  void renew_deadline(const Operation& op, const Instant& now);
  void query(RequestId request, GroupQuery query);
  void step_down(RequestId request, const std::string& member, TimeMs now);
  void answer_step_downs(TimeMs now);
  void give_way_to_asked(const AppendReply& reply, TimeMs now);
  Reads& reads_at_end();
  Reads& reads_before_backlog();
  void answer(const Waiter& waiter, Answer&& answer);
  void answer_not_primary(const Waiter& waiter);
  void answer_later(Answer&& answer);
  void remember_channel(std::uint32_t slot, const Answer& answer);
  std::vector<Answer>& answers_for(ChannelId channel);
  void apply(const Batch& batch, const Instant& now);
  void follow_move(const Operation& op, TimeMs now);
  void deliver(const Waiter* waiter, const Instant& now);
  bool append_batch(const Instant& now);
  bool expiry_is_due(const Instant& now) const;
  bool append_expiries(const Instant& now);
  bool take_barriers(const Instant& now);
  void answer_reads(std::uint64_t barrier_passed, const Instant& now);
  void answer_heartbeat(const Waiter& waiter);
  void answer_renewal(const Reads::Renewal& renewal);
  void answer_query(const Reads::Query& read, const Instant& now);
  void fill_left_ms(LockReport& lock, const Instant& now) const;
  GroupReport report(TimeMs now) const;
  void fail(const Reads& reads);
  std::string who_is_primary() const;

  // --- group_core_moves.cc
  void on_ring(const coordinator::RingRecord& ring);
  void add_first_entries(Operation start, BatchWriter& writer) const;
  void begin_moves();
  void end_moves();
  void plan_moves();
  std::string why_not_giving(TimeMs now) const;
  bool give_next(const Instant& now);
  void arc_frozen(TimeMs now);
  void send_transfers(TimeMs now);
  Transfer transfer_to(GroupId to) const;
  void on_asked(GroupId to, const TransferReply& reply, TimeMs now);
  void on_transferred(std::uint64_t number, const TransferReply& reply, TimeMs now);
  void arc_arrived(std::uint64_t number);
  void drive_moves(const Instant& now);
  bool has_nothing_to_give() const;
  void note_ring_done(TimeMs now);
  TimeMs next_move_ms() const;
  bool is_ours(const OwnedArc& arc) const;
  // --- group_core_claims.cc
  void send_claims(TimeMs now);
  void on_claimed(GroupId by, const TransferReply& reply, TimeMs now);
  void take_missing(GroupId other, const std::string& arcs, std::uint64_t era, std::uint64_t next_number);
  void arcs_taken(TimeMs now);
  void claim(RequestId request, const Transfer& transfer);
  void arcs_let(GroupId to);
  TransferReply claim_reply() const;

  std::optional<TransferReply> refuse_transfer(const Transfer& transfer, const OwnedArc* arc, TimeMs now);
  void move_in(RequestId request, const Transfer& transfer, const Instant& now);
  void arc_taken(GroupId from, std::uint64_t number);
  void report_moves(GroupReport& report, TimeMs now) const;

  // --- group_core_snapshots.cc
  void on_install(RequestId request, const MemberName& from, const Install& message, TimeMs now);
  void install_snapshot();
  void start_empty();
  void begin_or_cancel_snapshots();
  void send_chunks(TimeMs now);

  // --- group_core_storage.cc
  void hand_over_log();
  void hand_over_replies();
  void open_gate();
  void begin_own_snapshot();
  void write_own_snapshot();
  void on_durable(std::uint64_t log_records, TimeMs now);
  void on_snapshot_written(LogIndex index, bool last);

  // A batch in the log of this epoch that is not applied, and who waits for it. Expiries have no waiters.
  struct InFlight {
    LogIndex index;
    Epoch epoch;
    std::size_t size_bytes = 0;
    TimeMs logged_ms = 0;
    std::vector<Waiter> waiters;
  };
  // An arc that is to be given away.
  struct Giving {
    OwnedArc arc;
    GroupId to;
  };
  // A call to another group's primary that is made until it succeeds.
  struct Attempt {
    bool out = false;
    bool succeeded = false;
    TimeMs retry_at_ms = 0;
    std::string why;  // it failed last
    unsigned failures = 0;

    bool is_due(TimeMs now) const { return !out && !succeeded && now >= retry_at_ms; }
    void on_reply(const TransferReply& reply, GroupId by, TimeMs now);
  };
  // An arc that is frozen and has not arrived, as far as is known. Its success is about to be logged.
  struct Sending {
    OutgoingArc arc;
    Attempt attempt;
  };
  // One that comes: whom to tell when it is in the log.
  struct Arrival {
    RequestId request;
    GroupId from;
    std::uint64_t number = 0;
    OwnedArc arc;
  };
  // A group that asked which arcs this one has.
  struct Claimant {
    RequestId request;
    GroupId from;
  };
  struct Moves {
    bool plan_due = true;
    LogIndex known_from;  // when this is applied, the table has all that was logged before
    std::vector<Giving> to_give;
    std::map<GroupId, Attempt> asked;  // groups to give to; succeeded: they take arcs
    std::map<GroupId, Attempt>
        claims;                // groups that may have arcs of ours; succeeded: that is about to be logged
    std::size_t freezing = 0;  // entries that are not applied
    std::map<std::uint64_t, Sending> sendings;
    TimeMs give_at_ms = 0;  // not before
    TimeMs looked_ms = 0;   // when it was looked last whether something can be given
    std::vector<Arrival> arriving;
    std::vector<Claimant> claimants;
    std::uint64_t done_noted = 0;  // the version of the ring for which the record was asked to say "done"
    TimeMs done_not_before_ms = 0;
    std::uint64_t arcs_moved = 0;
    std::uint64_t locks_moved = 0;
  };
  struct Outgoing {
    MemberName to;
    std::unique_ptr<LockTable::SnapshotWriter> writer;
    std::uint64_t sent_bytes = 0;
  };

  GroupOptions options_;
  GroupId group_;
  Replica replica_;
  std::unique_ptr<LockTable> table_;
  LeaseClock clock_;

  // What the coordinator said last.
  coordinator::RingRecord ring_;
  coordinator::Ring target_;  // of ring_
  std::vector<MemberName> alive_;
  VersionedConfig noted_config_;

  // What the replica wants done, and what the shell is to be told, since the last turn.
  ReplicaOutput wanted_;
  bool puts_off_ = false;                  // this turn, or the last one: wanted_.apply is for the next
  std::vector<RequestId> reply_requests_;  // of wanted_.replies
  GroupOutput out_;

  // As primary. All of it is empty while not serving.
  bool serving_ = false;
  bool epoch_entries_due_ = false;
  // Of a group that lost everything: the epoch in which this primary began its wait, and until when; 0: over.
  Epoch recovery_epoch_;
  TimeMs recovery_until_ms_ = 0;
  PendingSubmits submits_;
  Collector collector_;
  std::deque<InFlight> in_flight_;
  std::size_t in_flight_bytes_ = 0;
  ServiceRate rate_;
  std::uint64_t refused_ = 0;  // operations, as overloaded
  std::uint64_t barrier_passed_ = 0;
  std::deque<Reads> reads_;  // barriers ascend; those without one at the end
  std::size_t queries_ = 0;
  std::vector<RequestId> step_downs_;  // queries that wait for another to be primary
  bool clients_turn_ = false;          // expiries were logged last: operations come first now
  std::size_t expiries_left_ = 0;      // that may be logged in this turn
  Moves moves_;
  // Where later answers of a session go: through which it was told "queued". Never empty, mostly one, at most
  // as many as there are routers.
  using Channels = boost::container::small_vector<ChannelId, 1>;
  boost::unordered_flat_map<SessionId, Channels> later_channels_;

  // When a router last spoke to this member, and, as primary: since when and when last another said that
  // routers ask it instead. 0: never.
  TimeMs router_heard_ms_ = 0;
  TimeMs others_asked_since_ms_ = 0;
  TimeMs others_asked_ms_ = 0;

  // Snapshots: one that is being sent (as primary; borrows table_), and one that comes in.
  std::optional<Outgoing> outgoing_;
  std::unique_ptr<LockTable::SnapshotReader> incoming_;
  std::unique_ptr<LockTable> received_;

  // The own disk, of a durable member.
  struct OwnSnapshot {
    LogPlace place;
    std::unique_ptr<LockTable::SnapshotWriter> writer;  // null: all is handed out
    bool begun = false;
    bool chunk_out = false;
    std::uint64_t bytes = 0;
  };
  std::optional<OwnSnapshot> own_snapshot_;
  std::uint64_t own_snapshot_bytes_ = 0;  // of the last
  std::uint64_t logged_bytes_ = 0;        // since it was begun
  std::uint64_t records_durable_ = 0;
  // Log records from a reset on: they wait until the state behind it is safe.
  struct Gate {
    LogIndex index;
    std::vector<LogRecord> records;
    std::uint64_t last_record = 0;
  };
  std::optional<Gate> gate_;
  std::deque<std::pair<std::uint64_t, GroupOutput::Reply>> held_replies_;  // after so many records

  Effects effects_;                      // of one entry; kept for its memory
  std::vector<OwnedOperation> expired_;  // likewise
};

// Ends the process when one of our own invariants is broken: going on would answer wrongly.
[[noreturn]] void broken_invariant(const char* what, const std::string& state);

}  // namespace dlm::server
