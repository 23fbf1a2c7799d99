#include "router/core/pending.h"

namespace dlm::router {
namespace {

constexpr std::size_t kKeptCapacity = 256;  // of a free slot's string

}  // namespace

Pending* PendingTable::add(std::uint64_t base, const Operation& op, std::uint64_t hash) {
  const std::uint32_t slot = free_.empty() ? static_cast<std::uint32_t>(slots_.size()) : free_.back();
  if (!index_.try_emplace(Key{base, op.sequence.value}, slot).second) return nullptr;
  if (free_.empty()) {
    slots_.emplace_back();
  } else {
    free_.pop_back();
  }
  Pending& pending = slots_[slot];
  pending.op = op;
  pending.op.resource = pending.op.owner_tag = pending.op.client_id = {};
  pending.bytes.assign(op.resource);
  pending.bytes.append(op.owner_tag);
  pending.bytes.append(op.client_id);
  string_bytes_ += pending.bytes.size();
  pending.resource_bytes = static_cast<std::uint16_t>(op.resource.size());
  pending.tag_bytes = static_cast<std::uint16_t>(op.owner_tag.size());
  pending.client_id_bytes = static_cast<std::uint16_t>(op.client_id.size());
  pending.arrival = ++arrivals_;
  pending.hash = hash;
  pending.base = base;
  pending.deadline = 0;
  pending.call = 0;
  pending.retry_at = 0;
  pending.told_session = SessionId();
  pending.slot = slot;
  pending.connection = pending.group = pending.next = pending.previous = kNone;
  pending.told_in = pending.moved_by = kNone;
  pending.state = PendingState::parked;
  pending.moved = 0;
  pending.sent = pending.sent_again = pending.sent_before = pending.put_off = pending.in_line = false;
  return &pending;
}

void PendingTable::remove(std::uint32_t slot) {
  Pending& pending = slots_[slot];
  index_.erase(Key{pending.base, pending.op.sequence.value});
  string_bytes_ -= pending.bytes.size();
  if (pending.bytes.capacity() > kKeptCapacity) pending.bytes = {};
  pending.state = PendingState::free;
  free_.push_back(slot);
}

std::uint32_t PendingTable::find(std::uint64_t base, Sequence sequence) const {
  auto found = index_.find(Key{base, sequence.value});
  return found == index_.end() ? kNone : found->second;
}

}  // namespace dlm::router
