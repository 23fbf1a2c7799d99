// Replica's public face, and what all roles share: the record, the change of roles, proposals, contact with
// the coordinator.
#include "server/core/replica.h"

#include <algorithm>
#include <utility>

#include "coordinator/core/group_recovery.h"
#include "server/core/replica_impl.h"

namespace dlm::server {

void ReplicaOutput::clear() {
  start_empty = false;
  snapshot_installed = false;
  apply.clear();
  role_changed = false;
  barrier_passed = 0;
  replies.clear();
  appends.clear();
  cancel_snapshots.clear();
  begin_snapshots.clear();
  log_writes.clear();
  propose.reset();
  touch_coordinator = false;
}

// --- time ------------------------------------------------------------------------------------------------

void Replica::Impl::see(TimeMs now) {
  if (now <= now_ms_) return;
  // Both sides tick several times in a silence_timeout. A longer gap means that this process stood still, so
  // others' silence in it proves nothing: what they sent is still to be read. Contact with the coordinator is
  // not forgiven.
  const TimeMs gap = now - now_ms_;
  if (gap > options_.silence_timeout_ms / 2) {
    heard_at_ms_ = std::min(now, heard_at_ms_ + gap);
    if (reign_) {
      for (Peer& peer : reign_->peers) {
        peer.sent_at_ms = std::min(now, peer.sent_at_ms + gap);
        if (peer.silent_since_ms != kNever) peer.silent_since_ms = std::min(now, peer.silent_since_ms + gap);
      }
    }
  }
  now_ms_ = now;
}

void Replica::Impl::advance(ReplicaOutput& out) {
  if (reign_) {
    advance_primary(out);
  } else {
    take_over_if_due(out);
    recover_if_due(out);
  }
  propose_first_record(out);
  touch_if_due(out);
}

// --- the record ------------------------------------------------------------------------------------------

bool Replica::Impl::is_alive(const MemberName& member) const {
  return std::binary_search(alive_.begin(), alive_.end(), member);
}

void Replica::Impl::on_view(const VersionedConfig& config, const std::vector<MemberName>& alive,
                            ReplicaOutput& out) {
  if (config.version < config_.version) return;
  alive_ = alive;
  std::sort(alive_.begin(), alive_.end());
  if (config.version > config_.version) adopt_record(config, out);
  if (reign_) sync_peers(out);
}

void Replica::Impl::adopt_record(const VersionedConfig& config, ReplicaOutput& out) {
  if (pending_ && config.version > pending_->proposal.expected_version) {
    pending_->settled = true;
    if (pending_->reported) pending_.reset();
  }
  propose_after_ms_ = now_ms_;
  const bool was_in_set = config_.config.has(options_.self);
  config_ = config;
  if (config.config.epoch < epoch_) {  // a message told of a newer epoch; its record is still to come
    set_role(role_in_record(), out);
    return;
  }
  if (reign_ && config.config.epoch == epoch_ && config.config.primary == options_.self) return;
  if (reign_) end_reign(out);
  epoch_ = config.config.epoch;
  leader_ = config.config.primary;
  if (leader_ == options_.self && epoch_ <= led_) {
    // It led in an earlier life. What it sent then may lie with others and not here, so that it may take up
    // the place only in another epoch.
    set_role(Role::backup, out);
  } else if (leader_ == options_.self) {
    // One that has the log of this era already (it was given the place, and the record comes late) goes on
    // with it. An operator names who was not in the set, though it may have missed the record that says so.
    const bool is_of_era = committed_.value >> coordinator::kEraShift >= config_.config.era;
    const bool has_it_all = was_in_set && !coordinator::is_by_operator(config_.config);
    if (!has_it_all && config_.config.recovering && !is_of_era) start_empty(out);
    begin_reign(out);
  } else {
    set_role(role_in_record(), out);
    watch_primary_anew();
  }
}

// What the record says of a replica that does not lead.
Role Replica::Impl::role_in_record() const {
  const GroupConfig& config = config_.config;
  return config.primary != options_.self && config.has(options_.self) ? Role::backup : Role::outsider;
}

void Replica::Impl::set_role(Role role, ReplicaOutput& out) {
  if (role == role_) return;
  role_ = role;
  out.role_changed = true;
}

// --- proposals -------------------------------------------------------------------------------------------

void Replica::Impl::propose(GroupConfig config, ReplicaOutput& out) {
  config.author = coordinator::to_string(options_.self) + "/" + std::to_string(++proposals_);
  pending_.emplace();
  pending_->proposal = Proposal{config_.version, std::move(config)};
  out.propose = pending_->proposal;
}

void Replica::Impl::on_proposed(bool accepted) {
  if (!pending_ || pending_->reported) return;
  if (accepted) {
    pending_->reported = true;
    if (pending_->settled) pending_.reset();
    return;
  }
  if (!pending_->settled) propose_after_ms_ = now_ms_ + options_.propose_retry_ms;
  pending_.reset();
}

// Any live member may create the record; the compare-and-set decides. Which one tries first differs from
// group to group, so that the primaries spread over the servers.
TimeMs Replica::Impl::first_record_at_ms() const {
  if (no_record_since_ms_ == kNever) return kNever;
  const auto self = std::lower_bound(alive_.begin(), alive_.end(), options_.self);
  const std::size_t place = static_cast<std::size_t>(self - alive_.begin());
  const std::size_t first = options_.group.value % alive_.size();
  const std::size_t turn = (place + alive_.size() - first) % alive_.size();
  return no_record_since_ms_ + turn * kStaggerMs;
}

void Replica::Impl::propose_first_record(ReplicaOutput& out) {
  if (config_.version != 0 || !is_alive(options_.self)) {
    no_record_since_ms_ = kNever;
    return;
  }
  if (no_record_since_ms_ == kNever) no_record_since_ms_ = now_ms_;
  if (now_ms_ < first_record_at_ms() || !can_propose()) return;
  GroupConfig first;
  first.epoch = Epoch(1);
  first.primary = options_.self;
  first.in_sync = {options_.self};
  first.era = 1;
  first.lease_ms_max = options_.lease_ms_first;
  propose(std::move(first), out);
}

// --- alone -----------------------------------------------------------------------------------------------

// Whether the record may, for all this primary knows, have no other member in its set. Then nobody refuses it
// when the group is begun anew after it seemed dead; so it needs the coordinator as witness that it was not.
// Only a touch is one: it is done under this server's registration, which nobody else had then nor can have
// for a session timeout. A change of the record is open to every session, also to one of a process whose id
// has been started elsewhere.
bool Replica::Impl::maybe_alone() const {
  const auto only_self = [this](const GroupConfig& config) {
    return config.in_sync.size() == 1 && config.in_sync.front() == options_.self;
  };
  if (only_self(config_.config)) return true;
  return pending_ && !pending_->settled && only_self(pending_->proposal.config);
}

void Replica::Impl::note_contact(TimeMs sent) {
  if (contact_ms_ == kNever || sent > contact_ms_) contact_ms_ = sent;
}

TimeMs Replica::Impl::next_touch_ms() const {
  // A change that would have it lead alone goes out together with the touch that it will need.
  if (!reign_ && !pending_) return kNever;
  const bool alone = maybe_alone();
  if (!alone && !wants_fresh_contact()) return kNever;
  if (touched_ms_ == kNever) return now_ms_;
  // A touch that is not reported may be stuck with a dead connection; another is due when it can't help any
  // more.
  if (touch_out_) return touched_ms_ + options_.coordinator_timeout_ms;
  return touched_ms_ + (alone ? options_.coordinator_timeout_ms / 3 : options_.propose_retry_ms);
}

void Replica::Impl::touch_if_due(ReplicaOutput& out) {
  if (next_touch_ms() > now_ms_) return;
  touched_ms_ = now_ms_;
  touch_out_ = true;
  out.touch_coordinator = true;
}

// --- the log ---------------------------------------------------------------------------------------------

void Replica::Impl::commit_to(LogIndex index, ReplicaOutput& out) {
  while (committed_ < index) {
    committed_ = committed_.next();
    out.apply.push_back(log_.at(committed_));
  }
  // The shell takes a snapshot after it has applied all of this output.
  if (reign_ && reign_->snapshot && !out.begin_snapshots.empty()) {
    reign_->snapshot->index = committed_;
    reign_->snapshot->epoch = log_.epoch_at(committed_);
  }
  trim_log();
}

void Replica::Impl::trim_log() {
  if (log_.size_bytes() <= options_.log_bytes_max) return;
  // Members of the set have all that is committed. Those that catch up hold back the log, within a bound.
  LogIndex upto = committed_;
  if (reign_) {
    for (const Peer& peer : reign_->peers)
      if (peer.phase == Peer::Phase::tailing) upto = std::min(upto, peer.acked);
    if (reign_->snapshot) upto = std::min(upto, reign_->snapshot->index);
  }
  log_.trim(upto, options_.log_bytes_max);
  const std::size_t snapshot_bytes = reign_ ? reign_->snapshot_bytes_max : 0;
  log_.trim(committed_,
            std::max(options_.log_bytes_max * kJoinerLogFactor, snapshot_bytes * kSnapshotLogFactor));
}

TimeMs Replica::Impl::next_tick() const {
  TimeMs next = kNever;
  // What was due by now has been done or waits for something else than time.
  const auto consider = [&](TimeMs at) {
    if (at > now_ms_) next = std::min(next, at);
  };
  if (!pending_) consider(propose_after_ms_);
  consider(first_record_at_ms());
  consider(next_touch_ms());
  if (reign_) {
    consider(next_tick_as_primary());
    if (maybe_alone() && contact_ms_ != kNever) consider(contact_ends_ms());
  } else if (role_ == Role::outsider) {
    consider(recover_at_ms());
  } else if (role_ == Role::backup && config_.config.epoch == epoch_) {
    // More often than it takes, to notice when this process itself stood still; see see().
    consider(now_ms_ + options_.silence_timeout_ms / 4);
    consider(heard_at_ms_ + backup_patience_ms(options_));
    consider(takeover_at_ms());
  }
  return next;
}

// --- public ----------------------------------------------------------------------------------------------

Replica::Replica(const ReplicaOptions& options) : Replica(options, RecoveredLog{}) {}
Replica::Replica(const ReplicaOptions& options, RecoveredLog&& log)
    : impl_(std::make_unique<Impl>(options, std::move(log))) {}
Replica::~Replica() = default;

void Replica::on_view(const VersionedConfig& config, const std::vector<MemberName>& alive, TimeMs now,
                      ReplicaOutput& out) {
  impl_->see(now);
  impl_->on_view(config, alive, out);
  impl_->advance(out);
}

void Replica::on_proposed(bool accepted, TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  impl_->on_proposed(accepted);
  impl_->advance(out);
}

void Replica::on_touched(bool ok, TimeMs sent, TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  impl_->touch_out_ = false;
  if (ok && sent <= impl_->now_ms_) impl_->note_contact(sent);
  impl_->advance(out);
}

void Replica::on_append(const MemberName& from, const Append& message, TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  out.replies.push_back(impl_->on_append(from, message, out));
  impl_->advance(out);
}

void Replica::on_install(const MemberName& from, const Install& message, bool damaged, TimeMs now,
                         ReplicaOutput& out) {
  impl_->see(now);
  out.replies.push_back(impl_->on_install(from, message, damaged, out));
  impl_->advance(out);
}

bool Replica::expects_install(const MemberName& from, const Install& message) const {
  return impl_->expects_install(from, message);
}

void Replica::on_reply(const AppendReply& reply, TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  impl_->on_reply(reply, out);
  impl_->advance(out);
}

void Replica::on_link_down(const MemberName& member, bool gone, TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  impl_->on_link_down(member, gone, out);
  impl_->advance(out);
}

void Replica::on_durable(std::uint64_t records, TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  impl_->on_durable(records);
  impl_->advance(out);
}

std::uint64_t Replica::log_records() const {
  return impl_->records_;
}

bool Replica::append(std::string entries, TimeMs now, LogIndex& index, ReplicaOutput& out) {
  impl_->see(now);
  const bool appended = impl_->append(std::move(entries), index, out);
  impl_->advance(out);
  return appended;
}

bool Replica::can_append() const {
  return impl_->can_append();
}

std::uint64_t Replica::barrier(TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  const std::uint64_t number = impl_->barrier(out);
  impl_->advance(out);
  return number;
}

void Replica::set_epoch_entries(std::string entries, TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  if (impl_->role_ == Role::preparing && !impl_->reign_->epoch_entries) {
    const LogIndex index = impl_->log_.last_index().next();
    impl_->append_to_log({index, impl_->epoch_, std::make_shared<const std::string>(std::move(entries))},
                         out);
    impl_->reign_->epoch_entries = index;
  }
  impl_->advance(out);
}

std::vector<MemberName> Replica::want_install() const {
  std::vector<MemberName> members;
  if (!impl_->reign_) return members;
  for (const Peer& peer : impl_->reign_->peers)
    if (impl_->wants_install(peer)) members.push_back(peer.name);
  return members;
}

void Replica::next_install(const MemberName& to, std::string chunk, bool last, TimeMs now, Install& message) {
  impl_->see(now);
  impl_->next_install(to, std::move(chunk), last, message);
}

void Replica::want_lease(std::uint32_t lease_ms, TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  if (impl_->reign_) impl_->reign_->lease_ms_wanted = std::max(impl_->reign_->lease_ms_wanted, lease_ms);
  impl_->advance(out);
}

void Replica::want_era(std::uint64_t era, TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  if (impl_->reign_) impl_->reign_->era_wanted = std::max(impl_->reign_->era_wanted, era);
  impl_->advance(out);
}

void Replica::want_ring_done(std::uint64_t ring_version, TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  if (impl_->reign_) impl_->reign_->ring_done_wanted = ring_version;
  impl_->advance(out);
}

bool Replica::ring_done_is_clear() const {
  const auto& pending = impl_->pending_;
  const bool may_come = pending && !pending->settled && pending->proposal.config.ring_done != 0;
  return impl_->config_.config.ring_done == 0 && !may_come;
}

void Replica::end_recovery(TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  if (impl_->reign_) impl_->reign_->recovery_over = true;
  impl_->advance(out);
}

bool Replica::stepping_down() const {
  return impl_->reign_ && impl_->reign_->successor;
}

bool Replica::step_down(StepDown how, TimeMs now, ReplicaOutput& out, const MemberName& to) {
  impl_->see(now);
  const bool begun = impl_->step_down(how, to);
  impl_->advance(out);
  return begun;
}

void Replica::tick(TimeMs now, ReplicaOutput& out) {
  impl_->see(now);
  impl_->advance(out);
}

TimeMs Replica::next_tick() const {
  return impl_->next_tick();
}
Role Replica::role() const {
  return impl_->role_;
}
bool Replica::serving() const {
  return impl_->role_ == Role::primary && impl_->may_serve();
}
Epoch Replica::epoch() const {
  return impl_->epoch_;
}
const VersionedConfig& Replica::config() const {
  return impl_->config_;
}
bool Replica::blank() const {
  return impl_->log_.last_index() == impl_->log_.base_index() && !impl_->log_.last_epoch();
}
LogIndex Replica::last_index() const {
  return impl_->log_.last_index();
}
LogIndex Replica::committed_index() const {
  return impl_->committed_;
}
LogIndex Replica::applied_index() const {
  return impl_->committed_;
}
Epoch Replica::applied_epoch() const {
  return impl_->log_.epoch_at(impl_->committed_);
}
std::string Replica::describe() const {
  return impl_->describe();
}

}  // namespace dlm::server
