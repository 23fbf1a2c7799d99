// The disk of one group in a running server. Two threads: one writes the log, so that it syncs while the loop
// collects the next batch; the other writes snapshots and makes segments, neither of which shall hold up the
// log.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "server/core/group_core.h"
#include "server/storage/group_store.h"
#include "server/storage/snapshot_file.h"

namespace dlm::server {

// Used by one thread, the loop's, which also hears the events; not from within a call.
class GroupStorage {
 public:
  struct Events {
    std::function<void(std::uint64_t log_records)> on_durable;
    std::function<void(LogIndex index, bool last)> on_snapshot_written;
    // The disk failed, and nothing is written any more. Once.
    std::function<void(const std::string& why)> on_failed;
  };
  // Runs a task on the loop, later; may be called from any thread, also when the loop has gone.
  using Executor = std::function<void(std::function<void()>)>;

  // `log` writes to `folder`, as open_group() made it.
  GroupStorage(Executor executor, std::unique_ptr<Folder> folder, const GroupIdentity& identity,
               std::unique_ptr<LogWriter> log, Events events);
  ~GroupStorage();  // what is being written is written to its end; tells nothing any more
  GroupStorage(const GroupStorage&) = delete;
  GroupStorage& operator=(const GroupStorage&) = delete;

  // Takes log_writes and snapshot_chunk of an output. Returns at once.
  void write(GroupOutput& output);
  std::uint64_t size_bytes() const { return size_bytes_.load(); }  // of the log, on disk

 private:
  struct LogJob {
    std::vector<LogRecord> records;
    std::uint64_t last_record = 0;
  };
  struct Covered {  // by a snapshot
    LogIndex index;
  };
  struct NewSegment {
    std::uint64_t id;
  };
  using LogTask = std::variant<LogJob, Covered, LogWriter::Spare>;
  using BackgroundTask = std::variant<SnapshotChunk, NewSegment>;

  // What a thread has to do. take() waits for it, and gives nothing when the end has come.
  template <class Task>
  class Queue {
   public:
    void put(Task&& task);
    std::optional<std::deque<Task>> take();
    void close();

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Task> tasks_;
    bool closed_ = false;
  };

  void run_log();
  void run_background();
  void do_log(std::deque<LogTask>&& tasks);
  void write_chunk(const SnapshotChunk& chunk);
  void fail(const std::string& why);
  void tell(std::function<void(const Events&)> what);

  Executor executor_;
  std::unique_ptr<Folder> folder_;
  GroupIdentity identity_;
  std::unique_ptr<LogWriter> log_;                // the log's thread
  std::unique_ptr<SnapshotFileWriter> snapshot_;  // the other thread
  bool segment_ordered_ = false;                  // the log's thread
  std::atomic<std::uint64_t> size_bytes_ = 0;
  std::shared_ptr<Events> events_;           // gone with this object
  const std::weak_ptr<Events> told_events_;  // what the threads hold of them
  Queue<LogTask> log_queue_;
  Queue<BackgroundTask> background_queue_;
  std::thread background_thread_;
  std::thread log_thread_;
};

}  // namespace dlm::server
