// GroupCore and the ring: gives away, arc by arc, what the ring does not give this group, and takes what
// other groups give it. All that has to survive this primary is in the log: what was frozen and has not
// arrived, and what has arrived. So each primary goes on from the table. See ARCHITECTURE.md, "Moving arcs".
#include <algorithm>
#include <cmath>
#include <utility>

#include "server/core/group_core_impl.h"

namespace dlm::server {
namespace {

// What a write to the coordinator takes, about.
constexpr std::uint32_t kRecordedMs = 10;
// Of a transfer that was refused, or found nobody.
constexpr std::uint32_t kRetryMsMin = 5;
constexpr std::uint32_t kRetryMsMax = 500;
// For an arc that was refused until the record says that the group is not through with the change.
constexpr std::uint32_t kForeignPatienceMs = 2'000;

double share_of(const OwnedArc& arc) {
  return std::ldexp(static_cast<double>(arc.end - arc.begin) + 1, -64);
}

}  // namespace

void GroupCore::Impl::on_ring(const coordinator::RingRecord& ring) {
  if (ring.version <= ring_.version) return;
  ring_ = ring;
  target_ = coordinator::Ring(ring_);
  moves_.plan_due = true;
}

// --- giving --------------------------------------------------------------------------------------

void GroupCore::Impl::begin_moves() {
  const std::uint64_t arcs_moved = moves_.arcs_moved;
  const std::uint64_t locks_moved = moves_.locks_moved;
  moves_ = Moves();
  moves_.arcs_moved = arcs_moved;
  moves_.locks_moved = locks_moved;
  moves_.known_from = replica_.last_index();
  for (const OutgoingArc& arc : table_->outgoing())
    moves_.sendings.emplace(arc.number, Sending{arc, Attempt()});
  for (const auto& [group, arcs] : table_->missing()) moves_.claims.try_emplace(group);
}

void GroupCore::Impl::plan_moves() {
  moves_.plan_due = false;
  moves_.to_give.clear();
  if (target_.empty()) return;
  auto place = target_.arcs().begin();
  for (const OwnedArc& owned : table_->arcs()) {
    while (place->end < owned.begin) ++place;
    for (auto arc = place; arc != target_.arcs().end() && arc->begin <= owned.end; ++arc) {
      if (arc->group == group_) continue;
      moves_.to_give.push_back(
          {{std::max(arc->begin, owned.begin), std::min(arc->end, owned.end)}, arc->group});
    }
  }
  std::map<GroupId, Attempt> asked;
  for (const Giving& giving : moves_.to_give) asked.try_emplace(giving.to);
  moves_.asked = std::move(asked);
}

std::string GroupCore::Impl::why_not_giving(TimeMs now) const {
  if (ring_.paused) return "the change is paused";
  if (!moves_.claims.empty()) return "it lost everything, and asks which arcs are its own";
  if (recovery_left_ms(now) != 0) return describe_recovery(now);
  // The record is read by whoever leads, so a ring older than the one it was written for is an old view.
  if (ring_.version < replica_.config().config.ring_done) return "this primary's view of the ring is old";
  return {};
}

// One more arc, or a piece of one, into the log.
bool GroupCore::Impl::give_next(const Instant& now) {
  if (moves_.plan_due || moves_.to_give.empty() || now.ms < moves_.give_at_ms) return false;
  const std::size_t under_way = moves_.sendings.size() + moves_.freezing;
  const bool limited = ring_.locks_per_s_max != 0;
  if (under_way >= (limited ? 1 : options_.moves_under_way_max) || !why_not_giving(now.ms).empty())
    return false;
  auto next = std::find_if(moves_.to_give.rbegin(), moves_.to_give.rend(),
                           [this](const Giving& giving) { return moves_.asked[giving.to].succeeded; });
  if (next == moves_.to_give.rend()) return false;
  std::swap(*next, moves_.to_give.back());

  std::size_t locks_max = options_.move_locks_max;
  if (limited) locks_max = std::clamp<std::size_t>(ring_.locks_per_s_max / 10, 1, locks_max);
  Giving& giving = moves_.to_give.back();
  const OwnedArc piece = table_->piece_of(giving.arc, locks_max);
  const std::string arc = encode_arcs({&piece, 1});
  Operation op;
  op.kind = OperationKind::move_out;
  op.target = Sequence(giving.to.value);
  op.resource = arc;
  collector_.add(op, Waiter());
  ++moves_.freezing;
  if (piece.end == giving.arc.end) {
    moves_.to_give.pop_back();
  } else {
    giving.arc.begin = piece.end + 1;
  }
  return true;
}

// After a move_out of this primary was applied.
void GroupCore::Impl::arc_frozen(TimeMs now) {
  if (moves_.freezing > 0) --moves_.freezing;
  for (const OutgoingArc& arc : table_->outgoing()) {
    if (!moves_.sendings.try_emplace(arc.number, Sending{arc, Attempt()}).second) continue;
    if (ring_.locks_per_s_max == 0) continue;
    moves_.give_at_ms = std::max(moves_.give_at_ms, now) + arc.locks * 1'000 / ring_.locks_per_s_max;
  }
}

Transfer GroupCore::Impl::transfer_to(GroupId to) const {
  Transfer transfer;
  transfer.from = group_;
  transfer.to = to;
  transfer.ring_version = ring_.version;
  transfer.lease_ms_max = replica_.config().config.lease_ms_max;
  transfer.last_token = table_->stats().last_token;
  return transfer;
}

void GroupCore::Impl::send_transfers(TimeMs now) {
  for (auto& [group, asked] : moves_.asked) {
    if (!asked.is_due(now)) continue;
    asked.out = true;
    out_.transfers.push_back(transfer_to(group));
  }
  for (auto& [number, sending] : moves_.sendings) {
    if (!sending.attempt.is_due(now)) continue;
    sending.attempt.out = true;
    Transfer& transfer = out_.transfers.emplace_back(transfer_to(sending.arc.to));
    transfer.number = number;
    transfer.done_below = moves_.sendings.begin()->first;
    transfer.state = sending.arc.state;
  }
}

void GroupCore::Impl::Attempt::on_reply(const TransferReply& reply, GroupId by, TimeMs now) {
  out = false;
  succeeded = reply.ok();
  if (succeeded) return;
  const std::uint32_t pause_ms = std::max(reply.retry_ms, kRetryMsMin << std::min(failures++, 7U));
  retry_at_ms = now + std::min(pause_ms, kRetryMsMax);
  why = to_string(by) + ": " + (reply.message.empty() ? std::string(to_string(reply.status)) : reply.message);
}

void GroupCore::Impl::on_asked(GroupId to, const TransferReply& reply, TimeMs now) {
  auto found = moves_.asked.find(to);
  if (found != moves_.asked.end() && found->second.out) found->second.on_reply(reply, to, now);
}

void GroupCore::Impl::on_transferred(std::uint64_t number, const TransferReply& reply, TimeMs now) {
  auto found = moves_.sendings.find(number);
  if (found == moves_.sendings.end() || !found->second.attempt.out) return;  // of an earlier time as primary
  const GroupId to = found->second.arc.to;
  found->second.attempt.on_reply(reply, to, now);
  if (!reply.ok()) {
    moves_.asked.erase(to);  // nothing more is frozen for it until it says that it can
    return;
  }
  Operation op;
  op.kind = OperationKind::move_done;
  op.target = Sequence(number);
  collector_.add(op, Waiter());
}

void GroupCore::Impl::arc_arrived(std::uint64_t number) {
  auto found = moves_.sendings.find(number);
  if (found == moves_.sendings.end()) return;
  ++moves_.arcs_moved;
  moves_.locks_moved += found->second.arc.locks;
  moves_.sendings.erase(found);
}

void GroupCore::Impl::drive_moves(const Instant& now) {
  // What is on its way into the log is still among the table's arcs; so is what was on its way when this
  // primary paused (alone, without the coordinator).
  const bool are_arcs_known = moves_.freezing == 0 && replica_.applied_index() >= moves_.known_from;
  if (moves_.plan_due && are_arcs_known) plan_moves();
  moves_.looked_ms = now.ms;
  bool gave = false;
  while (give_next(now)) gave = true;
  // Together they cost little more than one, and between them the group is its clients'.
  if (gave && ring_.locks_per_s_max == 0)
    moves_.give_at_ms = std::max(moves_.give_at_ms, now.ms + options_.move_pause_ms);
  send_transfers(now.ms);
  if (are_arcs_known) send_claims(now.ms);
  note_ring_done(now.ms);
}

bool GroupCore::Impl::has_nothing_to_give() const {
  return !moves_.plan_due && moves_.to_give.empty() && moves_.freezing == 0 && moves_.sendings.empty() &&
         moves_.claims.empty() &&
         // By the ring of now: what is on its way into the log may have been this group's when it came.
         std::all_of(moves_.arriving.begin(), moves_.arriving.end(),
                     [this](const Arrival& arrival) { return is_ours(arrival.arc); });
}

void GroupCore::Impl::note_ring_done(TimeMs now) {
  if (!ring_.changing() || moves_.done_noted == ring_.version || !has_nothing_to_give()) return;
  if (now < moves_.done_not_before_ms) return;
  if (replica_.config().config.ring_done > ring_.version) return;  // an old view
  moves_.done_noted = ring_.version;
  replica_.want_ring_done(ring_.version, now, wanted_);
}

TimeMs GroupCore::Impl::next_move_ms() const {
  TimeMs next = UINT64_MAX;
  const auto consider = [&](const Attempt& attempt) {
    if (!attempt.out && !attempt.succeeded) next = std::min(next, attempt.retry_at_ms);
  };
  for (const auto& [group, asked] : moves_.asked) consider(asked);
  for (const auto& [group, claim] : moves_.claims) consider(claim);
  for (const auto& [number, sending] : moves_.sendings) consider(sending.attempt);
  // Perhaps nothing may be given then, but it is not asked again before something else happens.
  const bool waits = moves_.give_at_ms > moves_.looked_ms && !moves_.to_give.empty() && !ring_.paused;
  if (waits) next = std::min(next, moves_.give_at_ms);
  if (ring_.changing() && moves_.done_noted != ring_.version && moves_.done_not_before_ms != 0)
    next = std::min(next, moves_.done_not_before_ms);
  return next;
}

// --- taking --------------------------------------------------------------------------------------

bool GroupCore::Impl::is_ours(const OwnedArc& arc) const {
  const std::vector<coordinator::Arc>& arcs = target_.arcs();
  auto at = std::partition_point(arcs.begin(), arcs.end(),
                                 [&](const coordinator::Arc& a) { return a.end < arc.begin; });
  return at != arcs.end() && at->group == group_ && at->end >= arc.end;
}

// Why it is not taken now. Each record that has to be written first is asked for.
std::optional<TransferReply> GroupCore::Impl::refuse_transfer(const Transfer& transfer, const OwnedArc* arc,
                                                              TimeMs now) {
  const auto later = [](std::string why, std::uint32_t retry_ms) {
    return TransferReply{Status::unavailable, std::move(why), retry_ms, {}, 0};
  };
  const coordinator::GroupConfig& config = replica_.config().config;
  if (recovery_left_ms(now) != 0)
    return later("is " + describe_recovery(now), std::min(recovery_left_ms(now), kRetryMsMax));
  if (transfer.ring_version != ring_.version || ring_.version < config.ring_done)
    return later("knows another version of the ring", kRecordedMs);
  if (transfer.lease_ms_max > config.lease_ms_max) {
    replica_.want_lease(transfer.lease_ms_max, now, wanted_);
    return later("has not recorded yet that so long leases may come", kRecordedMs);
  }
  // A group that loses everything goes on in the era after the recorded one: so none of its tokens may be of
  // a later one.
  const std::uint64_t era = transfer.last_token.value >> coordinator::kEraShift;
  if (era > config.era) {
    replica_.want_era(era, now, wanted_);
    return later("has not recorded the era of the tokens yet", kRecordedMs);
  }
  // Nobody may take the change for done while this group has to give the arc on.
  if (arc != nullptr && !is_ours(*arc) && !replica_.ring_done_is_clear()) {
    moves_.done_noted = 0;
    moves_.done_not_before_ms = now + kForeignPatienceMs;
    replica_.want_ring_done(0, now, wanted_);
    return later("is not to have the arc, and has not recorded yet that it takes it all the same",
                 kRecordedMs);
  }
  return std::nullopt;
}

void GroupCore::Impl::move_in(RequestId request, const Transfer& transfer, const Instant& now) {
  const auto reply = [&](TransferReply told) { out_.arrivals.push_back({request, std::move(told)}); };
  if (!may_serve()) return reply({Status::not_primary, who_is_primary(), kRecordedMs, {}, 0});
  if (transfer.number == kClaim) return claim(request, transfer);
  if (transfer.number == 0)
    return reply(refuse_transfer(transfer, nullptr, now.ms).value_or(TransferReply()));
  if (table_->has_received(transfer.from, transfer.number)) return reply({});
  MovedHead head;
  const bool sound = transfer.state && LockTable::read_moved_head(*transfer.state, head) &&
                     head.last_token <= transfer.last_token;
  if (!sound) {
    note("an arc from " + to_string(transfer.from) + " can't be read: refused");
    return reply({Status::invalid_argument, "the state of the arc can't be read", kRetryMsMax, {}, 0});
  }
  const auto same = [&](const Arrival& other) {
    return other.from == transfer.from && other.number == transfer.number;
  };
  const bool under_way = std::any_of(moves_.arriving.begin(), moves_.arriving.end(), same);
  if (!under_way) {
    if (auto refusal = refuse_transfer(transfer, &head.arc, now.ms)) return reply(std::move(*refusal));
    Operation op;
    op.kind = OperationKind::move_in;
    op.session = SessionId(transfer.from.value);
    op.target = Sequence(transfer.number);
    op.acked_below = Sequence(transfer.done_below);
    op.resource = *transfer.state;
    collector_.add(op, Waiter());
  }
  moves_.arriving.push_back({request, transfer.from, transfer.number, head.arc});
}

// A move_in was applied.
void GroupCore::Impl::arc_taken(GroupId from, std::uint64_t number) {
  std::erase_if(moves_.arriving, [&](const Arrival& arrival) {
    if (arrival.from != from || arrival.number != number) return false;
    out_.arrivals.push_back({arrival.request, {}});
    return true;
  });
  moves_.plan_due = true;  // it may have been ours when it came, and not be any more
}

void GroupCore::Impl::end_moves() {
  for (const Claimant& claimant : std::exchange(moves_.claimants, {}))
    out_.arrivals.push_back({claimant.request, {Status::not_primary, who_is_primary(), kRecordedMs, {}, 0}});
  for (const Arrival& arrival : std::exchange(moves_.arriving, {}))
    out_.arrivals.push_back({arrival.request, {Status::not_primary, who_is_primary(), kRecordedMs, {}, 0}});
}

// --- telling -------------------------------------------------------------------------------------

void GroupCore::Impl::report_moves(GroupReport& report, TimeMs now) const {
  report.ring_version = ring_.version;
  report.arcs = static_cast<std::uint32_t>(table_->arcs().size());
  for (const OwnedArc& arc : table_->arcs()) report.share_owned += share_of(arc);
  MoveReport& move = report.move;
  move.arcs_under_way = static_cast<std::uint32_t>(moves_.sendings.size() + moves_.freezing);
  move.arcs_left = move.arcs_under_way + static_cast<std::uint32_t>(moves_.to_give.size());
  for (const Giving& giving : moves_.to_give) move.share_left += share_of(giving.arc);
  for (const auto& [number, sending] : moves_.sendings) {
    move.share_left += share_of(sending.arc.arc);
    if (!sending.attempt.succeeded) move.waits_for = sending.attempt.why;
  }
  move.arcs_moved = moves_.arcs_moved;
  move.locks_moved = moves_.locks_moved;
  for (const auto& [group, claim] : moves_.claims)
    move.waits_for = "asks " + (claim.why.empty() ? to_string(group) : claim.why) + " which arcs it has";
  if (moves_.to_give.empty()) return;
  for (const auto& [group, asked] : moves_.asked)
    if (!asked.succeeded && move.waits_for.empty()) move.waits_for = asked.why;
  if (std::string why = why_not_giving(now); !why.empty()) move.waits_for = std::move(why);
}

}  // namespace dlm::server
