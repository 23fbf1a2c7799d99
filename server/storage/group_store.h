// What one group has in its server's data folder: a log, and the newest snapshot of the state behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/core/group_core.h"
#include "server/storage/files.h"
#include "server/storage/log_files.h"
#include "server/storage/log_writer.h"

namespace dlm::server {

inline constexpr std::uint64_t kSegmentBytes = 16u << 20;

// What a look at a folder found; nothing is changed by it.
struct GroupContents {
  RecoveredState recovered;
  ScannedLog log;
  std::optional<LogPlace> snapshot;
  bool unconnected = false;  // see LogReplay
};
// Throws DamagedFolder, and std::system_error.
GroupContents look_into(Folder& folder, const GroupIdentity& identity);

// Reads the folder, wipes out what was never finished, and opens the log. Throws as above.
struct OpenedGroup {
  RecoveredState recovered;
  std::vector<std::string> notes;  // for operators
  std::unique_ptr<LogWriter> log;
};
OpenedGroup open_group(Folder& folder, const GroupIdentity& identity,
                       std::uint64_t segment_bytes = kSegmentBytes);

}  // namespace dlm::server
