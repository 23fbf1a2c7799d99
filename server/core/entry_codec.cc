// A batch is a header (version, stamp, number of entries: fixed sizes, little-endian, so that they can be
// filled in at the end) and its entries. An entry is its kind, a mask of the fields that differ from "none",
// and those fields: numbers as LEB128 varints, session ids (random) as 8 bytes, strings behind their length.
#include "server/core/entry_codec.h"

#include <algorithm>
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

void put_fixed(std::string& bytes, std::size_t at, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}

std::uint64_t get_fixed(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return value;
}

void add_varint(std::string& bytes, std::uint64_t value) {
  char encoded[10];
  std::size_t size = 0;
  for (; value >= 0x80; value >>= 7) encoded[size++] = static_cast<char>(value | 0x80);
  encoded[size++] = static_cast<char>(value);
  bytes.append(encoded, size);
}

void add_text(std::string& bytes, std::string_view text) {
  add_varint(bytes, text.size());
  bytes.append(text);
}

// Takes fields off the front; after the first that is not there everything reads as nothing.
class Cursor {
 public:
  explicit Cursor(std::string_view rest) : rest_(rest) {}

  bool ok() const { return ok_; }
  std::string_view rest() const { return rest_; }

  std::uint64_t fixed(std::size_t size) {
    if (!need(size)) return 0;
    std::uint64_t value = get_fixed(rest_, 0, size);
    rest_.remove_prefix(size);
    return value;
  }

  std::uint64_t varint(std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      std::uint64_t byte = fixed(1);
      if (!ok_) return 0;
      bool overflows = shift == 63 && byte > 1;
      if (overflows) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
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
    std::string_view value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return value;
  }

 private:
  bool need(std::uint64_t size) {
    ok_ = ok_ && rest_.size() >= size;
    return ok_;
  }

  std::string_view rest_;
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
  const std::size_t at = bytes_.size();
  bytes_.resize(at + kEntryBytesMin);
  bytes_[at] = static_cast<char>(op.kind);
  put_fixed(bytes_, at + 1, fields, 2);
  if ((fields & kMode) != 0) bytes_.push_back(static_cast<char>(op.mode));
  if ((fields & kLease) != 0) bytes_.push_back(static_cast<char>(op.lease));
  if ((fields & kSession) != 0) {
    bytes_.resize(bytes_.size() + 8);
    put_fixed(bytes_, bytes_.size() - 8, op.session.value, 8);
  }
  if ((fields & kSequence) != 0) add_varint(bytes_, op.sequence.value);
  if ((fields & kAckedBelow) != 0) add_varint(bytes_, op.acked_below.value);
  if ((fields & kTarget) != 0) add_varint(bytes_, op.target.value);
  if ((fields & kToken) != 0) add_varint(bytes_, op.token.value);
  if ((fields & kWaitMs) != 0) add_varint(bytes_, op.wait_ms);
  if ((fields & kLeaseMs) != 0) add_varint(bytes_, op.lease_ms);
  if ((fields & kResource) != 0) add_text(bytes_, op.resource);
  if ((fields & kOwnerTag) != 0) add_text(bytes_, op.owner_tag);
  if ((fields & kClientId) != 0) add_text(bytes_, op.client_id);
  ++count_;
}

void BatchWriter::stamp(std::uint64_t unix_ms) {
  put_fixed(bytes_, kStampAt, unix_ms, 8);
}

std::string BatchWriter::take() {
  put_fixed(bytes_, kCountAt, count_, 4);
  std::string batch = std::move(bytes_);
  reset();
  return batch;
}

BatchReader::BatchReader(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || static_cast<std::uint8_t>(bytes[0]) != kVersion) return;
  stamp_unix_ms_ = get_fixed(bytes, kStampAt, 8);
  count_ = get_fixed(bytes, kCountAt, 4);
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
  op.kind = static_cast<OperationKind>(cursor.fixed(1));
  const auto fields = static_cast<std::uint16_t>(cursor.fixed(2));
  constexpr std::uint64_t kU32Max = std::numeric_limits<std::uint32_t>::max();
  if ((fields & kMode) != 0) op.mode = static_cast<LockMode>(cursor.fixed(1));
  if ((fields & kLease) != 0) op.lease = static_cast<LeaseKind>(cursor.fixed(1));
  if ((fields & kSession) != 0) op.session = SessionId(cursor.fixed(8));
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
