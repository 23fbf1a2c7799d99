#include "server/storage/snapshot_file.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>

#include "server/storage/damage.h"
#include "server/storage/frames.h"

namespace dlm::server {
namespace {

constexpr std::string_view kHead = "snapshot-";
constexpr std::uint64_t kFileSalt = 0x736e6170;  // no segment has this with a snapshot's index
constexpr std::uint64_t kSyncBytes = 4u << 20;   // so that the disk never has much to do at once
constexpr std::size_t kReadBytes = 4u << 20;

constexpr char kChunk = 'c';
constexpr char kLast = 'e';

std::uint64_t file_of(LogIndex index) {
  return index.value ^ (kFileSalt << 32);
}

std::string place_text(const LogPlace& place) {
  return "at " + std::to_string(place.index.value) + " epoch " + std::to_string(place.epoch.value);
}

// Reads frames one by one, through a window of the file.
class FrameFile {
 public:
  FrameFile(Folder& folder, LogIndex index)
      : path_(folder.describe(snapshot_name(index))),
        file_(folder.open(snapshot_name(index))),
        size_bytes_(file_->size_bytes()),
        seal_(file_of(index)) {}

  std::string next() {
    std::optional<Frame> frame = read_in(window_);
    // Behind the window, or larger than one.
    for (std::uint64_t bytes : {std::uint64_t{kReadBytes}, size_bytes_}) {
      if (frame) break;
      window_ = file_->read(at_bytes_, std::min(bytes, size_bytes_ - at_bytes_));
      window_at_ = at_bytes_;
      frame = read_in(window_);
    }
    if (!frame) damaged("not what was written");
    at_bytes_ += frame->size_bytes;
    ++number_;
    return std::move(frame->content);
  }
  bool at_end() const { return at_bytes_ == size_bytes_; }
  const std::string& path() const { return path_; }

  [[noreturn]] void damaged(const char* what) const {
    throw DamagedFolder(path_ + ": damaged at byte " + std::to_string(at_bytes_) + ": " + what +
                        ". Nothing was changed: " + kMoveDataAway);
  }

 private:
  std::optional<Frame> read_in(std::string_view window) const {
    return read_frame(seal_, window, at_bytes_ - window_at_, number_, window_at_);
  }

  std::string path_;
  std::unique_ptr<File> file_;
  std::uint64_t size_bytes_;
  std::uint64_t seal_;
  std::string window_;
  std::uint64_t window_at_ = 0;
  std::uint64_t at_bytes_ = 0;
  std::uint64_t number_ = 0;
};

}  // namespace

std::string snapshot_name(LogIndex index) {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "snapshot-%020" PRIu64, index.value);
  return name.data();
}

std::optional<LogIndex> snapshot_index(std::string_view name) {
  if (!name.starts_with(kHead)) return std::nullopt;
  std::uint64_t index = 0;
  for (char c : name.substr(kHead.size())) {
    if (c < '0' || c > '9' || index > UINT64_MAX / 16) return std::nullopt;
    index = index * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (snapshot_name(LogIndex(index)) != name) return std::nullopt;
  return LogIndex(index);
}

SnapshotFileWriter::SnapshotFileWriter(Folder& folder, const GroupIdentity& identity, const LogPlace& place)
    : folder_(folder), place_(place), file_(folder.create(snapshot_name(place.index) + ".new")) {
  write(first_frame("snapshot", identity));
  write(place_text(place));
}

void SnapshotFileWriter::write(std::string_view content) {
  const std::string frame = seal_frame(file_of(place_.index), at_bytes_, next_frame_++, content);
  file_->write(at_bytes_, frame);
  at_bytes_ += frame.size();
  unsafe_bytes_ += frame.size();
}

void SnapshotFileWriter::add(std::string_view chunk) {
  write(kChunk + std::string(chunk));
  if (unsafe_bytes_ < kSyncBytes) return;
  file_->sync();
  unsafe_bytes_ = 0;
}

void SnapshotFileWriter::finish() {
  write(std::string(1, kLast));
  file_->sync();
  folder_.rename(snapshot_name(place_.index) + ".new", snapshot_name(place_.index));
  folder_.sync();
  for (const std::string& name : folder_.list()) {
    const auto index = snapshot_index(name);
    if (index && *index < place_.index) folder_.remove(name);
  }
}

LogPlace read_snapshot_file(Folder& folder, const GroupIdentity& identity, LogIndex index,
                            const std::function<void(std::string_view chunk)>& take) {
  FrameFile file(folder, index);
  check_first_frame("snapshot", identity, file.next(), file.path());
  LogPlace place{index, {}};
  const std::string text = file.next();
  const std::string head = "at " + std::to_string(index.value) + " epoch ";
  if (!text.starts_with(head)) file.damaged("another state than its name says");
  place.epoch = Epoch(std::strtoull(text.c_str() + head.size(), nullptr, 10));
  while (true) {
    const std::string content = file.next();
    if (content.size() == 1 && content.front() == kLast) break;
    if (content.empty() || content.front() != kChunk) file.damaged("a part of an unknown kind");
    take(std::string_view(content).substr(1));
  }
  if (!file.at_end()) file.damaged("more than was written");
  return place;
}

}  // namespace dlm::server
