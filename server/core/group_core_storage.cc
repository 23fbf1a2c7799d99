// GroupCore's own disk: the log that is made safe there, and now and then a snapshot, so that the log before
// it may go.
#include <algorithm>
#include <utility>

#include "schema/text.h"
#include "server/core/group_core_impl.h"

namespace dlm::server {

// --- the log ---------------------------------------------------------------------------------------------

// A reset makes all before it worthless, so it waits until the state behind it is safe, and all that follows
// with it. A group that begins with nothing has no such state.
void GroupCore::Impl::hand_over_log() {
  std::uint64_t number = replica_.log_records() - wanted_.log_writes.size();
  for (LogRecord& record : wanted_.log_writes) {
    ++number;
    if (const auto* batch = std::get_if<Batch>(&record)) logged_bytes_ += batch->entries->size();
    if (const auto* reset = std::get_if<LogReset>(&record)) {
      gate_.reset();
      if (!reset->empty) gate_ = Gate{reset->index, {}, 0};
    }
    std::vector<LogRecord>& to = gate_ ? gate_->records : out_.log_writes;
    to.push_back(std::move(record));
    (gate_ ? gate_->last_record : out_.log_records) = number;
  }
  wanted_.log_writes.clear();
}

void GroupCore::Impl::open_gate() {
  std::move(gate_->records.begin(), gate_->records.end(), std::back_inserter(out_.log_writes));
  out_.log_records = gate_->last_record;
  gate_.reset();
}

// What was accepted from a primary that has been deposed meanwhile would be true, but that it is deposed
// helps it more.
void GroupCore::Impl::hand_over_replies() {
  while (!held_replies_.empty() && held_replies_.front().first <= records_durable_) {
    GroupOutput::Reply& reply = out_.replies.emplace_back(std::move(held_replies_.front().second));
    held_replies_.pop_front();
    if (reply.reply.epoch < replica_.epoch()) {
      reply.reply.accepted = false;
      reply.reply.epoch = replica_.epoch();
    }
  }
}

void GroupCore::Impl::on_durable(std::uint64_t log_records, TimeMs now) {
  records_durable_ = std::max(records_durable_, log_records);
  replica_.on_durable(log_records, now, wanted_);
}

// --- snapshots -------------------------------------------------------------------------------------------

void GroupCore::Impl::begin_own_snapshot() {
  OwnSnapshot own;
  own.place = {replica_.applied_index(), replica_.applied_epoch()};
  own.writer = table_->snapshot();
  own_snapshot_ = std::move(own);
  logged_bytes_ = 0;
}

void GroupCore::Impl::write_own_snapshot() {
  if (!options_.replica.durable) return;
  const std::uint64_t due_bytes = std::max<std::uint64_t>(options_.snapshot_log_bytes, own_snapshot_bytes_);
  if (!own_snapshot_ && !puts_off_ && logged_bytes_ >= due_bytes) begin_own_snapshot();
  if (!own_snapshot_ || !own_snapshot_->writer || own_snapshot_->chunk_out) return;
  OwnSnapshot& own = *own_snapshot_;
  SnapshotChunk& chunk = out_.snapshot_chunk.emplace();
  chunk.place = own.place;
  chunk.first = !std::exchange(own.begun, true);
  chunk.last = !own.writer->next(options_.snapshot_chunk_bytes, chunk.bytes);
  own.chunk_out = true;
  own.bytes += chunk.bytes.size();
  if (chunk.last) own.writer.reset();
}

// Of another snapshot than the one under way: that was dropped meanwhile.
void GroupCore::Impl::on_snapshot_written(LogIndex index, bool last) {
  if (!own_snapshot_ || own_snapshot_->place.index != index || !own_snapshot_->chunk_out) return;
  own_snapshot_->chunk_out = false;
  if (!last) return;
  note("wrote a snapshot at " + std::to_string(index.value) + ", " + format_size_bytes(own_snapshot_->bytes));
  own_snapshot_bytes_ = own_snapshot_->bytes;
  own_snapshot_.reset();
  if (gate_ && gate_->index == index) open_gate();
}

}  // namespace dlm::server
