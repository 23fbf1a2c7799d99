// What one group has on its server's disk, written with delays, as by server/storage_thread.cc in a real one:
// one write of the log at a time, and one part of a snapshot beside it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/core/group_core.h"
#include "server/storage/group_store.h"
#include "server/storage/snapshot_file.h"
#include "test/sim/disk.h"
#include "test/sim/process.h"

namespace dlm::sim {

class GroupDisk {
 public:
  struct Events {
    std::function<void(std::uint64_t log_records)> on_durable;
    std::function<void(LogIndex index, bool last)> on_snapshot_written;
    std::function<void(const std::string& why)> on_failed;
  };
  // `delay`: of a write or sync. Throws as open_group() does.
  GroupDisk(Process& process, std::unique_ptr<server::Folder> folder, server::GroupIdentity identity,
            std::function<TimeUs()> delay, Events events);

  server::RecoveredState take_recovered() { return std::move(opened_.recovered); }
  const std::vector<std::string>& notes() const { return opened_.notes; }
  void write(server::GroupOutput& output);

 private:
  void write_log();
  void write_chunk(server::SnapshotChunk&& chunk);
  template <class Task>
  void try_to(Task task);

  Process& process_;
  std::unique_ptr<server::Folder> folder_;
  server::GroupIdentity identity_;
  std::function<TimeUs()> delay_;
  Events events_;
  server::OpenedGroup opened_;
  std::vector<server::LogRecord> waiting_;
  std::uint64_t waiting_records_ = 0;
  bool writing_ = false;
  std::unique_ptr<server::SnapshotFileWriter> snapshot_;
};

}  // namespace dlm::sim
