// The sending side of Replica: one reign as primary of an epoch. Brings every member of the set to its own
// log, commits what all of them have, lets barriers pass.
#include <algorithm>
#include <utility>

#include "server/core/replica_impl.h"

namespace dlm::server {

// --- the reign and its peers -----------------------------------------------------------------------------

void Replica::Impl::begin_reign(ReplicaOutput& out) {
  reign_.emplace();
  led_ = epoch_;
  write(LedEpoch{epoch_}, out);
  reign_->led_record = records_;
  incoming_.active = false;
  role_ = Role::preparing;
  out.role_changed = true;
  sync_peers(out);
}

void Replica::Impl::end_reign(ReplicaOutput& out) {
  if (reign_->snapshot) cancel_snapshot(MemberName(reign_->snapshot->to), out);
  reign_.reset();
  out.appends.clear();  // not sent yet, and nobody waits for them any more
  role_ = Role::outsider;
  out.role_changed = true;
}

Peer* Replica::Impl::find_peer(const MemberName& name) {
  if (!reign_) return nullptr;
  for (Peer& peer : reign_->peers)
    if (peer.name == name) return &peer;
  return nullptr;
}

// Makes the peers follow the record and the list of the living.
void Replica::Impl::sync_peers(ReplicaOutput& out) {
  std::vector<MemberName> names = alive_;
  names.insert(names.end(), config_.config.in_sync.begin(), config_.config.in_sync.end());
  for (const Peer& peer : reign_->peers)
    if (peer.required()) names.push_back(peer.name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::erase(names, options_.self);

  std::vector<Peer> peers;
  for (const MemberName& name : names) {
    Peer* known = find_peer(name);
    Peer peer = known ? *known : Peer{};
    const bool was_in_sync = peer.in_sync;
    peer.name = name;
    peer.in_sync = config_.config.has(name);
    peer.alive = is_alive(name);
    if (peer.addition_expected >= 0 && config_.version > peer.addition_expected) {
      peer.counted = false;  // in the set now, or known not to be
      peer.addition_expected = -1;
    }
    if (!known && peer.in_sync) {
      // All of the set have all that is committed, as nothing was committed without them.
      peer.phase = Peer::Phase::tailing;
      peer.acked = committed_;
      peer.next = committed_.next();
    } else if (!known || (was_in_sync && !peer.in_sync)) {
      peer.broken = false;
      probe(peer);
    }
    if (peer.alive || peer.required()) {
      peers.push_back(std::move(peer));
    } else {
      cancel_snapshot(name, out);
    }
  }
  for (const Peer& old : reign_->peers)
    if (!std::binary_search(names.begin(), names.end(), old.name)) cancel_snapshot(old.name, out);
  reign_->peers = std::move(peers);
}

bool Replica::Impl::is_lost(const Peer& peer) const {
  if (!peer.alive || peer.gone || peer.broken) return true;
  return peer.silent_since_ms != kNever && now_ms_ >= peer.silent_since_ms + options_.silence_timeout_ms;
}

// In this order: what commits may change the role, and messages should carry the newest commit index.
void Replica::Impl::advance_primary(ReplicaOutput& out) {
  for (Peer& peer : reign_->peers)
    if (peer.out_round != 0 && now_ms_ >= peer.sent_at_ms + options_.silence_timeout_ms)
      lose_message(peer, now_ms_, out);
  settle_joiners();
  commit_what_all_have(out);
  pass_barriers(out);
  begin_snapshot_if_due(out);
  for (Peer& peer : reign_->peers) pump(peer, out);
  propose_changes(out);
  step_down_if_due(out);
}

// --- committing ------------------------------------------------------------------------------------------

void Replica::Impl::commit_what_all_have(ReplicaOutput& out) {
  // The log of an earlier epoch commits together with the first entries of this one, not before.
  if (!reign_->epoch_entries || !may_serve()) return;
  LogIndex all = durable_index();
  for (const Peer& peer : reign_->peers)
    if (peer.required()) all = std::min(all, peer.acked);
  if (all < reign_->epoch_entries) return;
  if (all > committed_) commit_to(all, out);
  if (role_ == Role::preparing) set_role(Role::primary, out);
}

void Replica::Impl::pass_barriers(ReplicaOutput& out) {
  if (reign_->barriers.empty() || !may_serve()) return;
  std::uint64_t all = UINT64_MAX;
  for (const Peer& peer : reign_->peers)
    if (peer.required()) all = std::min(all, peer.acked_round);
  while (!reign_->barriers.empty() && reign_->barriers.front().after_round < all) {
    out.barrier_passed = reign_->barriers.front().number;
    reign_->barriers.pop_front();
  }
}

bool Replica::Impl::can_append() const {
  return role_ == Role::primary && !reign_->successor && committed_ == log_.last_index();
}

bool Replica::Impl::append(std::string entries, LogIndex& index, ReplicaOutput& out) {
  if (!can_append()) return false;
  index = log_.last_index().next();
  append_to_log({index, epoch_, std::make_shared<const std::string>(std::move(entries))}, out);
  return true;
}

std::uint64_t Replica::Impl::barrier(const ReplicaOutput& out) {
  if (role_ != Role::primary || !may_serve()) return 0;
  // Messages in this output have not left yet, so they count as sent after this call.
  const std::uint64_t sent = out.appends.empty() ? round_ : out.appends.front().round - 1;
  std::deque<Reign::Barrier>& barriers = reign_->barriers;
  const bool merge =
      !barriers.empty() && (barriers.back().after_round >= sent || barriers.size() >= kBarriersMax);
  if (!merge) barriers.emplace_back();
  barriers.back().number = ++barrier_;
  barriers.back().after_round = std::max(barriers.back().after_round, sent);
  return barrier_;
}

// --- sending ---------------------------------------------------------------------------------------------

// Whether something should leave for a member that has no message out.
bool Replica::Impl::wants_message(const Peer& peer) const {
  if (peer.phase == Peer::Phase::probing) return true;
  if (peer.next <= log_.last_index()) return true;
  if (peer.required() && !reign_->barriers.empty() && peer.acked_round <= reign_->barriers.back().after_round)
    return true;
  return now_ms_ >= peer.sent_at_ms + options_.ping_interval_ms;
}

void Replica::Impl::pump(Peer& peer, ReplicaOutput& out) {
  if (peer.phase == Peer::Phase::snapshot || peer.phase == Peer::Phase::snapshot_waiting) return;
  if (!peer.required() && role_ != Role::primary) return;  // joiners wait until the set is in order
  if (!is_durable(reign_->led_record)) return;
  if (peer.out_round != 0) {
    // If it has not left this output yet, what came since rides along.
    for (Append& message : out.appends)
      if (message.round == peer.out_round) fill(message);
    return;
  }
  if (now_ms_ < peer.resend_at_ms || !wants_message(peer)) return;
  if (peer.next <= log_.base_index()) {  // trimmed away; a member of the set never lacks what is committed
    if (peer.required()) {
      peer.broken = true;
    } else {
      peer.phase = Peer::Phase::snapshot_waiting;
    }
    return;
  }
  send(peer, out);
}

void Replica::Impl::send(Peer& peer, ReplicaOutput& out) {
  begin_message(peer);
  Append& message = out.appends.emplace_back();
  message.to = peer.name;
  message.epoch = epoch_;
  message.round = round_;
  message.prev_index = LogIndex(peer.next.value - 1);
  message.prev_epoch = log_.epoch_at(message.prev_index);
  fill(message);
}

void Replica::Impl::fill(Append& message) const {
  message.committed = committed_;
  if (message.prev_index < log_.base_index()) return;  // trimmed meanwhile
  if (message.prev_index.value + message.batches.size() == log_.last_index().value) return;
  message.batches.clear();
  log_.copy_from(message.prev_index.next(), options_.append_bytes_max, message.batches);
}

void Replica::Impl::begin_message(Peer& peer) {
  peer.out_round = ++round_;
  peer.out_is_install = false;
  peer.out_is_last_chunk = false;
  peer.sent_at_ms = now_ms_;
  peer.gone = false;  // tried anew
  if (peer.silent_since_ms == kNever) peer.silent_since_ms = now_ms_;
}

void Replica::Impl::lose_message(Peer& peer, TimeMs resend_at, ReplicaOutput& out) {
  const bool install = peer.out_is_install;
  peer.out_round = 0;
  peer.resend_at_ms = resend_at;
  if (install) {  // its chunk is gone, and with it the snapshot
    cancel_snapshot(peer.name, out);
    probe(peer);
  }
}

void Replica::Impl::on_link_down(const MemberName& member, bool gone, ReplicaOutput& out) {
  if (!reign_) {
    if (gone && member == leader_) primary_gone_ = true;
    return;
  }
  Peer* peer = find_peer(member);
  if (!peer) return;
  if (peer->out_round != 0) lose_message(*peer, now_ms_ + kResendDelayMs, out);
  if (!gone) return;
  peer->gone = true;
  peer->resend_at_ms = now_ms_ + options_.silence_timeout_ms;
  if (peer->phase == Peer::Phase::snapshot) {
    cancel_snapshot(peer->name, out);
    probe(*peer);
  }
}

// --- answers ---------------------------------------------------------------------------------------------

void Replica::Impl::on_reply(const AppendReply& reply, ReplicaOutput& out) {
  if (!reign_ || reply.epoch < epoch_) return;
  if (reply.epoch > epoch_) {  // deposed
    end_reign(out);
    epoch_ = reply.epoch;
    leader_ = MemberName();
    watch_primary_anew();
    return;
  }
  Peer* peer = find_peer(reply.from);
  if (!peer || reply.round == 0 || reply.round > round_) return;
  const bool current = peer->out_round == reply.round;
  const bool was_install = current && peer->out_is_install;
  if (current) peer->out_round = 0;
  peer->silent_since_ms = peer->out_round != 0 ? now_ms_ : kNever;
  peer->gone = false;
  if (reply.accepted) {
    on_accepted(*peer, reply, current);
  } else if (current) {
    on_mismatch(*peer, reply, was_install, out);
  }
}

// An acceptance that comes after its message was given up is still true: within an epoch nobody drops what it
// acknowledged.
void Replica::Impl::on_accepted(Peer& peer, const AppendReply& reply, bool current) {
  if (peer.phase == Peer::Phase::snapshot) {
    if (!current || !peer.out_is_last_chunk) return;
    peer.acked = reign_->snapshot->index;
    reign_->snapshot.reset();
  } else if (peer.phase == Peer::Phase::tailing) {
    peer.acked = std::max(peer.acked, std::min(reply.last_index, log_.last_index()));
  } else if (current) {
    peer.acked = std::min(reply.last_index, log_.last_index());
  } else {
    return;
  }
  peer.phase = Peer::Phase::tailing;
  peer.next = peer.acked.next();
  peer.acked_round = std::max(peer.acked_round, reply.round);
}

TimeMs Replica::Impl::next_tick_as_primary() const {
  TimeMs next = kNever;
  const auto consider = [&](TimeMs at) {
    if (at > now_ms_) next = std::min(next, at);
  };
  // Often enough to notice when this process itself stood still; see see().
  if (!reign_->peers.empty()) consider(now_ms_ + options_.silence_timeout_ms / 4);
  for (const Peer& peer : reign_->peers) {
    if (peer.silent_since_ms != kNever) consider(peer.silent_since_ms + options_.silence_timeout_ms);
    consider(peer.resend_at_ms);
    if (peer.out_round != 0) {
      consider(peer.sent_at_ms + options_.silence_timeout_ms);
    } else if (peer.required() || role_ == Role::primary) {
      consider(peer.sent_at_ms + options_.ping_interval_ms);
    }
  }
  if (reign_->successor) consider(reign_->step_down_since_ms + options_.silence_timeout_ms);
  return next;
}

}  // namespace dlm::server
