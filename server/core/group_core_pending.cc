#include "server/core/group_core_pending.h"

#include <utility>

namespace dlm::server {

std::uint32_t PendingSubmits::open(ChannelId channel, RequestId request, std::size_t count) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.channel = channel;
  slot.request = request;
  slot.missing = count;
  slot.answers.reserve(count);
  return index;
}

void PendingSubmits::answer(std::uint32_t slot_index, Answer&& answer, Epoch epoch,
                            std::vector<GroupOutput::Finished>& finished) {
  Slot& slot = slots_[slot_index];
  --operations_;
  --slot.missing;
  if (slot.channel) {
    answer.group = group_;
    slot.answers.push_back(std::move(answer));
  }
  if (slot.missing > 0) return;
  if (slot.channel) finished.push_back({slot.request, epoch, std::move(slot.answers)});
  slot = Slot();
  free_.push_back(slot_index);
}

void PendingSubmits::abandon(ChannelId channel) {
  for (Slot& slot : slots_) {
    if (slot.channel != channel) continue;
    slot.channel = ChannelId();
    slot.answers = {};
  }
}

void Collector::add(const Operation& op, const Waiter& waiter, bool may_overtake) {
  // The primary's own entries all go one way: some are only right behind others of them.
  const bool is_own = op.kind >= kFirstInternalOperation;
  Lane& lane = is_own || (is_behind() && may_overtake) ? urgent_ : lane_;
  const bool full = lane.writer.count() >= operations_max_ ||
                    (lane.writer.count() > 0 && lane.writer.size_bytes() >= bytes_max_);
  if (full) {
    lane.full_bytes += lane.writer.size_bytes();
    lane.full.push_back({std::exchange(lane.writer, BatchWriter()), std::exchange(lane.waiters, {})});
  }
  lane.writer.add(op);
  lane.waiters.push_back(waiter);
}

Collector::Collected Collector::take(std::uint64_t unix_ms) {
  if (!urgent_.empty()) return urgent_.take(unix_ms);
  ++taken_;
  return lane_.take(unix_ms);
}

Collector::Collected Collector::Lane::take(std::uint64_t unix_ms) {
  if (full.empty()) {
    writer.stamp(unix_ms);
    return {writer.take(), std::exchange(waiters, {})};
  }
  Full next = std::move(full.front());
  full.pop_front();
  full_bytes -= next.writer.size_bytes();
  next.writer.stamp(unix_ms);
  return {next.writer.take(), std::move(next.waiters)};
}

}  // namespace dlm::server
