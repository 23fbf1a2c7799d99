// Reads snapshots.
#include <algorithm>
#include <utility>

#include "schema/limits.h"
#include "server/core/lock_table_arcs.h"
#include "server/core/lock_table_codec.h"
#include "server/core/lock_table_moved.h"
#include "server/core/lock_table_snapshot.h"
#include "server/core/lock_table_snapshot_format.h"

namespace dlm::server {
namespace {

using namespace snapshot;

// Every claim of the bytes is checked against what has been read: indexes, references, uniqueness, order.
// Memory grows with the bytes that came, never with a number that is in them.
class Reader final : public LockTable::SnapshotReader {
 public:
  Reader(std::unique_ptr<LockTable> table, LockState& state) : table_(std::move(table)), state_(state) {}

  bool feed(std::span<const char> chunk) override {
    if (failed_) return false;
    buffer_.append(chunk.data(), chunk.size());
    std::size_t at = 0;
    while (!failed_ && buffer_.size() - at >= kLengthBytes) {
      std::size_t length = read_length(buffer_.data() + at);
      if (length == 0 || ended_) failed_ = true;
      if (failed_ || buffer_.size() - at - kLengthBytes < length) break;
      std::string_view whole = std::string_view(buffer_).substr(at, kLengthBytes + length);
      failed_ = !read_record(whole.substr(kLengthBytes));
      checksum_ = hash_of_bytes(whole, checksum_);
      at += whole.size();
    }
    buffer_.erase(0, at);
    if (ended_ && !buffer_.empty()) failed_ = true;
    return !failed_;
  }

  std::unique_ptr<LockTable> finish() override {
    if (failed_ || !ended_ || table_ == nullptr) return nullptr;
    return std::move(table_);
  }

 private:
  enum class Stage { head, owners, rest_read, locks };

  bool read_record(std::string_view record) {
    Decoder from(record.substr(1));
    bool good = false;
    switch (static_cast<Record>(record.front())) {
      case Record::head:
        good = stage_ == Stage::head && read_head(from);
        break;
      case Record::owner:
        good = stage_ == Stage::owners && read_owner(from);
        break;
      case Record::session:
        good = stage_ == Stage::owners && read_session(from);
        break;
      case Record::rest:
        good = stage_ == Stage::owners && read_rest(from);
        break;
      case Record::tombstones:
        good = stage_ == Stage::rest_read && read_tombstones(from);
        break;
      case Record::free_locks:
        good = stage_ == Stage::rest_read && read_free_locks(from);
        break;
      case Record::lock:
        good = begin_locks() && read_lock(from);
        break;
      case Record::end:
        good = begin_locks() && read_end(from);
        break;
    }
    return good && from.ok() && from.at_end();
  }

  bool read_head(Decoder& from) {
    stage_ = Stage::owners;
    return from.bytes(kMagic.size()) == kMagic && from.number() == kFormat;
  }

  bool read_owner(Decoder& from) {
    std::uint32_t index = from.number32();
    std::string_view client = from.bytes(kClientIdBytesMax);
    std::string_view tag = from.bytes(kOwnerTagBytesMax);
    if (!from.ok() || owners_.contains(index) || state_.find_owner(client, tag) != kNil) return false;
    owners_[index] = state_.intern_owner(client, tag);
    return true;
  }

  // The owner of that index in the snapshot, without a reference; kNil: none.
  std::uint32_t owner(Decoder& from) const {
    auto it = owners_.find(from.number32());
    return it == owners_.end() ? kNil : it->second;
  }

  bool read_session(Decoder& from) {
    SessionId id(from.number());
    Sequence acked_below(from.number());
    std::uint64_t since_unix_ms = from.number();
    std::uint32_t ttl_ms = from.number32();
    std::uint32_t client = owner(from);
    const bool adopted = from.number_up_to(1) == 1;
    const std::uint64_t which = from.number_up_to(kIsLiveOne | kBaseIsOthers);
    const bool is_live_one = (which & kIsLiveOne) != 0;
    const bool goes_by_base = (which & kBaseIsOthers) == 0;
    const auto ending = static_cast<Ending>(from.number_up_to(static_cast<std::uint64_t>(Ending::expired)));
    const std::uint32_t swept = from.number32();
    const bool is_ending = ending != Ending::none;
    if (!from.ok() || !id || client == kNil || !state_.tag_of(client).empty()) return false;
    if (state_.find_session(id) != kNil || (is_live_one && state_.live_session_of(client) != kNil) ||
        (goes_by_base && state_.find_generation(id) != kNil))
      return false;
    if (is_ending && (is_live_one || goes_by_base)) return false;  // it has made room for the next
    state_.ref_owner(client);
    std::uint32_t index =
        state_.restore_session(id, client, ttl_ms, since_unix_ms, {adopted, is_live_one, goes_by_base});
    state_.restore_ending(index, ending, swept);
    Session& session = state_.session(index);
    for (std::uint64_t left = from.number(); left != 0 && from.ok(); --left)
      state_.add_moved_to(index, GroupId(from.number32()));
    session.acked_below = acked_below;
    Sequence last;
    for (std::uint64_t left = from.number(); left != 0 && from.ok(); --left) {
      StoredAnswer answer;
      if (!read_answer(from, answer)) return false;
      state_.remember(session, answer);
      if (answer.sequence < acked_below || answer.sequence <= last) return false;
      last = answer.sequence;
    }
    for (std::uint64_t left = from.number_up_to(EndedWaits::kMax); left != 0 && from.ok(); --left) {
      StoredAnswer answer;
      if (!read_answer(from, answer)) return false;
      state_.remember_ended_wait(session, answer);
    }
    return true;
  }

