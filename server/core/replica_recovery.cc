// A group whose in-sync set is lost to the last member, seen by a replica of a server that was in it. What
// the group knew is gone, and nobody outside the set may stand in for it. When every server of the set is
// back, as a newer incarnation, none of the old ones lives (a server id has one living incarnation at a
// time); so one of the new ones begins the group anew: empty, in a new epoch and a new era. That no grant is
// given while an old one may still be trusted is up to the shell, which the record tells that the group is
// recovering.
//
// Where some of the set never come back, an operator names who begins (coordinator/core/group_recovery.h): a
// replica from outside, which starts empty all the same, whatever it has.
#include <algorithm>
#include <utility>

#include "server/core/replica_impl.h"

namespace dlm::server {

bool Replica::Impl::may_recover() const {
  const GroupConfig& config = config_.config;
  // With a newer epoch heard of, the record known here is no longer the one in force.
  if (reign_ || config_.version == 0 || config.epoch != epoch_ || !is_alive(options_.self)) return false;
  if (config.era >= coordinator::kEraMax) return false;
  const bool was_in_set =
      std::any_of(config.in_sync.begin(), config.in_sync.end(),
                  [this](const MemberName& member) { return member.server == options_.self.server; });
  const coordinator::TotalLoss loss = coordinator::total_loss(config, alive_);
  return was_in_set && loss.lost && loss.missing.empty();
}

// One after the other, in the order of the set.
TimeMs Replica::Impl::recover_at_ms() const {
  if (all_lost_since_ms_ == kNever) return kNever;
  const std::vector<MemberName>& set = config_.config.in_sync;
  const auto self = std::find_if(set.begin(), set.end(), [this](const MemberName& member) {
    return member.server == options_.self.server;
  });
  return all_lost_since_ms_ + static_cast<TimeMs>(self - set.begin()) * kStaggerMs;
}

void Replica::Impl::recover_if_due(ReplicaOutput& out) {
  if (!may_recover()) {
    all_lost_since_ms_ = kNever;
    return;
  }
  if (all_lost_since_ms_ == kNever) all_lost_since_ms_ = now_ms_;
  if (now_ms_ < recover_at_ms() || !can_propose()) return;
  GroupConfig next = config_.config;
  next.epoch = epoch_.next();
  next.primary = options_.self;
  next.in_sync = {options_.self};
  next.era += 1;
  next.recovering = true;
  next.ring_done = 0;
  propose(std::move(next), out);
}

// The log begins above all that an era before can have reached. So whatever a member of that time still has
// is older than anything of now: it gets a snapshot like one that has nothing, and the rules of matching
// hold.
void Replica::Impl::start_empty(ReplicaOutput& out) {
  reset_log({LogIndex(config_.config.era << coordinator::kEraShift), Epoch(), true}, out);
  out.start_empty = true;
}

}  // namespace dlm::server
