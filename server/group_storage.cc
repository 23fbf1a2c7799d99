#include "server/group_storage.h"

#include <pthread.h>

#include <exception>
#include <utility>

namespace dlm::server {

// --- queues ----------------------------------------------------------------------------------------------

template <class Task>
void GroupStorage::Queue<Task>::put(Task&& task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_one();
}

template <class Task>
std::optional<std::deque<Task>> GroupStorage::Queue<Task>::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
  if (closed_) return std::nullopt;
  return std::exchange(tasks_, {});
}

template <class Task>
void GroupStorage::Queue<Task>::close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
}

// --- beginning and end -----------------------------------------------------------------------------------

GroupStorage::GroupStorage(Executor executor, std::unique_ptr<Folder> folder, const GroupIdentity& identity,
                           std::unique_ptr<LogWriter> log, Events events)
    : executor_(std::move(executor)),
      folder_(std::move(folder)),
      identity_(identity),
      log_(std::move(log)),
      size_bytes_(log_->size_bytes()),
      events_(std::make_shared<Events>(std::move(events))),
      told_events_(events_),
      background_thread_([this] { run_background(); }),
      log_thread_([this] { run_log(); }) {
  pthread_setname_np(background_thread_.native_handle(), "dlm-snapshot");
  pthread_setname_np(log_thread_.native_handle(), "dlm-log");
}

GroupStorage::~GroupStorage() {
  events_.reset();
  log_queue_.close();
  background_queue_.close();
  log_thread_.join();
  background_thread_.join();
}

void GroupStorage::write(GroupOutput& output) {
  if (!output.log_writes.empty())
    log_queue_.put(LogJob{std::exchange(output.log_writes, {}), output.log_records});
  if (output.snapshot_chunk) background_queue_.put(std::move(*output.snapshot_chunk));
}

void GroupStorage::tell(std::function<void(const Events&)> what) {
  executor_([told = told_events_, what = std::move(what)] {
    if (const std::shared_ptr<Events> events = told.lock()) what(*events);
  });
}

// After a failure what is on the disk is not known, so neither thread goes on.
void GroupStorage::fail(const std::string& why) {
  log_queue_.close();
  background_queue_.close();
  tell([why](const Events& events) { events.on_failed(why); });
}

// --- the log ---------------------------------------------------------------------------------------------

void GroupStorage::run_log() {
  try {
    while (auto tasks = log_queue_.take()) do_log(std::move(*tasks));
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

// Whatever has come while the last sync was under way is safe with one sync.
void GroupStorage::do_log(std::deque<LogTask>&& tasks) {
  std::uint64_t last_record = 0;
  LogIndex covered;
  for (LogTask& task : tasks) {
    if (auto* job = std::get_if<LogJob>(&task)) {
      for (const LogRecord& record : job->records) log_->add(record);
      last_record = job->last_record;
    } else if (const auto* spare = std::get_if<LogWriter::Spare>(&task)) {
      log_->take_segment(*spare);
      segment_ordered_ = false;
    } else {
      covered = std::get<Covered>(task).index;
    }
  }
  if (last_record != 0) {
    log_->sync();
    size_bytes_ = log_->size_bytes();
    tell([last_record](const Events& events) { events.on_durable(last_record); });
  }
  if (covered) log_->drop_covered(covered);
  if (log_->wants_segment() && !std::exchange(segment_ordered_, true))
    background_queue_.put(NewSegment{log_->next_segment_id()});
  size_bytes_ = log_->size_bytes();
}

// --- beside it -------------------------------------------------------------------------------------------

void GroupStorage::run_background() {
  try {
    while (auto tasks = background_queue_.take()) {
      for (BackgroundTask& task : *tasks) {
        if (const auto* chunk = std::get_if<SnapshotChunk>(&task)) {
          write_chunk(*chunk);
        } else {
          log_queue_.put(LogWriter::prepare_segment(*folder_, identity_, std::get<NewSegment>(task).id,
                                                    kSegmentBytes, "spare.new"));
        }
      }
    }
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

void GroupStorage::write_chunk(const SnapshotChunk& chunk) {
  if (chunk.first) snapshot_ = std::make_unique<SnapshotFileWriter>(*folder_, identity_, chunk.place);
  if (!snapshot_ || snapshot_->place() != chunk.place) return;
  snapshot_->add(chunk.bytes);
  if (chunk.last) {
    snapshot_->finish();
    snapshot_.reset();
    log_queue_.put(Covered{chunk.place.index});
  }
  tell([index = chunk.place.index, last = chunk.last](const Events& events) {
    events.on_snapshot_written(index, last);
  });
}

}  // namespace dlm::server
