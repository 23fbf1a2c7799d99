#include "server/storage/log_writer.h"

#include <algorithm>
#include <utility>

#include "server/storage/frames.h"

namespace dlm::server {
namespace {

// No frame gets larger than a quarter of a segment, unless a single record is.
constexpr std::uint64_t kFramesOfASegment = 4;
constexpr std::size_t kZerosBytes = 1u << 20;  // at a time, so that a sync of the log waits for no more

// And syncs.
void fill_with_zeros(File& file, std::uint64_t begin, std::uint64_t end) {
  const std::string zeros(std::min<std::uint64_t>(kZerosBytes, end - begin), '\0');
  while (begin < end) {
    const std::size_t size = std::min<std::uint64_t>(kZerosBytes, end - begin);
    file.write(begin, std::string_view(zeros).substr(0, size));
    file.sync();
    begin += size;
  }
}

}  // namespace

LogWriter::LogWriter(Folder& folder, const GroupIdentity& identity, std::uint64_t segment_bytes,
                     ScannedLog&& log)
    : folder_(folder),
      identity_(identity),
      segment_bytes_(segment_bytes),
      segments_(std::move(log.segments)),
      at_segment_(log.at_segment),
      at_bytes_(log.at_bytes),
      next_frame_(log.next_frame),
      led_(log.replay.led()) {
  if (segments_.empty()) {
    make_segment(segment_bytes_);
    at_bytes_ = frame_bytes(first_frame("log", identity_).size());
  }
  file_ = folder_.open(segment_name(segments_[at_segment_].id));
  if (log.unfinished_bytes == 0) return;
  fill_with_zeros(*file_, at_bytes_, at_bytes_ + log.unfinished_bytes);
}

void LogWriter::add(const LogRecord& record) {
  if (const auto* batch = std::get_if<Batch>(&record)) {
    const std::uint64_t size_bytes = pending_.size() + batch->entries->size();
    if (!pending_.empty() && size_bytes > segment_bytes_ / kFramesOfASegment) write_frame();
    pending_last_ = std::max(pending_last_, batch->index);
  } else if (const auto* reset = std::get_if<LogReset>(&record)) {
    pending_last_ = std::max(pending_last_, reset->index);
  } else {
    led_ = std::max(led_, std::get<LedEpoch>(record).epoch);
  }
  encode(record, pending_);
}

void LogWriter::write() {
  if (!pending_.empty()) write_frame();
}

void LogWriter::sync() {
  write();
  make_safe();
}

void LogWriter::make_safe() {
  if (!std::exchange(unsafe_, false)) return;
  file_->sync();
  segment_is_safe_ = true;
}

// The frame before must be safe, so that only the last of all can be unfinished.
void LogWriter::write_frame() {
  make_safe();
  std::string content = std::move(pending_);
  pending_.clear();
  std::string led;
  encode(LedEpoch{led_}, led);
  open_segment_for(frame_bytes(led.size() + content.size()));
  if (!segment_is_safe_) content.insert(0, led);  // its first frame
  Segment& segment = segments_[at_segment_];
  const std::string frame = seal_frame(segment.id, at_bytes_, next_frame_, content);
  file_->write(at_bytes_, frame);
  unsafe_ = true;
  at_bytes_ += frame.size();
  ++next_frame_;
  segment.last_index = std::max(segment.last_index, std::exchange(pending_last_, LogIndex()));
}

void LogWriter::open_segment_for(std::size_t frame_bytes_wanted) {
  while (segments_[at_segment_].size_bytes - at_bytes_ < frame_bytes_wanted) {
    const std::size_t head_bytes = frame_bytes(first_frame("log", identity_).size());
    if (at_segment_ + 1 == segments_.size())
      make_segment(std::max<std::uint64_t>(segment_bytes_, head_bytes + frame_bytes_wanted));
    file_ = folder_.open(segment_name(segments_[++at_segment_].id));
    at_bytes_ = head_bytes;
    segment_is_safe_ = false;
  }
}

// --- segments --------------------------------------------------------------------------------------------

bool LogWriter::wants_segment() const {
  return at_segment_ + 1 == segments_.size() && at_bytes_ > segments_[at_segment_].size_bytes / 2;
}

LogWriter::Spare LogWriter::prepare_segment(Folder& folder, const GroupIdentity& identity, std::uint64_t id,
                                            std::uint64_t size_bytes, const std::string& name) {
  const std::unique_ptr<File> file = folder.create(name);
  const std::string first = seal_frame(id, 0, 0, first_frame("log", identity));
  file->write(0, first);
  fill_with_zeros(*file, first.size(), size_bytes);
  return {id, size_bytes, name};
}

void LogWriter::make_segment(std::uint64_t size_bytes) {
  const std::uint64_t id = segments_.empty() ? 1 : next_segment_id();
  take_segment(prepare_segment(folder_, identity_, id, size_bytes, segment_name(id) + ".new"));
}

// It may come too late, when one had to be made at once.
void LogWriter::take_segment(const Spare& spare) {
  if (!segments_.empty() && spare.id != next_segment_id()) return folder_.remove(spare.name);
  folder_.rename(spare.name, segment_name(spare.id));
  folder_.sync();
  segments_.push_back({spare.id, spare.size_bytes, {}});
}

void LogWriter::drop_covered(LogIndex index) {
  if (!segment_is_safe_) return;  // else an unfinished first frame could not be told from damage
  std::size_t gone = 0;
  while (gone < at_segment_ && segments_[gone].last_index <= index) {
    folder_.remove(segment_name(segments_[gone].id));
    ++gone;
  }
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(gone));
  at_segment_ -= gone;
  if (gone > 0) folder_.sync();
}

std::uint64_t LogWriter::size_bytes() const {
  std::uint64_t bytes = 0;
  for (const Segment& segment : segments_) bytes += segment.size_bytes;
  return bytes;
}

}  // namespace dlm::server
