// The receiving side of Replica: appends and snapshots from the primary of an epoch, and taking over when it
// is lost.
#include <algorithm>
#include <utility>

#include "server/core/replica_impl.h"

namespace dlm::server {

// --- whom to follow --------------------------------------------------------------------------------------

// Whether a message of `epoch` by `from` is to be obeyed. A newer epoch than known proves that the
// compare-and-set that began it succeeded, and only its primary sends in it; so its first sender is taken for
// that primary until the record says who it is. What the message says of the set is not used: membership
// comes from the record alone.
bool Replica::Impl::may_lead(const MemberName& from, const MemberName& to, Epoch epoch) const {
  // A message to an earlier life of this server must not be answered as by that one.
  if (to != options_.self || from == options_.self) return false;
  if (epoch != epoch_) return epoch > epoch_;
  return !reign_ && (!leader_ || leader_ == from);
}

void Replica::Impl::follow(const MemberName& from, Epoch epoch, ReplicaOutput& out) {
  if (epoch > epoch_) {
    if (reign_) end_reign(out);
    epoch_ = epoch;
    set_role(role_in_record(), out);
  }
  leader_ = from;
  watch_primary_anew();
}

// --- receiving -------------------------------------------------------------------------------------------

// Whether the log may take the batches of `message`; if not, `hint` is from where the primary should try.
// Nothing committed ever conflicts between replicas of one group, so a message that would replace it is
// refused with 0.
bool Replica::Impl::match(const Append& message, LogIndex& hint) const {
  LogIndex index = message.prev_index;
  Epoch epoch = message.prev_epoch;
  for (const Batch& batch : message.batches) {
    if (batch.index != index.next() || batch.epoch < epoch || !batch.entries) return false;
    index = batch.index;
    epoch = batch.epoch;
  }
  if (epoch > message.epoch) return false;

  hint = log_.last_index();
  if (message.prev_index > log_.last_index()) return false;
  const LogIndex base = log_.base_index();
  if (message.prev_index >= base) {
    if (log_.epoch_at(message.prev_index) != message.prev_epoch) {
      hint = message.prev_index > committed_ ? committed_ : LogIndex();
      return false;
    }
  } else {
    // The place before the first batch was trimmed here; the base itself must be among the batches to compare
    // with.
    hint = committed_;
    if (index < base) return false;
    if (message.batches[base.value - message.prev_index.value - 1].epoch != log_.epoch_at(base)) {
      hint = LogIndex();
      return false;
    }
  }
  for (const Batch& batch : message.batches) {
    if (batch.index > committed_) break;
    if (batch.index >= base && log_.epoch_at(batch.index) != batch.epoch) {
      hint = LogIndex();
      return false;
    }
  }
  return true;
}

AppendReply Replica::Impl::on_append(const MemberName& from, const Append& message, ReplicaOutput& out) {
  AppendReply reply{options_.self, epoch_, message.round, false, LogIndex()};
  if (!may_lead(from, message.to, message.epoch)) return reply;
  follow(from, message.epoch, out);
  reply.epoch = epoch_;
  if (!match(message, reply.last_index)) return reply;

  LogIndex matched = message.prev_index;
  for (const Batch& batch : message.batches) {
    matched = batch.index;
    if (matched <= log_.base_index()) continue;
    if (matched <= log_.last_index()) {
      if (log_.epoch_at(matched) == batch.epoch) continue;
      // An uncommitted end that an older primary left; see match().
      truncate_log_after(LogIndex(matched.value - 1));
    }
    append_to_log(batch, out);
  }
  commit_to(std::min(message.committed, matched), out);
  reply.accepted = true;
  reply.after_records = records_;
  reply.last_index = matched;
  return reply;
}

// A chunk is sent only after the one before it was acknowledged, and rounds increase; so a chunk that is not
// the first and has a later round than the last one taken of the same snapshot is the next one of it.
bool Replica::Impl::expects_install(const MemberName& from, const Install& message) const {
  if (!may_lead(from, message.to, message.epoch)) return false;
  const bool same_epoch = incoming_.epoch == message.epoch;
  if (same_epoch && message.round <= incoming_.round) return false;  // late or repeated
  if (message.index <= committed_) return false;                     // would go backwards
  if (message.first) return true;
  return incoming_.active && same_epoch && incoming_.index == message.index &&
         incoming_.index_epoch == message.index_epoch;
}

AppendReply Replica::Impl::on_install(const MemberName& from, const Install& message, bool damaged,
                                      ReplicaOutput& out) {
  AppendReply reply{options_.self, epoch_, message.round, false, LogIndex()};
  const bool expected = expects_install(from, message);
  if (!may_lead(from, message.to, message.epoch)) return reply;
  follow(from, message.epoch, out);
  reply.epoch = epoch_;
  if (!expected) {
    reply.last_index = log_.last_index();
    return reply;
  }
  if (damaged) {
    incoming_.active = false;
    return reply;
  }
  incoming_ = Incoming{message.index, message.index_epoch, !message.last, message.epoch, message.round};
  reply.accepted = true;
  if (message.last) {
    reset_log({message.index, message.index_epoch, false}, out);
    reply.after_records = records_;
    out.snapshot_installed = true;
    reply.last_index = message.index;
  }
  return reply;
}

// --- taking over -----------------------------------------------------------------------------------------

void Replica::Impl::watch_primary_anew() {
  heard_at_ms_ = now_ms_;
  primary_gone_ = false;
}

bool Replica::Impl::primary_is_lost() const {
  if (config_.config.primary == options_.self) return true;  // in an earlier life
  return primary_gone_ || now_ms_ >= heard_at_ms_ + backup_patience_ms(options_) ||
         !is_alive(config_.config.primary);
}

// Candidates go one after the other, in the order of the set; those that the coordinator misses are passed
// over.
TimeMs Replica::Impl::takeover_at_ms() const {
  if (lost_since_ms_ == kNever) return kNever;
  TimeMs turn = 0;
  for (const MemberName& member : config_.config.in_sync) {
    if (member == options_.self || config_.config.primary == options_.self) break;
    if (member != config_.config.primary && is_alive(member)) ++turn;
  }
  return lost_since_ms_ + turn * kStaggerMs;
}

void Replica::Impl::take_over_if_due(ReplicaOutput& out) {
  // With a newer epoch heard of, the record known here is no longer the one in force.
  const bool candidate = role_ == Role::backup && config_.config.epoch == epoch_ && is_alive(options_.self);
  if (!candidate || !primary_is_lost()) {
    lost_since_ms_ = kNever;
    return;
  }
  if (lost_since_ms_ == kNever) lost_since_ms_ = now_ms_;
  if (now_ms_ < takeover_at_ms() || !can_propose()) return;
  GroupConfig next = config_.config;
  next.epoch = epoch_.next();
  next.primary = options_.self;
  if (config_.config.primary != options_.self) std::erase(next.in_sync, config_.config.primary);
  propose(std::move(next), out);
}

}  // namespace dlm::server
