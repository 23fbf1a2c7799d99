// Writes snapshots. What is about to change is encoded first and waits for its turn, so the stream shows the
// table of the moment of snapshot().
#include <algorithm>
#include <utility>

#include "server/core/lock_table_codec.h"
#include "server/core/lock_table_snapshot.h"
#include "server/core/lock_table_snapshot_format.h"

namespace dlm::server {
namespace {

using namespace snapshot;

// The nodes of one kind, by index: which are handed out, and images of those that changed before their turn.
class Section {
 public:
  explicit Section(std::uint32_t end) : end_(end), saved_(end) {}

  bool done() const { return cursor_ == end_; }
  std::uint32_t take() { return cursor_++; }
  // Whether a node that is about to change was not handed out and has not changed before.
  bool needs_image(std::uint32_t index) {
    if (index < cursor_ || index >= end_ || saved_[index]) return false;
    saved_[index] = true;
    return true;
  }
  // It changed; its image is in images, or it was free at the beginning.
  bool changed(std::uint32_t index) const { return saved_[index]; }

  boost::unordered_flat_map<std::uint32_t, std::string> images;

 private:
  std::uint32_t end_;
  std::uint32_t cursor_ = 0;
  std::vector<bool> saved_;
};

class Writer final : public LockTable::SnapshotWriter, public StateWatcher {
 public:
  explicit Writer(LockState& state)
      : state_(state),
        owners_(state.owners().size()),
        sessions_(state.sessions().size()),
        locks_(state.locks().size()),
        locks_left_(state.locks().live()),
        free_locks_(state.locks().free_list()),
        tombstones_(state.tombstones().begin(), state.tombstones().end()) {
    Encoder head(scratch_);
    head.bytes(kMagic);
    head.number(kFormat);
    flush(Record::head);
    encode_rest(state_, rest_);
    state_.watch(this);
  }
  ~Writer() override { state_.unwatch(this); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  bool next(std::size_t chunk_bytes, std::string& out) override {
    constexpr std::uint32_t kStepsPerCallMax = 100'000;
    chunk_bytes = std::max<std::size_t>(chunk_bytes, 1);
    for (std::uint32_t i = 0; i < kStepsPerCallMax && ready() < chunk_bytes && !ended_; ++i) step();
    std::size_t taken = std::min(chunk_bytes, ready());
    out.append(buffer_, begin_, taken);
    begin_ += taken;
    if (begin_ == buffer_.size()) {
      buffer_.clear();
      begin_ = 0;
    }
    return !(ended_ && ready() == 0);
  }

  void before_owner(std::uint32_t owner) override {
    if (!owners_.needs_image(owner) || !state_.owner_live(owner)) return;
    encode_owner(state_, owner, owners_.images[owner]);
  }
  void before_session(std::uint32_t session) override {
    if (!sessions_.needs_image(session) || !state_.session_live(session)) return;
    encode_session(state_, session, OwnerForm::index, sessions_.images[session]);
  }
  // In what was there at the beginning, the session of that index is still that one: when it ends, its locks
  // change first.
  void before_rename(std::uint32_t session) override {
    renamed_.try_emplace(session, state_.session(session).id);
  }
  void before_lock(std::uint32_t lock) override {
    if (!locks_.needs_image(lock) || !state_.lock_live(lock)) return;
    encode_lock(state_, lock, OwnerForm::index, renamed_, locks_.images[lock]);
  }

 private:
  static constexpr std::size_t kNumbersPerRecord = 4'096;

  std::size_t ready() const { return buffer_.size() - begin_; }

  void write_record(Record kind, std::string_view body) {
    std::size_t from = buffer_.size();
    append_length(body.size() + 1, buffer_);
    buffer_.push_back(static_cast<char>(kind));
    buffer_.append(body);
    checksum_ = hash_of_bytes(std::string_view(buffer_).substr(from), checksum_);
  }

  void flush(Record kind) {
    write_record(kind, scratch_);
    scratch_.clear();
  }

  // One record, or the passing over of a free place.
  void step() {
    if (!owners_.done()) return write_owner(owners_.take());
    if (!sessions_.done()) return write_session(sessions_.take());
    if (!rest_.empty()) {
      write_record(Record::rest, rest_);
      rest_.clear();
    } else if (tombstones_written_ < tombstones_.size()) {
      write_tombstones();
    } else if (free_locks_written_ < free_locks_.size()) {
      write_free_locks();
    } else if (!locks_.done()) {
      write_lock(locks_.take());
    } else {
      write_end();
    }
  }

  // False: it has not changed, and what is there is to be written.
  bool write_image(Section& section, std::uint32_t index, Record kind) {
    if (!section.changed(index)) return false;
    auto image = section.images.find(index);
    if (image == section.images.end()) return true;
    write_record(kind, image->second);
    section.images.erase(image);
    return true;
  }

  void write_owner(std::uint32_t owner) {
    if (write_image(owners_, owner, Record::owner) || !state_.owner_live(owner)) return;
    encode_owner(state_, owner, scratch_);
    flush(Record::owner);
  }

  void write_session(std::uint32_t session) {
    if (write_image(sessions_, session, Record::session) || !state_.session_live(session)) return;
    encode_session(state_, session, OwnerForm::index, scratch_);
    flush(Record::session);
  }

  void write_lock(std::uint32_t lock) {
    if (write_image(locks_, lock, Record::lock) || !state_.lock_live(lock)) return;
    encode_lock(state_, lock, OwnerForm::index, renamed_, scratch_);
    flush(Record::lock);
  }

  void write_tombstones() {
    const std::size_t end = std::min(tombstones_.size(), tombstones_written_ + kNumbersPerRecord);
    Encoder to(scratch_);
    for (; tombstones_written_ < end; ++tombstones_written_) {
      to.number(tombstones_[tombstones_written_].first);
      to.number(static_cast<std::uint64_t>(tombstones_[tombstones_written_].second));
    }
    flush(Record::tombstones);
  }

  void write_free_locks() {
    const std::size_t end = std::min(free_locks_.size(), free_locks_written_ + kNumbersPerRecord);
    Encoder to(scratch_);
    for (; free_locks_written_ < end; ++free_locks_written_) to.number(free_locks_[free_locks_written_]);
    flush(Record::free_locks);
  }

  void write_end() {
    Encoder(scratch_).number(locks_left_);
    Encoder(scratch_).number(checksum_);
    flush(Record::end);
    ended_ = true;
  }

  LockState& state_;
  Section owners_;
  Section sessions_;
  Section locks_;
  SessionIds renamed_;  // since the beginning: what they were called then
  const std::uint32_t locks_left_;
  const std::vector<std::uint32_t> free_locks_;
  const std::vector<std::pair<std::uint64_t, LockState::Tombstone>> tombstones_;
  std::size_t free_locks_written_ = 0;
  std::size_t tombstones_written_ = 0;
  std::string rest_;    // encoded when the snapshot began; empty: written
  std::string buffer_;  // written and, from begin_ on, not handed out
  std::size_t begin_ = 0;
  std::string scratch_;
  std::uint64_t checksum_ = 0;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<LockTable::SnapshotWriter> write_snapshot(LockState& state) {
  return std::make_unique<Writer>(state);
}

}  // namespace dlm::server
