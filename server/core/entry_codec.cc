// A batch is a header (version, stamp, number of entries: fixed sizes, little-endian, so that they can be
// filled in at the end) and its entries. An entry is its kind, a mask of the fields that differ from "none",
// and those fields: numbers as LEB128 varints, session ids (random) as 8 bytes, strings behind their length.
#include "server/core/entry_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

namespace dlm::server {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kStampAt = 1;
constexpr std::size_t kCountAt = kStampAt + 8;
constexpr std::size_t kHeaderBytes = kCountAt + 4;
constexpr std::size_t kEntryBytesMin = 3;  // kind and mask

enum Field : std::uint16_t {
  kMode = 1 << 0,
  kLease = 1 << 1,
  kSession = 1 << 2,
  kSequence = 1 << 3,
  kAckedBelow = 1 << 4,
  kTarget = 1 << 5,
  kToken = 1 << 6,
  kWaitMs = 1 << 7,
  kLeaseMs = 1 << 8,
  kResource = 1 << 9,
  kOwnerTag = 1 << 10,
  kClientId = 1 << 11,
  kFieldsEnd = 1 << 12,
};

static_assert(std::endian::native == std::endian::little, "numbers are copied as they are");

template <class Int>
void put_fixed(char* at, Int value) {
  std::memcpy(at, &value, sizeof(Int));
}

template <class Int>
Int get_fixed(const char* at) {
  Int value;
  std::memcpy(&value, at, sizeof(Int));
  return value;
}

// The numbers of an entry, put together to be appended in one go.
class Numbers {
 public:
  template <class Int>
  void fixed(Int value) {
    put_fixed(end_, value);
    end_ += sizeof(Int);
  }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) *end_++ = static_cast<char>(value | 0x80);
    *end_++ = static_cast<char>(value);
  }
  std::string_view bytes() const { return {bytes_.data(), end_}; }

 private:
  static constexpr std::size_t kVarintMax = 10;
  // kind, mask, mode, lease and session; six varints
  std::array<char, 1 + 2 + 1 + 1 + 8 + 6 * kVarintMax> bytes_{};
  char* end_ = bytes_.data();
};

void add_text(std::string& bytes, std::string_view text) {
  Numbers size;
  size.varint(text.size());
  bytes.append(size.bytes());
  bytes.append(text);
}

// Takes fields off the front; after the first that is not there everything reads as nothing.
class Cursor {
 public:
  explicit Cursor(std::string_view rest) : at_(rest.data()), end_(rest.data() + rest.size()) {}

  bool ok() const { return ok_; }
  std::string_view rest() const { return {at_, end_}; }

  template <class Int>
  Int fixed() {
    if (!need(sizeof(Int))) return 0;
    const Int value = get_fixed<Int>(at_);
    at_ += sizeof(Int);
    return value;
  }

  std::uint64_t varint(std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) {
    std::uint64_t value = 0;
    const char* at = at_;
    for (unsigned shift = 0; ok_ && at != end_ && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at++);
      const bool overflows = shift == 63 && byte > 1;
      if (overflows) break;
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) {
        at_ = at;
        ok_ = value <= max;
        return ok_ ? value : 0;
      }
    }
    ok_ = false;
    return 0;
  }

  std::string_view text() {
    std::uint64_t size = varint();
    if (!need(size)) return {};
    const std::string_view value(at_, size);
    at_ += size;
    return value;
  }

 private:
  bool need(std::uint64_t size) {
    ok_ = ok_ && static_cast<std::uint64_t>(end_ - at_) >= size;
    return ok_;
  }

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

std::uint16_t fields_of(const Operation& op) {
  unsigned fields = 0;
  if (op.mode != LockMode::exclusive) fields |= kMode;
  if (op.lease != LeaseKind::session) fields |= kLease;
  if (op.session) fields |= kSession;
  if (op.sequence) fields |= kSequence;
  if (op.acked_below) fields |= kAckedBelow;
  if (op.target) fields |= kTarget;
  if (op.token) fields |= kToken;
  if (op.wait_ms != 0) fields |= kWaitMs;
  if (op.lease_ms != 0) fields |= kLeaseMs;
  if (!op.resource.empty()) fields |= kResource;
  if (!op.owner_tag.empty()) fields |= kOwnerTag;
  if (!op.client_id.empty()) fields |= kClientId;
  return static_cast<std::uint16_t>(fields);
}

}  // namespace

BatchWriter::BatchWriter() {
  reset();
}

void BatchWriter::reset() {
  bytes_.assign(kHeaderBytes, '\0');
  bytes_[0] = static_cast<char>(kVersion);
  count_ = 0;
}

