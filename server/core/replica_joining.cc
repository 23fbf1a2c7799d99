// Membership, on the primary's side of Replica: finding where the log of a member outside the set matches,
// snapshots, counting it and adding it to the set, removing who is lost, giving the primary's place away.
#include <algorithm>
#include <utility>

#include "server/core/replica_impl.h"

namespace dlm::server {

// --- finding the match -----------------------------------------------------------------------------------

void Replica::Impl::probe(Peer& peer) {
  peer.phase = Peer::Phase::probing;
  peer.acked = LogIndex();
  peer.next = log_.last_index().next();
}

void Replica::Impl::on_mismatch(Peer& peer, const AppendReply& reply, bool was_install, ReplicaOutput& out) {
  if (peer.required()) {  // it has, or acknowledged, what it now refuses: nothing it says counts any more
    peer.broken = true;
    return;
  }
  if (was_install) {
    cancel_snapshot(peer.name, out);
    probe(peer);
    peer.resend_at_ms = now_ms_ + options_.silence_timeout_ms;
    return;
  }
  const LogIndex tried(peer.next.value - 1);
  if (reply.last_index < tried && reply.last_index >= log_.base_index()) {
    peer.phase = Peer::Phase::probing;
    peer.next = reply.last_index.next();
  } else {
    peer.phase = Peer::Phase::snapshot_waiting;
  }
}

// --- snapshots -------------------------------------------------------------------------------------------

void Replica::Impl::cancel_snapshot(const MemberName& member, ReplicaOutput& out) {
  if (!reign_->snapshot || reign_->snapshot->to != member) return;
  const bool begun = std::erase(out.begin_snapshots, member) == 0;
  if (begun) out.cancel_snapshots.push_back(member);
  reign_->snapshot.reset();
}

void Replica::Impl::begin_snapshot_if_due(ReplicaOutput& out) {
  if (reign_->snapshot || role_ != Role::primary) return;
  for (Peer& peer : reign_->peers) {
    if (peer.phase != Peer::Phase::snapshot_waiting || now_ms_ < peer.resend_at_ms) continue;
    peer.phase = Peer::Phase::snapshot;
    reign_->snapshot = Reign::Snapshot{peer.name, committed_, log_.epoch_at(committed_), false};
    out.begin_snapshots.push_back(peer.name);
    return;
  }
}

bool Replica::Impl::wants_install(const Peer& peer) const {
  return peer.phase == Peer::Phase::snapshot && peer.out_round == 0 && now_ms_ >= peer.resend_at_ms;
}

void Replica::Impl::next_install(const MemberName& to, std::string chunk, bool last, Install& message) {
  message = Install{};
  Peer* peer = find_peer(to);
  if (!peer || !wants_install(*peer)) return;
  Reign::Snapshot& snapshot = *reign_->snapshot;
  begin_message(*peer);
  peer->out_is_install = true;
  peer->out_is_last_chunk = last;
  message.to = to;
  message.epoch = epoch_;
  message.round = round_;
  message.index = snapshot.index;
  message.index_epoch = snapshot.epoch;
  message.first = !std::exchange(snapshot.first_sent, true);
  message.last = last;
  message.chunk = std::move(chunk);
  snapshot.bytes += message.chunk.size();
  reign_->snapshot_bytes_max = std::max(reign_->snapshot_bytes_max, snapshot.bytes);
}

// --- counting and adding ---------------------------------------------------------------------------------

bool Replica::Impl::is_ready_to_join(const Peer& peer) const {
  return !peer.required() && peer.phase == Peer::Phase::tailing && !is_lost(peer) &&
         peer.acked.next() >= log_.last_index();
}

// A counted member whose addition is proposed is needed for every commit until the coordinator has told the
// outcome. So nobody is counted while the coordinator does not answer.
bool Replica::Impl::wants_fresh_contact() const {
  if (role_ != Role::primary || reign_->successor || !can_propose()) return false;
  if (contact_ms_ != kNever && now_ms_ < contact_ms_ + options_.silence_timeout_ms) return false;
  return std::any_of(reign_->peers.begin(), reign_->peers.end(),
                     [this](const Peer& peer) { return is_ready_to_join(peer); });
}

void Replica::Impl::settle_joiners() {
  for (Peer& peer : reign_->peers) {
    if (peer.counted && peer.addition_expected < 0 && is_lost(peer)) peer.counted = false;
    // Nothing counts on what it had any more: it joins like any other.
    if (!peer.required() && std::exchange(peer.broken, false)) probe(peer);
  }
  std::erase_if(reign_->peers, [](const Peer& peer) { return !peer.alive && !peer.required(); });

  const bool fresh = contact_ms_ != kNever && now_ms_ < contact_ms_ + options_.silence_timeout_ms;
  if (role_ != Role::primary || reign_->successor || !can_propose() || !fresh) return;
  for (Peer& peer : reign_->peers)
    if (is_ready_to_join(peer)) peer.counted = true;
}

// The set without the lost and with the counted that have all that is committed, the leases that are wanted,
// and the end of a recovery, if that differs from the record.
void Replica::Impl::propose_changes(ReplicaOutput& out) {
  if (!can_propose()) return;
  GroupConfig next = config_.config;
  bool unsettled = false;
  for (const Peer& peer : reign_->peers)
    if (peer.in_sync && is_lost(peer)) std::erase(next.in_sync, peer.name);
  for (Peer& peer : reign_->peers) {
    if (!peer.counted) continue;
    if (is_lost(peer)) {
      // Its addition was proposed and may be in force. Any newer version of the record settles it.
      unsettled = unsettled || peer.addition_expected >= 0;
    } else if (peer.acked >= committed_) {
      next.in_sync.push_back(peer.name);
      peer.addition_expected = config_.version;
    }
  }
  if (reign_->recovery_over) next.recovering = false;
  next.lease_ms_max = std::max(next.lease_ms_max, reign_->lease_ms_wanted);
  next.era = std::max(next.era, reign_->era_wanted);
  next.ring_done = reign_->ring_done_wanted.value_or(next.ring_done);
  if (unsettled || next != config_.config) propose(std::move(next), out);
}

// --- giving the place away -------------------------------------------------------------------------------

bool Replica::Impl::step_down(StepDown how, const MemberName& to) {
  if (role_ != Role::primary) return false;
  reign_->leaves_set = how == StepDown::leave_set;
  if (reign_->successor) return true;
  const Peer* best = nullptr;
  for (const Peer& peer : reign_->peers)
    if (peer.in_sync && !is_lost(peer) && (!to || peer.name == to) && (!best || peer.acked > best->acked))
      best = &peer;
  if (!best) return false;
  reign_->successor = best->name;
  reign_->step_down_since_ms = now_ms_;
  return true;
}

// Appending has stopped; when the successor has everything it gets the place, with nothing left for it to
// bring about.
void Replica::Impl::step_down_if_due(ReplicaOutput& out) {
  if (!reign_->successor) return;
  const Peer* peer = find_peer(reign_->successor);
  const bool late = now_ms_ >= reign_->step_down_since_ms + options_.silence_timeout_ms;
  if (!peer || !peer->in_sync || is_lost(*peer) || late) {
    reign_->successor = MemberName();
    return;
  }
  if (!can_propose() || committed_ != log_.last_index() || peer->acked != log_.last_index()) return;
  GroupConfig next = config_.config;
  next.epoch = epoch_.next();
  next.primary = peer->name;
  if (reign_->leaves_set) std::erase(next.in_sync, options_.self);
  propose(std::move(next), out);
}

}  // namespace dlm::server
