// GroupCore that lost everything while the ring changed: which arcs it had is not known to it. What both
// rings give it is its own; of the rest, each arc is either its own or one other group's, and that group
// knows. So it asks them, and takes what they do not have. Nothing is granted before that, nor for the
// longest lease after it. See ARCHITECTURE.md, "Moving arcs".
#include <algorithm>
#include <utility>

#include "server/core/group_core_impl.h"
#include "server/core/lock_table_arcs.h"

namespace dlm::server {
namespace {

constexpr std::uint32_t kAgainMs = 20;

std::vector<OwnedArc> arcs_of(const coordinator::Ring& ring, GroupId group) {
  std::vector<OwnedArc> arcs;
  for (const coordinator::Arc& arc : ring.arcs_of(group)) arcs.push_back({arc.begin, arc.end});
  return arcs;
}

// Without what is in `taken`. Both sorted.
std::vector<OwnedArc> without(std::vector<OwnedArc> arcs, const std::vector<OwnedArc>& taken) {
  std::vector<OwnedArc> rest;
  for (OwnedArc arc : arcs) {
    bool whole = true;
    for (const OwnedArc& gone : taken) {
      if (gone.end < arc.begin || gone.begin > arc.end) continue;
      if (gone.begin > arc.begin) rest.push_back({arc.begin, gone.begin - 1});
      whole = gone.end < arc.end;
      if (!whole) break;
      arc.begin = gone.end + 1;
    }
    if (whole) rest.push_back(arc);
  }
  return rest;
}

}  // namespace

// The first entries of a group that has no log. Nobody else can have what the ring gave it before a change
// that is under way; what the change gives it is given by the others. Unless it lost everything meanwhile.
void GroupCore::Impl::add_first_entries(Operation start, BatchWriter& writer) const {
  const coordinator::GroupConfig& config = replica_.config().config;
  coordinator::RingRecord record = ring_;
  if (ring_.changing()) record.groups = ring_.before;
  const coordinator::Ring before(record);
  const bool may_miss = ring_.changing() && config.recovering;

  std::vector<OwnedArc> own = arcs_of(before, group_);
  std::map<GroupId, std::vector<OwnedArc>> missing;
  if (may_miss) {
    for (const coordinator::ArcMove& move : coordinator::difference(before, target_)) {
      if (move.from != group_ && move.to != group_) continue;
      missing[move.from == group_ ? move.to : move.from].push_back({move.begin, move.end});
      if (move.from == group_) own = without(std::move(own), {{move.begin, move.end}});
    }
  }
  const std::string arcs = encode_arcs(own);
  start.resource = arcs;
  writer.add(start);
  for (const auto& [group, missed] : missing) {
    const std::string bytes = encode_arcs(missed);
    Operation miss;
    miss.kind = OperationKind::miss_arcs;
    miss.target = Sequence(group.value);
    miss.resource = bytes;
    writer.add(miss);
  }
}

// --- who asks ------------------------------------------------------------------------------------

void GroupCore::Impl::send_claims(TimeMs now) {
  for (auto& [group, attempt] : moves_.claims) {
    if (!attempt.is_due(now)) continue;
    attempt.out = true;
    Transfer& transfer = out_.transfers.emplace_back(transfer_to(group));
    transfer.number = kClaim;
    transfer.done_below = (replica_.config().config.era << coordinator::kEraShift) + 1;
    transfer.state = std::make_shared<const std::string>(encode_arcs(table_->arcs()));
  }
}

void GroupCore::Impl::on_claimed(GroupId by, const TransferReply& reply, TimeMs now) {
  auto found = moves_.claims.find(by);
  if (found == moves_.claims.end() || !found->second.out) return;
  std::vector<OwnedArc> theirs;
  TransferReply read = reply;
  if (reply.ok() && !decode_arcs(reply.arcs, theirs))
    read = {Status::unavailable, "its answer can't be read", 0, {}, 0};
  found->second.on_reply(read, by, now);
  if (!read.ok()) return;
  std::vector<OwnedArc> missing;
  for (const auto& [group, arcs] : table_->missing())
    if (group == by) missing = arcs;
  const std::string ours = encode_arcs(without(std::move(missing), theirs));
  take_missing(by, ours, reply.next_number >> coordinator::kEraShift, reply.next_number);
}

// `era`: of the other group. When it lost everything as well, what lies between the two may have had tokens
// of its earlier eras, so that those given here from now on must be above them.
void GroupCore::Impl::take_missing(GroupId other, const std::string& arcs, std::uint64_t era,
                                   std::uint64_t next_number) {
  Operation take;
  take.kind = OperationKind::take_arcs;
  take.target = Sequence(other.value);
  take.token = FencingToken(era << coordinator::kEraShift);
  take.acked_below = Sequence(next_number);
  take.resource = arcs;
  collector_.add(take, Waiter());
}

// Until now the others may have confirmed sessions whose holds were under way to this group.
void GroupCore::Impl::arcs_taken(TimeMs now) {
  const auto missing = table_->missing();
  std::erase_if(moves_.claims, [&](const auto& claim) {
    return std::none_of(missing.begin(), missing.end(),
                        [&](const auto& arcs) { return arcs.first == claim.first; });
  });
  moves_.plan_due = true;
  if (recovery_until_ms_ == 0) return;
  recovery_until_ms_ = now + std::max<std::uint32_t>(1, replica_.config().config.lease_ms_max);
}

// --- who is asked --------------------------------------------------------------------------------

TransferReply GroupCore::Impl::claim_reply() const {
  TransferReply reply;
  reply.arcs = encode_arcs(table_->arcs());
  reply.next_number = table_->last_move() + 1;
  return reply;
}

// Answered when the log has it. When this group has begun anew as well, neither knows who had the arcs
// between the two, and nobody has: the group with the smaller number takes them, unless the other has by now.
// Not by the ring, which may be another one when the other decides.
void GroupCore::Impl::claim(RequestId request, const Transfer& transfer) {
  const auto reply = [&](TransferReply told) { out_.arrivals.push_back({request, std::move(told)}); };
  std::vector<OwnedArc> theirs;
  if (!transfer.state || !decode_arcs(*transfer.state, theirs))
    return reply({Status::invalid_argument, "its arcs can't be read", kAgainMs, {}, 0});
  if (transfer.ring_version != ring_.version)
    return reply({Status::unavailable, "knows another version of the ring", kAgainMs, {}, 0});
  for (const auto& [group, missing] : table_->missing()) {
    auto attempt = moves_.claims.find(group);
    if (group != transfer.from || (attempt != moves_.claims.end() && attempt->second.succeeded)) continue;
    if (transfer.from < group_) continue;
    const std::string ours = encode_arcs(without(missing, theirs));
    take_missing(group, ours, transfer.last_token.value >> coordinator::kEraShift, 0);
    if (attempt != moves_.claims.end()) attempt->second.succeeded = true;
  }
  Operation let;
  let.kind = OperationKind::let_arcs;
  let.target = Sequence(transfer.from.value);
  let.acked_below = Sequence(transfer.done_below);
  collector_.add(let, Waiter());
  moves_.claimants.push_back({request, transfer.from});
}

// A let_arcs was applied: nothing of the earlier time is sent on, and who asked is told.
void GroupCore::Impl::arcs_let(GroupId to) {
  const std::vector<OutgoingArc> outgoing = table_->outgoing();
  std::erase_if(moves_.sendings, [&](const auto& sending) {
    return std::none_of(outgoing.begin(), outgoing.end(),
                        [&](const OutgoingArc& arc) { return arc.number == sending.first; });
  });
  std::erase_if(moves_.claimants, [&](const Claimant& claimant) {
    if (claimant.from == to) out_.arrivals.push_back({claimant.request, claim_reply()});
    return claimant.from == to;
  });
  moves_.plan_due = true;
}

}  // namespace dlm::server