void BatchWriter::add(const Operation& op) {
  const std::uint16_t fields = fields_of(op);
  Numbers numbers;
  numbers.fixed(static_cast<std::uint8_t>(op.kind));
  numbers.fixed(fields);
  if ((fields & kMode) != 0) numbers.fixed(static_cast<std::uint8_t>(op.mode));
  if ((fields & kLease) != 0) numbers.fixed(static_cast<std::uint8_t>(op.lease));
  if ((fields & kSession) != 0) numbers.fixed(op.session.value);
  if ((fields & kSequence) != 0) numbers.varint(op.sequence.value);
  if ((fields & kAckedBelow) != 0) numbers.varint(op.acked_below.value);
  if ((fields & kTarget) != 0) numbers.varint(op.target.value);
  if ((fields & kToken) != 0) numbers.varint(op.token.value);
  if ((fields & kWaitMs) != 0) numbers.varint(op.wait_ms);
  if ((fields & kLeaseMs) != 0) numbers.varint(op.lease_ms);
  bytes_.append(numbers.bytes());
  if ((fields & kResource) != 0) add_text(bytes_, op.resource);
  if ((fields & kOwnerTag) != 0) add_text(bytes_, op.owner_tag);
  if ((fields & kClientId) != 0) add_text(bytes_, op.client_id);
  ++count_;
}

void BatchWriter::stamp(std::uint64_t unix_ms) {
  put_fixed(bytes_.data() + kStampAt, unix_ms);
}

std::string BatchWriter::take() {
  put_fixed(bytes_.data() + kCountAt, static_cast<std::uint32_t>(count_));
  std::string batch = std::move(bytes_);
  // The next one will be like this one; but logged batches are kept, and are to have little room to spare.
  constexpr std::size_t kReservedMax = 4'096;
  bytes_.reserve(std::min(batch.size(), kReservedMax));
  reset();
  return batch;
}

BatchReader::BatchReader(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || static_cast<std::uint8_t>(bytes[0]) != kVersion) return;
  stamp_unix_ms_ = get_fixed<std::uint64_t>(bytes.data() + kStampAt);
  count_ = get_fixed<std::uint32_t>(bytes.data() + kCountAt);
  rest_ = bytes.substr(kHeaderBytes);
  // A count that the bytes can't hold is damage too, and must not lead a caller to reserve room for it.
  ok_ = count_ <= rest_.size() / kEntryBytesMin;
  if (!ok_) count_ = 0;
}

bool BatchReader::next(Operation& op) {
  if (!ok_) return false;
  if (read_ == count_) {
    ok_ = rest_.empty();
    return false;
  }
  op = Operation();
  Cursor cursor(rest_);
  op.kind = static_cast<OperationKind>(cursor.fixed<std::uint8_t>());
  const auto fields = cursor.fixed<std::uint16_t>();
  constexpr std::uint64_t kU32Max = std::numeric_limits<std::uint32_t>::max();
  if ((fields & kMode) != 0) op.mode = static_cast<LockMode>(cursor.fixed<std::uint8_t>());
  if ((fields & kLease) != 0) op.lease = static_cast<LeaseKind>(cursor.fixed<std::uint8_t>());
  if ((fields & kSession) != 0) op.session = SessionId(cursor.fixed<std::uint64_t>());
  if ((fields & kSequence) != 0) op.sequence = Sequence(cursor.varint());
  if ((fields & kAckedBelow) != 0) op.acked_below = Sequence(cursor.varint());
  if ((fields & kTarget) != 0) op.target = Sequence(cursor.varint());
  if ((fields & kToken) != 0) op.token = FencingToken(cursor.varint());
  if ((fields & kWaitMs) != 0) op.wait_ms = static_cast<std::uint32_t>(cursor.varint(kU32Max));
  if ((fields & kLeaseMs) != 0) op.lease_ms = static_cast<std::uint32_t>(cursor.varint(kU32Max));
  if ((fields & kResource) != 0) op.resource = cursor.text();
  if ((fields & kOwnerTag) != 0) op.owner_tag = cursor.text();
  if ((fields & kClientId) != 0) op.client_id = cursor.text();
  ok_ = cursor.ok() && fields < kFieldsEnd;
  if (!ok_) return false;
  rest_ = cursor.rest();
  ++read_;
  return true;
}

bool is_sound_batch(std::string_view bytes) {
  BatchReader reader(bytes);
  Operation op;
  while (reader.next(op)) {
  }
  return reader.ok();
}

}  // namespace dlm::server
