// The state behind Replica, shared by its sides: replica.cc (what the coordinator says, roles, alone),
// replica_backup.cc (receiving, taking over), replica_recovery.cc (when all is lost), replica_primary.cc
// (sending, committing, barriers), replica_joining.cc (membership), replica_durable.cc (the log on disk), and
// replica_describe.cc. Only these include it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "server/core/replica.h"
#include "server/core/replica_log.h"

namespace dlm::server {

inline constexpr TimeMs kNever = UINT64_MAX;
// Between the proposals of two candidates, so that the second sees the first one's success instead of a
// conflict.
inline constexpr TimeMs kStaggerMs = 20;
// After a failed link, so that a link that fails at once is not tried in a tight loop.
inline constexpr TimeMs kResendDelayMs = 10;
// A backup is more patient with a silent primary than a primary with a silent backup: if only the link
// between them is bad, the backup is removed, instead of the primary of all the others deposed.
inline constexpr TimeMs backup_patience_ms(const ReplicaOptions& options) {
  return options.silence_timeout_ms * 3 / 2;
}
// A member that is catching up holds the log back to this many times log_bytes_max, or to this many times
// what the largest snapshot took, if that is more: else a state that is large beside log_bytes_max would
// never arrive. Beyond, it gets a (new) snapshot.
inline constexpr std::size_t kJoinerLogFactor = 4;
inline constexpr std::size_t kSnapshotLogFactor = 2;
// More barriers than this at once are answered together.
inline constexpr std::size_t kBarriersMax = 64;

// What a primary knows of one other member.
struct Peer {
  enum class Phase : std::uint8_t {
    probing,           // where its log matches is not known; `next` - 1 is tried
    tailing,           // its log is equal to ours up to `acked`
    snapshot_waiting,  // needs a snapshot, another member is getting one
    snapshot,
  };

  MemberName name;
  Phase phase = Phase::probing;
  bool in_sync = false;  // in the record's set
  bool counted =
      false;  // not in it, but nothing commits without it: its addition is, or is about to be, proposed
  // The record's version under which its addition was proposed; -1: was not. Only a later version that does
  // not have it proves that the addition is not in force.
  std::int64_t addition_expected = -1;

  bool alive = true;    // registered at the coordinator
  bool gone = false;    // its address refused connections
  bool broken = false;  // refused what a member of the set must accept

  LogIndex next;   // first batch of the message out, or of the next one
  LogIndex acked;  // tailing: it has everything up to here
  std::uint64_t acked_round = 0;

  std::uint64_t out_round = 0;  // of the message out; 0: none
  bool out_is_install = false;
  bool out_is_last_chunk = false;
  TimeMs sent_at_ms = 0;            // of the latest message
  TimeMs silent_since_ms = kNever;  // when the first message without any answer since was sent
  TimeMs resend_at_ms = 0;          // not before

  bool required() const { return in_sync || counted; }
};

// What a replica has as preparing or serving primary of one epoch; nothing of it outlives that.
struct Reign {
  std::vector<Peer> peers;       // in order of names; not self
  std::uint64_t led_record = 0;  // the log record of its beginning: nothing is sent before that is durable
  LogIndex epoch_entries;        // where the first entries of the epoch are; 0: not set yet

  struct Barrier {
    std::uint64_t number = 0;
    std::uint64_t after_round = 0;  // passes when all required members acknowledged a later round
  };
  std::deque<Barrier> barriers;

  struct Snapshot {
    MemberName to;
    LogIndex index;
    Epoch epoch;
    bool first_sent = false;
    std::size_t bytes = 0;  // handed out
  };
  std::optional<Snapshot> snapshot;
  std::size_t snapshot_bytes_max = 0;  // of the largest so far

  std::uint32_t lease_ms_wanted = 0;
  std::uint64_t era_wanted = 0;
  std::optional<std::uint64_t> ring_done_wanted;
  bool recovery_over = false;

  MemberName successor;  // of a step_down() under way
  TimeMs step_down_since_ms = 0;
  bool leaves_set = false;
};

// The one proposal made and not yet both reported and settled.
struct PendingProposal {
  Proposal proposal;
  bool reported = false;  // accepted, as a refused one is dropped at once
  bool settled = false;   // a later version was seen: it is in force there or never will be
};

// A snapshot that is coming in.
struct Incoming {
  LogIndex index;
  Epoch index_epoch;
  bool active = false;
  Epoch epoch;              // of the last chunk taken
  std::uint64_t round = 0;  // of the last chunk taken
};

struct Replica::Impl {
  Impl(const ReplicaOptions& options, RecoveredLog&& log);

  // --- replica.cc: record, roles, proposals
  void see(TimeMs now);
  void on_view(const VersionedConfig& config, const std::vector<MemberName>& alive, ReplicaOutput& out);
  void adopt_record(const VersionedConfig& config, ReplicaOutput& out);
  void on_proposed(bool accepted);
  bool can_propose() const { return !pending_ && now_ms_ >= propose_after_ms_; }
  void propose(GroupConfig config, ReplicaOutput& out);
  void propose_first_record(ReplicaOutput& out);
  TimeMs first_record_at_ms() const;
  TimeMs next_tick() const;
  bool is_alive(const MemberName& member) const;
  void set_role(Role role, ReplicaOutput& out);
  Role role_in_record() const;
  // Everything that is due now; the end of every input.
  void advance(ReplicaOutput& out);
  void commit_to(LogIndex index, ReplicaOutput& out);
  void trim_log();

  // --- replica_durable.cc: the log, in memory and on disk
  void write(LogRecord record, ReplicaOutput& out);
  void append_to_log(Batch batch, ReplicaOutput& out);
  void truncate_log_after(LogIndex index);
  void reset_log(const LogReset& reset, ReplicaOutput& out);
  void on_durable(std::uint64_t records);
  // Up to where the log is safe here.
  LogIndex durable_index() const { return options_.durable ? durable_ : log_.last_index(); }
  bool is_durable(std::uint64_t records) const { return !options_.durable || records <= records_durable_; }

