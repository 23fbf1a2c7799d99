#include "server/core/replica_log.h"

#include <utility>

namespace dlm::server {
namespace {

// What a batch costs beside its entries, so that a log of tiny batches is bounded too.
constexpr std::size_t kBatchOverheadBytes = 96;

std::size_t cost_bytes(const Batch& batch) {
  return batch.entries->size() + kBatchOverheadBytes;
}

}  // namespace

Epoch ReplicaLog::epoch_at(LogIndex index) const {
  return index == base_index_ ? base_epoch_ : at(index).epoch;
}

const Batch& ReplicaLog::at(LogIndex index) const {
  return batches_[index.value - base_index_.value - 1];
}

void ReplicaLog::append(Batch batch) {
  bytes_ += cost_bytes(batch);
  batches_.push_back(std::move(batch));
}

void ReplicaLog::truncate_after(LogIndex index) {
  while (last_index() > index) {
    bytes_ -= cost_bytes(batches_.back());
    batches_.pop_back();
  }
}

void ReplicaLog::reset(LogIndex base_index, Epoch base_epoch) {
  batches_.clear();
  bytes_ = 0;
  base_index_ = base_index;
  base_epoch_ = base_epoch;
}

void ReplicaLog::trim(LogIndex upto, std::size_t bytes_max) {
  while (bytes_ > bytes_max && !batches_.empty() && base_index_ < upto) {
    bytes_ -= cost_bytes(batches_.front());
    base_index_ = batches_.front().index;
    base_epoch_ = batches_.front().epoch;
    batches_.pop_front();
  }
}

void ReplicaLog::copy_from(LogIndex from, std::size_t bytes_max, std::vector<Batch>& out) const {
  std::size_t bytes = 0;
  for (LogIndex index = from; index <= last_index(); index = index.next()) {
    const Batch& batch = at(index);
    bytes += cost_bytes(batch);
    if (index > from && bytes > bytes_max) return;
    out.push_back(batch);
  }
}

}  // namespace dlm::server
