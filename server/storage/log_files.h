// The log of one group on disk: segments `log-<id>`, each filled with zeros when it is made and then with
// frames of records, and what a scan of them finds.
//
// A segment's first frame (number 0) says whose it is. The others have numbers that ascend over all segments;
// each was safe before the next was written. So only the last of all can be unfinished.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/log_record.h"
#include "server/storage/files.h"

namespace dlm::server {

// Whose data it is.
struct GroupIdentity {
  std::string cluster;
  std::string server;
  std::uint64_t incarnation = 0;
  GroupId group;
};
// The content of the first frame of every file; `kind` is "log" or "snapshot".
std::string first_frame(const char* kind, const GroupIdentity& identity);
// Throws DamagedFolder, naming `path`, unless it is this identity's of this version.
void check_first_frame(const char* kind, const GroupIdentity& identity, std::string_view content,
                       const std::string& path);

std::string segment_name(std::uint64_t id);
std::optional<std::uint64_t> segment_id(std::string_view name);  // none: it is no segment

void encode(const LogRecord& record, std::string& out);
// Appends to `out`; false: they are no records.
bool decode_records(std::string_view bytes, std::vector<LogRecord>& out);

// Puts the records of a log together again, in their order.
class LogReplay {
 public:
  // False: it does not follow on the one before.
  bool add(LogRecord&& record);
  Epoch led() const { return log_.led; }
  // The log behind the newest known state: `snapshot`, if there is one, or an empty one. `unconnected`: the
  // log ends before it, and must be told so by a LogReset before anything is added. Nothing, and why in
  // `error`, when what should follow on that state is missing.
  std::optional<RecoveredLog> finish(const std::optional<LogPlace>& snapshot, bool& unconnected,
                                     std::string& error);

 private:
  RecoveredLog log_;
  std::optional<LogReset> reset_;
};

struct Segment {
  std::uint64_t id = 0;
  std::uint64_t size_bytes = 0;
  LogIndex last_index;  // the highest in it
};

struct ScannedLog {
  LogReplay replay;
  std::vector<Segment> segments;  // by id
  // Where the next frame goes: in the last segment that has any, or in the first.
  std::size_t at_segment = 0;
  std::uint64_t at_bytes = 0;
  std::uint64_t next_frame = 1;
  std::uint64_t unfinished_bytes = 0;  // of a frame that was being written; they follow at_bytes
  std::uint64_t records = 0;
  std::uint64_t record_bytes = 0;
};
// Throws DamagedFolder, and what Folder throws. Changes nothing.
ScannedLog scan_log(Folder& folder, const GroupIdentity& identity);

}  // namespace dlm::server
