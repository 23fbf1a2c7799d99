#include "test/sim/group_disk.h"

#include <system_error>
#include <utility>

namespace dlm::sim {
namespace {

constexpr std::uint64_t kSegmentBytes = 16u << 10;  // of four frames at most: they end and go often

}  // namespace

GroupDisk::GroupDisk(Process& process, std::unique_ptr<server::Folder> folder, server::GroupIdentity identity,
                     std::function<TimeUs()> delay, Events events)
    : process_(process),
      folder_(std::move(folder)),
      identity_(std::move(identity)),
      delay_(std::move(delay)),
      events_(std::move(events)),
      opened_(server::open_group(*folder_, identity_, kSegmentBytes)) {}

template <class Task>
void GroupDisk::try_to(Task task) {
  try {
    task();
  } catch (const std::system_error& error) {
    events_.on_failed(error.what());
  }
}

void GroupDisk::write(server::GroupOutput& output) {
  if (!output.log_writes.empty()) {
    std::move(output.log_writes.begin(), output.log_writes.end(), std::back_inserter(waiting_));
    waiting_records_ = output.log_records;
    if (!writing_) write_log();
  }
  if (output.snapshot_chunk)
    process_.post(delay_(), [this, chunk = std::move(*output.snapshot_chunk)]() mutable {
      try_to([&] { write_chunk(std::move(chunk)); });
    });
}

// Written at once, safe later: between the two the power may fail.
void GroupDisk::write_log() {
  writing_ = true;
  try_to([&] {
    for (const server::LogRecord& record : std::exchange(waiting_, {})) opened_.log->add(record);
    opened_.log->write();
    process_.post(delay_(), [this, records = waiting_records_] {
      try_to([&] {
        opened_.log->sync();
        writing_ = false;
        if (!waiting_.empty()) write_log();
        events_.on_durable(records);
      });
    });
  });
}

void GroupDisk::write_chunk(server::SnapshotChunk&& chunk) {
  if (chunk.first) snapshot_ = std::make_unique<server::SnapshotFileWriter>(*folder_, identity_, chunk.place);
  if (!snapshot_ || snapshot_->place() != chunk.place) return;
  snapshot_->add(chunk.bytes);
  if (chunk.last) {
    snapshot_->finish();
    snapshot_.reset();
    opened_.log->drop_covered(chunk.place.index);
  }
  events_.on_snapshot_written(chunk.place.index, chunk.last);
}

}  // namespace dlm::sim
