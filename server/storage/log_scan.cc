// Reading a log back: every byte of it is looked at, and is what was written, or zero, or the unfinished last
// frame; else the folder is refused.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "server/storage/damage.h"
#include "server/storage/frames.h"
#include "server/storage/log_files.h"

namespace dlm::server {
namespace {

class Scan {
 public:
  Scan(Folder& folder, const GroupIdentity& identity) : folder_(folder), identity_(identity) {}

  ScannedLog run() {
    std::vector<std::uint64_t> ids;
    for (const std::string& name : folder_.list())
      if (const auto id = segment_id(name)) ids.push_back(*id);
    std::sort(ids.begin(), ids.end());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (i > 0 && ids[i] != ids[i - 1] + 1)
        throw DamagedFolder(folder_.describe(segment_name(ids[i - 1] + 1)) + ": is missing; " +
                            kMoveDataAway);
      scan_segment(ids[i]);
    }
    return std::move(log_);
  }

 private:
  void scan_segment(std::uint64_t id) {
    path_ = folder_.describe(segment_name(id));
    const std::unique_ptr<File> file = folder_.open(segment_name(id));
    bytes_ = file->read(0, file->size_bytes());
    log_.segments.push_back({id, bytes_.size(), {}});
    const std::optional<Frame> first = read_frame(id, bytes_, 0, 0);
    if (!first) damaged(0, "the head of the file");
    check_first_frame("log", identity_, first->content, path_);
    if (bytes_.size() % kPageBytes != 0) damaged(bytes_.size(), "the end of the file");

    std::uint64_t at = first->size_bytes;
    while (const std::optional<Frame> frame = next_frame(id, at)) {
      if (log_.unfinished_bytes != 0) damaged(at, "a frame after one that was not finished");
      take(*frame, at);
      at += frame->size_bytes;
      log_.at_segment = log_.segments.size() - 1;
      log_.at_bytes = at;
    }
    if (log_.at_bytes == 0) log_.at_bytes = at;  // of the first segment
    check_rest(id, at);
  }

  // The first frame of all may have any number.
  std::optional<Frame> next_frame(std::uint64_t id, std::uint64_t at) const {
    const bool any = !begun_;
    return read_frame(id, bytes_, at, any ? std::nullopt : std::optional(log_.next_frame));
  }

  void take(const Frame& frame, std::uint64_t at) {
    begun_ = true;
    log_.next_frame = frame.number + 1;
    std::vector<LogRecord> records;
    if (!decode_records(frame.content, records)) damaged(at, "records that are none");
    for (LogRecord& record : records) {
      if (const auto* batch = std::get_if<Batch>(&record)) note_index(batch->index);
      if (const auto* reset = std::get_if<LogReset>(&record)) note_index(reset->index);
      if (!log_.replay.add(std::move(record))) damaged(at, "a record that does not follow on the one before");
    }
    log_.records += records.size();
    log_.record_bytes += frame.content.size();
  }

  void note_index(LogIndex index) {
    Segment& segment = log_.segments.back();
    segment.last_index = std::max(segment.last_index, index);
  }

  // Behind the last frame: zeros, and sectors of the next one.
  void check_rest(std::uint64_t id, std::uint64_t begin) {
    std::uint64_t unfinished = 0;
    for (std::uint64_t at = begin; at < bytes_.size(); at += kSectorBytes) {
      const SectorState state = sector_state(id, bytes_, at, log_.next_frame);
      if (state == SectorState::zero) continue;
      if (state == SectorState::strange) damaged(at, "neither what was written nor what was there before");
      unfinished = at + kSectorBytes - begin;
    }
    if (unfinished == 0) return;
    if (log_.unfinished_bytes != 0) damaged(begin, "a second frame that was not finished");
    log_.unfinished_bytes = unfinished;
    log_.at_segment = log_.segments.size() - 1;
    log_.at_bytes = begin;
  }

  [[noreturn]] void damaged(std::uint64_t at, const char* what) const {
    throw DamagedFolder(path_ + ": damaged at byte " + std::to_string(at) + ": " + what +
                        ". Nothing was changed: " + kMoveDataAway);
  }

  Folder& folder_;
  const GroupIdentity& identity_;
  ScannedLog log_;
  bool begun_ = false;
  std::string path_;
  std::string bytes_;
};

}  // namespace

ScannedLog scan_log(Folder& folder, const GroupIdentity& identity) {
  return Scan(folder, identity).run();
}

}  // namespace dlm::server