  // With a reference to its holder.
  bool read_answer(Decoder& from, StoredAnswer& answer) {
    answer.sequence = Sequence(from.number());
    answer.status = static_cast<Status>(from.number_up_to(static_cast<std::uint64_t>(kStatusLast)));
    answer.cause = static_cast<EndCause>(from.number_up_to(static_cast<std::uint64_t>(EndCause::expired)));
    answer.reason = static_cast<Reason>(from.number_up_to(static_cast<std::uint64_t>(Reason::last)));
    answer.ttl_ms = from.number32();
    answer.place = from.number32();
    answer.has_holder = from.number_up_to(1) == 1;
    answer.number = from.number();
    answer.count = answer.has_holder ? owner(from) : from.number32();
    if (!from.ok() || !answer.sequence || (answer.has_holder && answer.count == kNil)) return false;
    if (answer.has_holder) state_.ref_owner(answer.count);
    return true;
  }

  bool read_rest(Decoder& from) {
    stage_ = Stage::rest_read;
    if (!decode_limits(from.bytes(SIZE_MAX), state_.limits)) return false;
    state_.last_token = FencingToken(from.number());
    if (!decode_arcs(from.bytes(SIZE_MAX), state_.arcs)) return false;
    for (std::uint64_t left = from.number_up_to(LockState::kExpiredMax); left != 0 && from.ok(); --left) {
      ExpiredToken expired{FencingToken(from.number()), 0};
      expired.place = from.number32();
      if (state_.is_expired(expired)) return false;
      state_.add_expired(expired);
    }
    state_.last_move = from.number();
    return read_outgoing(from) && read_missing(from) && read_received(from);
  }

  bool read_outgoing(Decoder& from) {
    for (std::uint64_t left = from.number(); left != 0 && from.ok(); --left) {
      OutgoingArc outgoing;
      outgoing.number = from.number();
      outgoing.to = GroupId(from.number32());
      outgoing.state = std::make_shared<const std::string>(from.bytes(SIZE_MAX));
      MovedArc moved;
      if (!from.ok() || outgoing.number > state_.last_move || !decode_moved(*outgoing.state, moved))
        return false;
      outgoing.arc = moved.arc;
      outgoing.locks = moved.locks.size();
      if (!state_.outgoing.emplace(outgoing.number, outgoing).second) return false;
    }
    return from.ok();
  }

  bool read_missing(Decoder& from) {
    for (std::uint64_t left = from.number(); left != 0 && from.ok(); --left) {
      const GroupId group(from.number32());
      if (!decode_arcs(from.bytes(SIZE_MAX), state_.missing[group])) return false;
    }
    return from.ok();
  }

  bool read_received(Decoder& from) {
    for (std::uint64_t left = from.number(); left != 0 && from.ok(); --left) {
      ReceivedArcs& received = state_.received[GroupId(from.number32())];
      received.below = from.number();
      for (std::uint64_t count = from.number(); count != 0 && from.ok(); --count)
        received.numbers.insert(from.number());
    }
    return from.ok();
  }

  bool read_tombstones(Decoder& from) {
    while (from.ok() && !from.at_end()) {
      SessionId id(from.number());
      auto kind = static_cast<LockState::Tombstone>(from.number_up_to(2));
      if (kind == LockState::Tombstone::none || state_.find_session(id) != kNil ||
          state_.tombstone(id) != LockState::Tombstone::none)
        return false;
      state_.add_tombstone(id, kind);
    }
    return true;
  }

  bool read_free_locks(Decoder& from) {
    while (from.ok() && !from.at_end()) free_.push_back(from.number32());
    return true;
  }

  bool begin_locks() {
    if (stage_ == Stage::locks) return true;
    if (stage_ != Stage::rest_read) return false;
    stage_ = Stage::locks;
    free_sorted_ = free_;
    std::sort(free_sorted_.begin(), free_sorted_.end());
    return std::adjacent_find(free_sorted_.begin(), free_sorted_.end()) == free_sorted_.end();
  }

