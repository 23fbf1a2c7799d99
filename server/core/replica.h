// Replication of one group's log, as one member of it sees it (PacificA: Lin, Yang, Zhang, Zhou,
// MSR-TR-2008-25; log matching by index and epoch as in Raft, Ongaro and Ousterhout, 2014, section 5.3).
// Pure: messages, ticks (`now` passed in) and coordinator events go in, one ReplicaOutput comes out. It
// neither knows what entries mean nor applies them.
//
// How a shell drives it:
//
//     ReplicaOutput out;
//     replica.on_append(from, message, now, out);       // any inputs of one turn of the loop, in order of
//     arrival if (replica.can_append()) replica.append(...);    // ... and what was collected meanwhile carry
//     out `out`, field by field; out.clear(); for (member : replica.want_install()) send
//     replica.next_install(member, chunk, ...); arm one timer for replica.next_tick()
//
// One output may collect several inputs of a turn: messages then merge (a batch rides on a ping that has not
// left yet, a barrier on a batch). It must be carried out before the turn ends.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/group_config.h"
#include "schema/limits.h"
#include "schema/types.h"
#include "server/core/log_record.h"

namespace dlm::server {

using coordinator::GroupConfig;
using coordinator::MemberName;
using coordinator::VersionedConfig;
using TimeMs = std::uint64_t;

// What becomes of a primary that gives its place away: it goes on as a backup, or is about to end.
enum class StepDown { stay_in_set, leave_set };

struct ReplicaOptions {
  GroupId group;
  MemberName self;
  TimeMs ping_interval_ms = 100;  // an idle primary sends an empty append this often
  TimeMs silence_timeout_ms =
      1'000;  // no word from a member: it counts as lost (a primary: after 1.5 times this)
  TimeMs propose_retry_ms = 100;
  TimeMs coordinator_timeout_ms =
      4'000;  // of its session; a primary alone serves 2% less after the sending of its last touch
  std::size_t log_bytes_max =
      64u << 20;  // committed batches beyond this are trimmed; who needs them gets a snapshot
  std::size_t append_bytes_max = 4u << 20;
  std::uint32_t lease_ms_first =
      kSessionTtlMsDefault;  // lease_ms_max of the group's first record: usual leases need no write
  // Nothing counts as had before on_durable() said so, and a restart begins with what was durable, under the
  // same name. Else memory is all there is.
  bool durable = false;
};

// Primary → member. Each expects one AppendReply (or a report that the link failed); at most one is out per
// member. When neither came for silence_timeout_ms the message counts as lost and another may be sent.
struct Append {
  MemberName to;
  Epoch epoch;
  std::uint64_t round = 0;  // increases with each message of this primary; the acknowledgement of a round
                            // that was begun after a read came proves that nobody was deposed in between
  LogIndex prev_index;      // the batch before `batches`; the receiver must have it with prev_epoch
  Epoch prev_epoch;
  LogIndex committed;
  std::vector<Batch> batches;  // may be empty: a ping
};

// Primary → member: one chunk of a snapshot of the state after batch `index`.
struct Install {
  MemberName to;
  Epoch epoch;
  std::uint64_t round = 0;
  LogIndex index;
  Epoch index_epoch;
  bool first = false;
  bool last = false;
  std::string chunk;
};

// Answer to both. Refused (accepted false): epoch is newer than the sender's, or the log does not match: then
// last_index is from where to try.
struct AppendReply {
  MemberName from;
  Epoch epoch;
  std::uint64_t round = 0;
  bool accepted = false;
  LogIndex last_index;
  bool asked = false;  // routers ask this member, which is not primary; filled in by who hears them
  // Not sent: the reply must not leave before on_durable() has been told of this many records.
  std::uint64_t after_records = 0;
};

enum class Role {
  outsider,   // not in the in-sync set: has nothing that counts
  backup,     // in the in-sync set
  preparing,  // primary of the epoch, bringing the in-sync set to its own log; does not serve
  primary,    // serves
};

// A change of the group's record that the replica wants. The shell proposes it and reports the result.
struct Proposal {
  std::int64_t expected_version = 0;
  GroupConfig config;
};

// What to do now. The fields are done in this order.
struct ReplicaOutput {
  // Replace the applied state by an empty one: the group lost everything and begins anew, led by this
  // replica. Like snapshot_installed it is to be done at once, before other inputs.
  bool start_empty = false;
  // Replace the applied state by a finished snapshot (chunks were fed by the shell as Install came in).
  bool snapshot_installed = false;
  // Apply these, in order, before anything else is answered.
  std::vector<Batch> apply;
  // The role changed (role() tells). On primary: restart every deadline at its full length, then serve. On
  // leaving primary: answer everything pending with not_primary, drop the clock.
  bool role_changed = false;
  // Everything with a barrier number up to this may be answered now (after `apply`).
  std::uint64_t barrier_passed = 0;
  // Replies to messages just received, and messages to send. Send only after the above.
  std::vector<AppendReply> replies;
  std::vector<Append> appends;
  // To be made durable, in order, while the messages are under way; see on_durable(). A LogReset that is not
  // empty only after a snapshot of the state at its index. None unless ReplicaOptions::durable.
  std::vector<LogRecord> log_writes;
  // Drop the snapshot begun for this member, if it is not all handed out.
  std::vector<MemberName> cancel_snapshots;
  // Begin a snapshot of the applied state for this member: the shell takes it from the table now (so it is of
  // applied_index()), then hands its chunks to next_install(). Never two at a time.
  std::vector<MemberName> begin_snapshots;
  std::optional<Proposal> propose;
  bool touch_coordinator = false;  // report with on_touched, `sent` being now

