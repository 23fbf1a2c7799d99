// Snapshots of a group's state on disk: files `snapshot-<index>` of frames. Frame 0 says whose it is, 1 of
// which state, the last that it is the last.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/storage/files.h"
#include "server/storage/log_files.h"

namespace dlm::server {

std::string snapshot_name(LogIndex index);
std::optional<LogIndex> snapshot_index(std::string_view name);  // none: it is no snapshot

// One thread. Gone before finish() was called, it leaves a file that is removed at the next start.
class SnapshotFileWriter {
 public:
  SnapshotFileWriter(Folder& folder, const GroupIdentity& identity, const LogPlace& place);
  void add(std::string_view chunk);
  // Makes it safe, under its name, and removes older ones.
  void finish();
  LogPlace place() const { return place_; }

 private:
  void write(std::string_view content);

  Folder& folder_;
  LogPlace place_;
  std::unique_ptr<File> file_;
  std::uint64_t at_bytes_ = 0;
  std::uint64_t next_frame_ = 0;
  std::uint64_t unsafe_bytes_ = 0;
};

// Reads a snapshot from end to end. Throws DamagedFolder. `take` gets the chunks as they were added.
LogPlace read_snapshot_file(Folder& folder, const GroupIdentity& identity, LogIndex index,
                            const std::function<void(std::string_view chunk)>& take);

}  // namespace dlm::server