  // The indexes between live locks are free ones: so a lock needs none in its record.
  void skip_free_locks() {
    while (free_passed_ < free_sorted_.size() && free_sorted_[free_passed_] == state_.locks().size()) {
      state_.restore_free_lock();
      ++free_passed_;
    }
  }

  bool read_lock(Decoder& from) {
    skip_free_locks();
    NameKey key(from.bytes(kResourceBytesMax));
    auto mode = static_cast<LockMode>(from.number_up_to(1));
    if (!from.ok() || state_.find_lock(key) != kNil) return false;
    std::uint32_t lock = state_.restore_lock(key, mode);
    ++locks_read_;
    while (true) {
      FencingToken token(from.number());
      if (!from.ok()) return false;
      if (!token) break;
      if (!read_hold(from, lock, token)) return false;
    }
    if (state_.lock(lock).first_hold == kNil) return false;
    for (std::uint64_t left = from.number32(); left != 0 && from.ok(); --left)
      if (!read_wait(from, lock)) return false;
    return true;
  }

  bool read_hold(Decoder& from, std::uint32_t lock, FencingToken token) {
    Hold hold;
    hold.token = token;
    hold.sequence = Sequence(from.number());
    hold.since_unix_ms = from.number();
    SessionId session(from.number());
    hold.owner = owner(from);
    hold.count = from.number32();
    hold.lease_ms = from.number32();
    hold.lease = static_cast<LeaseKind>(from.number_up_to(2));
    hold.waited = from.number_up_to(1) == 1;
    const FencingToken replaced(from.number());
    if (!from.ok() || hold.owner == kNil || hold.count == 0 || token > state_.last_token) return false;
    if (session) hold.session = state_.find_session(session);
    if ((session || hold.lease != LeaseKind::detached) && hold.session == kNil) return false;
    if ((hold.lease == LeaseKind::session) != (hold.lease_ms == 0)) return false;
    bool shared = state_.lock(lock).mode == LockMode::shared;
    if (!shared && state_.lock(lock).first_hold != kNil) return false;
    if (state_.find_hold(lock, hold.owner) != kNil || state_.find_leased_hold(lock, token) != kNil)
      return false;
    if (hold.waited && (hold.session == kNil || state_.find_waited_hold(hold.session, hold.sequence) != kNil))
      return false;
    if (replaced && (shared || hold.waited || replaced >= token)) return false;
    hold.lock = lock;
    state_.ref_owner(hold.owner);
    const std::uint32_t index = state_.add_hold(hold);
    if (replaced) state_.restore_replaced_token(index, replaced);
    return true;
  }

  bool read_wait(Decoder& from, std::uint32_t lock) {
    Wait wait;
    wait.sequence = Sequence(from.number());
    wait.since_unix_ms = from.number();
    wait.session = state_.find_session(SessionId(from.number()));
    wait.owner = owner(from);
    wait.wait_ms = from.number32();
    wait.lease_ms = from.number32();
    std::uint32_t ticket = from.number32();
    wait.mode = static_cast<LockMode>(from.number_up_to(1));
    wait.lease = static_cast<LeaseKind>(from.number_up_to(2));
    if (!from.ok() || wait.session == kNil || wait.owner == kNil || wait.wait_ms == 0) return false;
    if ((wait.lease == LeaseKind::session) != (wait.lease_ms == 0)) return false;
    if (state_.find_wait(wait.session, wait.sequence) != kNil) return false;
    wait.lock = lock;
    state_.ref_owner(wait.owner);
    state_.restore_ticket(state_.add_wait(wait), ticket);
    return true;
  }

  bool read_end(Decoder& from) {
    skip_free_locks();
    bool whole = from.number() == locks_read_ && from.number() == checksum_ && free_passed_ == free_.size();
    if (!whole) return false;
    state_.restore_free_locks(std::move(free_));
    for (const auto& [index, mine] : owners_) state_.unref_owner(mine);
    owners_.clear();
    ended_ = true;
    return true;
  }

  std::unique_ptr<LockTable> table_;
  LockState& state_;  // of table_
  std::string buffer_;
  boost::unordered_flat_map<std::uint32_t, std::uint32_t>
      owners_;  // index in the snapshot → here; each with a reference
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> free_sorted_;
  std::size_t free_passed_ = 0;
  std::uint64_t locks_read_ = 0;
  std::uint64_t checksum_ = 0;
  Stage stage_ = Stage::head;
  bool ended_ = false;
  bool failed_ = false;
};

}  // namespace

std::unique_ptr<LockTable::SnapshotReader> read_snapshot(std::unique_ptr<LockTable> empty, LockState& state) {
  return std::make_unique<Reader>(std::move(empty), state);
}

}  // namespace dlm::server
