#include "router/core/moving_ring.h"

#include <algorithm>
#include <utility>

namespace dlm::router {

using coordinator::ArcMove;
using coordinator::Ring;

// Rings take milliseconds to build when there are many groups, so what is known is used again: a change
// begins with the ring that was, and ends with the one that is.
bool MovingRing::follow(const coordinator::RingRecord& record) {
  if (record.groups == groups_ && record.before == groups_before_) return false;
  const bool turned = record.changing() && record.groups == groups_before_ && record.before == groups_;
  if (turned) {
    turn_back();
  } else {
    Ring before;
    if (record.changing()) before = record.before == groups_ ? ring_ : Ring(record.before);
    if (record.groups != groups_) ring_ = Ring(record.groups);
    before_ = std::move(before);
    moves_ = difference(before_, ring_);
    went_.assign(moves_.size(), false);
  }
  flows_ = flows_of(moves_);
  groups_ = record.groups;
  groups_before_ = record.before;
  return true;
}

// The change is aborted: what was moved comes back, so all that is known of it holds the other way round.
void MovingRing::turn_back() {
  std::swap(ring_, before_);
  for (ArcMove& move : moves_) std::swap(move.from, move.to);
  went_.flip();
}

const ArcMove* MovingRing::move_of(std::uint64_t hash) const {
  auto move = std::lower_bound(moves_.begin(), moves_.end(), hash,
                               [](const ArcMove& arc, std::uint64_t at) { return arc.end < at; });
  return move != moves_.end() && move->begin <= hash ? &*move : nullptr;
}

Candidates MovingRing::candidates(std::uint64_t hash) const {
  const ArcMove* move = moves_.empty() ? nullptr : move_of(hash);
  if (move == nullptr) return {ring_.group_of(hash), GroupId()};
  const bool went = went_[static_cast<std::size_t>(move - moves_.data())];
  return went ? Candidates{move->to, move->from} : Candidates{move->from, move->to};
}

void MovingRing::moved(std::uint64_t hash, GroupId by) {
  const ArcMove* move = move_of(hash);
  if (move == nullptr || (by != move->from && by != move->to)) return;
  went_[static_cast<std::size_t>(move - moves_.data())] = by == move->from;
}

}  // namespace dlm::router