  // --- replica.cc: the rules of a primary that is alone in its set
  bool maybe_alone() const;
  // Until when the coordinator keeps the session at least: clocks, its own too, may be up to 1% fast or slow.
  TimeMs contact_ends_ms() const {
    return contact_ms_ + options_.coordinator_timeout_ms - (options_.coordinator_timeout_ms + 49) / 50;
  }
  bool in_contact() const { return contact_ms_ != kNever && now_ms_ < contact_ends_ms(); }
  void note_contact(TimeMs sent);
  TimeMs next_touch_ms() const;
  bool may_serve() const { return !maybe_alone() || in_contact(); }
  void touch_if_due(ReplicaOutput& out);

  // --- replica_backup.cc
  AppendReply on_append(const MemberName& from, const Append& message, ReplicaOutput& out);
  AppendReply on_install(const MemberName& from, const Install& message, bool damaged, ReplicaOutput& out);
  bool expects_install(const MemberName& from, const Install& message) const;
  bool may_lead(const MemberName& from, const MemberName& to, Epoch epoch) const;
  void follow(const MemberName& from, Epoch epoch, ReplicaOutput& out);
  bool match(const Append& message, LogIndex& hint) const;
  void watch_primary_anew();
  bool primary_is_lost() const;
  void take_over_if_due(ReplicaOutput& out);
  TimeMs takeover_at_ms() const;

  // --- replica_recovery.cc
  bool may_recover() const;
  TimeMs recover_at_ms() const;
  void recover_if_due(ReplicaOutput& out);
  void start_empty(ReplicaOutput& out);

  // --- replica_primary.cc
  void begin_reign(ReplicaOutput& out);
  void end_reign(ReplicaOutput& out);
  void sync_peers(ReplicaOutput& out);
  Peer* find_peer(const MemberName& name);
  bool is_lost(const Peer& peer) const;
  void advance_primary(ReplicaOutput& out);
  void commit_what_all_have(ReplicaOutput& out);
  void pass_barriers(ReplicaOutput& out);
  void pump(Peer& peer, ReplicaOutput& out);
  bool wants_message(const Peer& peer) const;
  void send(Peer& peer, ReplicaOutput& out);
  void fill(Append& message) const;
  void begin_message(Peer& peer);
  void lose_message(Peer& peer, TimeMs resend_at, ReplicaOutput& out);
  void on_reply(const AppendReply& reply, ReplicaOutput& out);
  void on_accepted(Peer& peer, const AppendReply& reply, bool current);
  void on_link_down(const MemberName& member, bool gone, ReplicaOutput& out);
  bool append(std::string entries, LogIndex& index, ReplicaOutput& out);
  bool can_append() const;
  std::uint64_t barrier(const ReplicaOutput& out);
  TimeMs next_tick_as_primary() const;

  // --- replica_joining.cc
  void on_mismatch(Peer& peer, const AppendReply& reply, bool was_install, ReplicaOutput& out);
  void probe(Peer& peer);
  void cancel_snapshot(const MemberName& member, ReplicaOutput& out);
  void begin_snapshot_if_due(ReplicaOutput& out);
  bool wants_install(const Peer& peer) const;
  void next_install(const MemberName& to, std::string chunk, bool last, Install& message);
  void settle_joiners();
  bool is_ready_to_join(const Peer& peer) const;
  bool wants_fresh_contact() const;
  void propose_changes(ReplicaOutput& out);
  bool step_down(StepDown how, const MemberName& to);
  void step_down_if_due(ReplicaOutput& out);

  // --- replica_describe.cc
  std::string describe() const;
  std::string describe_waiting() const;

  const ReplicaOptions options_;
  TimeMs now_ms_ = 0;

  VersionedConfig config_;         // the newest record seen
  std::vector<MemberName> alive_;  // in order of names
  Epoch epoch_;                    // the highest heard of; older ones are refused
  MemberName leader_;              // its primary; empty: not known yet
  Role role_ = Role::outsider;

  ReplicaLog log_;
  LogIndex committed_;  // also the last handed out in `apply`

  // The log on disk. What a later record replaced is not among the unsafe any more.
  struct Unsafe {
    std::uint64_t record = 0;
    LogIndex index;
  };
  std::uint64_t records_ = 0;
  std::uint64_t records_durable_ = 0;
  LogIndex durable_;
  std::deque<Unsafe> unsafe_;  // batches that are not durable, in order
  Epoch led_;                  // the last in which this replica led, in an earlier life or in this

  // Receiving.
  TimeMs heard_at_ms_ = 0;             // last word of the primary
  bool primary_gone_ = false;          // its address refused connections
  TimeMs lost_since_ms_ = kNever;      // since when the primary counts as lost
  TimeMs all_lost_since_ms_ = kNever;  // since when the whole set is known to be lost and back
  Incoming incoming_;

  // Leading.
  std::optional<Reign> reign_;
  std::uint64_t round_ = 0;    // of the last message sent, over all reigns
  std::uint64_t barrier_ = 0;  // of the last barrier, over all reigns

  // The coordinator.
  std::optional<PendingProposal> pending_;
  std::uint64_t proposals_ = 0;
  TimeMs propose_after_ms_ = 0;
  TimeMs no_record_since_ms_ = kNever;
  TimeMs contact_ms_ = kNever;  // when the last touch that arrived was sent
  TimeMs touched_ms_ = kNever;  // when the last touch was sent
  bool touch_out_ = false;      // it was not reported yet
};

}  // namespace dlm::server
