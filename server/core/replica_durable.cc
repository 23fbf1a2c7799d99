// The log of Replica, in memory and on disk: what is written down, and what of it is safe.
#include <algorithm>
#include <utility>

#include "server/core/replica_impl.h"

namespace dlm::server {

Replica::Impl::Impl(const ReplicaOptions& options, RecoveredLog&& log) : options_(options), led_(log.led) {
  log_.reset(log.base.index, log.base.epoch);
  committed_ = log.base.index;
  for (Batch& batch : log.batches) log_.append(std::move(batch));
  durable_ = log_.last_index();
  // Whoever served in a later epoch than the last one here did so without this replica.
  epoch_ = std::max(log_.last_epoch(), led_);
}

void Replica::Impl::write(LogRecord record, ReplicaOutput& out) {
  if (!options_.durable) return;
  ++records_;
  out.log_writes.push_back(std::move(record));
}

void Replica::Impl::append_to_log(Batch batch, ReplicaOutput& out) {
  write(batch, out);
  if (options_.durable) unsafe_.push_back({records_, batch.index});
  log_.append(std::move(batch));
}

// On disk the batch that follows says so.
void Replica::Impl::truncate_log_after(LogIndex index) {
  log_.truncate_after(index);
  while (!unsafe_.empty() && unsafe_.back().index > index) unsafe_.pop_back();
  durable_ = std::min(durable_, index);
}

void Replica::Impl::reset_log(const LogReset& reset, ReplicaOutput& out) {
  write(reset, out);
  log_.reset(reset.index, reset.epoch);
  committed_ = reset.index;
  unsafe_.clear();
  durable_ = reset.index;
  out.apply.clear();  // it was to be applied to the state before
}

void Replica::Impl::on_durable(std::uint64_t records) {
  records_durable_ = std::max(records_durable_, std::min(records, records_));
  while (!unsafe_.empty() && unsafe_.front().record <= records_durable_) {
    durable_ = unsafe_.front().index;
    unsafe_.pop_front();
  }
}

}  // namespace dlm::server