  // Empties it, keeping the memory of its lists.
  void clear();
};

// One thread. Costs O(members) per input. `now` is monotonic, of one process, and goes on while the machine
// sleeps (CLOCK_BOOTTIME); an earlier one than seen counts as the latest.
class Replica {
 public:
  explicit Replica(const ReplicaOptions& options);
  // One that was durable and goes on under its name, with the state applied at `log.base`.
  Replica(const ReplicaOptions& options, RecoveredLog&& log);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // --- what the coordinator says -------------------------------------------------------------------------
  // The group's record and the live members that serve the group (self included, once registered). Older
  // versions than known are ignored.
  void on_view(const VersionedConfig& config, const std::vector<MemberName>& alive, TimeMs now,
               ReplicaOutput&);
  // Result of the last proposal; each gets exactly one, however late, and no other is made before. Accepted
  // tells nothing that the view does not (which may come earlier or later); refused or unavailable (it is
  // known that nothing was written) lets it try anew.
  void on_proposed(bool accepted, TimeMs now, ReplicaOutput&);
  void on_touched(bool ok, TimeMs sent, TimeMs now, ReplicaOutput&);

  // --- messages ------------------------------------------------------------------------------------------
  void on_append(const MemberName& from, const Append& message, TimeMs now, ReplicaOutput&);
  // Whether on_install would take this chunk: it is of the epoch's primary and the next one of its snapshot.
  // To be asked first; when false the chunk is not fed to the reader (on_install then answers the refusal).
  bool expects_install(const MemberName& from, const Install& message) const;
  // REQUIRES: if expected, the shell has fed the chunk to a snapshot reader (a new one when `first`), and
  // reports a reader that refused it by `damaged`.
  void on_install(const MemberName& from, const Install& message, bool damaged, TimeMs now, ReplicaOutput&);
  void on_reply(const AppendReply& reply, TimeMs now, ReplicaOutput&);
  // The link to a member failed with a message out, or a connection of it closed. `gone`: its address refuses
  // connections, so its process is dead and nobody waits for a timeout. Without `gone` what was out is sent
  // again soon.
  void on_link_down(const MemberName& member, bool gone, TimeMs now, ReplicaOutput&);

  // --- the log on disk -----------------------------------------------------------------------------------
  // The first `records` of all log_writes so far are durable.
  void on_durable(std::uint64_t records, TimeMs now, ReplicaOutput&);
  std::uint64_t log_records() const;  // of all log_writes so far

  // --- the primary's own work ----------------------------------------------------------------------------
  // Appends one batch of entries (when can_append(), else ignored with false) and returns its index via
  // `index`. The shell keeps collecting while can_append() is false: batches grow by themselves. A batch that
  // was appended and not applied when the role is lost has an unknown outcome: the next primary may commit
  // it.
  bool append(std::string entries, TimeMs now, LogIndex& index, ReplicaOutput&);
  bool can_append() const;
  // A barrier for reads and renewals that came before this call: passes (barrier_passed >= the number
  // returned) when every in-sync member acknowledged something sent after it; 0 when this is not a serving
  // primary. What was appended before it has been applied when it passes.
  std::uint64_t barrier(TimeMs now, ReplicaOutput&);
  // The first entries of an epoch: set by the shell when role becomes preparing (ignored at other times),
  // appended before all others.
  void set_epoch_entries(std::string entries, TimeMs now, ReplicaOutput&);
  // A chunk for a member whose snapshot is being sent, when one may leave now; `want_install` says for whom.
  // For any other member `message.to` stays empty and nothing is to be sent.
  std::vector<MemberName> want_install() const;
  void next_install(const MemberName& to, std::string chunk, bool last, TimeMs now, Install& message);

  // Leases up to this are wanted. They may be given when config() says so, as a group that loses everything
  // waits for as long as that says. For the primary; forgotten with its reign.
  void want_lease(std::uint32_t lease_ms, TimeMs now, ReplicaOutput&);
  // The record is to have at least this era, and this `ring_done`. As above.
  void want_era(std::uint64_t era, TimeMs now, ReplicaOutput&);
  void want_ring_done(std::uint64_t ring_version, TimeMs now, ReplicaOutput&);
  // Whether `ring_done` is 0 in the record, and in what of ours may come to be the record.
  bool ring_done_is_clear() const;
  // The wait after a total loss, which config() tells of as `recovering`, is over: has that put down. For the
  // primary; to be said by each that finds it set, when it has waited itself.
  void end_recovery(TimeMs now, ReplicaOutput&);

  // Gives the primary's place to an in-sync backup that is up to date: by compare-and-set, in order. False:
  // nobody to give it to, or not primary. True: begun; it shows as a change of role, or appends go on when it
  // failed or took longer than silence_timeout_ms. `to`: nobody but this one.
  bool step_down(StepDown how, TimeMs now, ReplicaOutput&, const MemberName& to = {});
  bool stepping_down() const;

  void tick(TimeMs now, ReplicaOutput&);
  TimeMs next_tick() const;  // UINT64_MAX: none needed

  // --- what it is ----------------------------------------------------------------------------------------
  Role role() const;
  // Primary, and (alone in its set) recently in touch with the coordinator; as of the last input. append()
  // and barrier() judge by their own `now`.
  bool serving() const;
  Epoch epoch() const;  // the highest heard of, from the record or a message
  const VersionedConfig& config() const;
  // It has never had a batch: whoever leads then begins the group, for the first time or anew.
  bool blank() const;
  LogIndex last_index() const;
  LogIndex committed_index() const;
  LogIndex applied_index() const;  // last handed out in `apply`
  Epoch applied_epoch() const;
  std::string describe() const;  // one line for logs and transcripts

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dlm::server
