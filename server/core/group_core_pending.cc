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
  operations_ += count;
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

void Collector::add(const Operation& op, const Waiter& waiter) {
  if (writer_.count() >= operations_max_ || (writer_.count() > 0 && writer_.size_bytes() >= bytes_max_)) {
    full_bytes_ += writer_.size_bytes();
    full_.push_back({std::exchange(writer_, BatchWriter()), std::exchange(waiters_, {})});
  }
  writer_.add(op);
  waiters_.push_back(waiter);
}

Collector::Collected Collector::take(std::uint64_t unix_ms) {
  ++taken_;
  if (full_.empty()) {
    writer_.stamp(unix_ms);
    return {writer_.take(), std::exchange(waiters_, {})};
  }
  Full full = std::move(full_.front());
  full_.pop_front();
  full_bytes_ -= full.writer.size_bytes();
  full.writer.stamp(unix_ms);
  return {full.writer.take(), std::move(full.waiters)};
}

}  // namespace dlm::server
