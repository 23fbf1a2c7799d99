// Writes the log of one group; see log_files.h for how it lies on disk.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/storage/files.h"
#include "server/storage/log_files.h"

namespace dlm::server {

// One thread, but for prepare_segment(). After anything was thrown it must not be used any more: what is on
// the disk is not known.
class LogWriter {
 public:
  // Goes on where the scan ended, having wiped out an unfinished frame.
  LogWriter(Folder& folder, const GroupIdentity& identity, std::uint64_t segment_bytes, ScannedLog&& log);

  // Keeps it for the next write().
  void add(const LogRecord& record);
  // Writes what was added: one frame, unless it is very much, and then all but the last frame are made safe.
  void write();
  // Returns when everything that was added is safe.
  void sync();

  // The segment that will be needed after those that exist; wanted early, so that no write() has to fill one
  // with zeros. prepare_segment() may run on another thread meanwhile; what it made is given to
  // take_segment().
  bool wants_segment() const;
  std::uint64_t next_segment_id() const { return segments_.back().id + 1; }
  struct Spare {
    std::uint64_t id = 0;
    std::uint64_t size_bytes = 0;
    std::string name;  // until it is taken
  };
  static Spare prepare_segment(Folder& folder, const GroupIdentity& identity, std::uint64_t id,
                               std::uint64_t size_bytes, const std::string& name);
  void take_segment(const Spare& spare);

  // Removes segments of which a snapshot of the state at `index` has all.
  void drop_covered(LogIndex index);
  std::uint64_t size_bytes() const;  // on disk

 private:
  void make_segment(std::uint64_t size_bytes);
  void write_frame();
  void make_safe();
  void open_segment_for(std::size_t frame_bytes);

  Folder& folder_;
  GroupIdentity identity_;
  std::uint64_t segment_bytes_;
  std::vector<Segment> segments_;
  std::size_t at_segment_ = 0;
  std::uint64_t at_bytes_ = 0;
  std::uint64_t next_frame_ = 1;
  std::unique_ptr<File> file_;    // of segments_[at_segment_]
  bool unsafe_ = false;           // the last frame is written and not synced
  bool segment_is_safe_ = false;  // a frame of it is
  Epoch led_;                     // repeated at the beginning of each segment, as older ones go
  std::string pending_;
  LogIndex pending_last_;
};

}  // namespace dlm::server
