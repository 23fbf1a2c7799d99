#include "schema/wire/buffers.h"

#include <capnp/serialize.h>

#include <algorithm>
#include <cstring>

namespace dlm::wire {
namespace {

// What is kept of an output buffer between writes.
constexpr std::size_t kIdleBytesMax = 8u << 10;
constexpr std::size_t kOutputBytesMin = 1u << 10;
constexpr unsigned kSmallReads = 64;  // then less is offered

std::size_t whole_words(std::size_t bytes) {
  return (bytes + kWordBytes - 1) / kWordBytes * kWordBytes;
}

void store_u32(kj::byte* to, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<kj::byte>(value >> (8 * i));
}

}  // namespace

kj::ArrayPtr<kj::byte> InputBuffer::space(std::size_t message_bytes) {
  std::size_t held = size_bytes();
  if (held == 0) {
    begin_bytes_ = end_bytes_ = 0;
    if (capacity_bytes() < read_bytes_ || capacity_bytes() > 2 * read_bytes_) storage_ = nullptr;
    if (capacity_bytes() > read_bytes_max_) storage_ = nullptr;
    if (storage_ == nullptr) reallocate(read_bytes_);
  } else if (begin_bytes_ > 0) {
    std::memmove(base(), bytes(), held);
    begin_bytes_ = 0;
    end_bytes_ = held;
  }
  if (capacity_bytes() - end_bytes_ < kReadBytesMin) {
    std::size_t needed = std::max(message_bytes, held) + kReadBytesMin;
    std::size_t doubled = std::max(2 * capacity_bytes(), held + kReadBytesMin);
    reallocate(whole_words(std::min(needed, doubled)));
  }
  offered_bytes_ = capacity_bytes() - end_bytes_;
  return kj::arrayPtr(base() + end_bytes_, offered_bytes_);
}

void InputBuffer::filled(std::size_t count) {
  end_bytes_ += count;
  if (count == offered_bytes_) read_bytes_ = std::min(2 * read_bytes_, read_bytes_max_);
  small_reads_ = count < offered_bytes_ / 8 ? small_reads_ + 1 : 0;
  if (small_reads_ < kSmallReads) return;
  small_reads_ = 0;
  read_bytes_ = std::max(read_bytes_ / 2, kReadBytesMin);
}

kj::ArrayPtr<const capnp::word> InputBuffer::words() const {
  return kj::arrayPtr(storage_.begin() + begin_bytes_ / kWordBytes, size_bytes() / kWordBytes);
}

void InputBuffer::reallocate(std::size_t capacity_bytes) {
  auto larger = kj::heapArray<capnp::word>(capacity_bytes / kWordBytes);
  std::size_t held = size_bytes();
  if (held > 0) std::memcpy(larger.begin(), bytes(), held);
  storage_ = kj::mv(larger);
  begin_bytes_ = 0;
  end_bytes_ = held;
}

void OutputBuffer::append_message(Segments segments) {
  kj::byte* to = grow(flat_size_bytes(segments));
  store_u32(to, static_cast<std::uint32_t>(segments.size() - 1));
  std::size_t table_bytes = 4;
  for (auto segment : segments) {
    store_u32(to + table_bytes, static_cast<std::uint32_t>(segment.size()));
    table_bytes += 4;
  }
  if (table_bytes % kWordBytes != 0) {
    store_u32(to + table_bytes, 0);
    table_bytes += 4;
  }
  to += table_bytes;
  for (auto segment : segments) {
    std::memcpy(to, segment.begin(), segment.size() * kWordBytes);
    to += segment.size() * kWordBytes;
  }
}

void OutputBuffer::append_bytes(std::string_view bytes) {
  std::memcpy(grow(bytes.size()), bytes.data(), bytes.size());
}

void OutputBuffer::append_u32(std::uint32_t value) {
  store_u32(grow(4), value);
}

void OutputBuffer::clear() {
  size_bytes_ = 0;
  if (capacity_bytes_ > kIdleBytesMax) {
    data_.reset();
    capacity_bytes_ = 0;
  }
}

kj::byte* OutputBuffer::grow(std::size_t bytes) {
  if (capacity_bytes_ - size_bytes_ < bytes) {
    std::size_t capacity = std::max({kOutputBytesMin, 2 * capacity_bytes_, size_bytes_ + bytes});
    auto larger = std::make_unique_for_overwrite<kj::byte[]>(capacity);
    if (size_bytes_ > 0) std::memcpy(larger.get(), data_.get(), size_bytes_);
    data_ = std::move(larger);
    capacity_bytes_ = capacity;
  }
  kj::byte* end = data_.get() + size_bytes_;
  size_bytes_ += bytes;
  return end;
}

std::size_t flat_size_bytes(OutputBuffer::Segments segments) {
  return capnp::computeSerializedSizeInWords(segments) * kWordBytes;
}

}  // namespace dlm::wire
