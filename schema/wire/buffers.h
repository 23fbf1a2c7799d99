// Byte buffers between sockets and Cap'n Proto messages: one that is filled by reads and emptied message by
// message, one that collects messages for a write. Neither clears memory that is about to be overwritten.
// Used on one thread.
#pragma once

#include <capnp/message.h>
#include <kj/array.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace dlm::wire {

inline constexpr std::size_t kWordBytes = sizeof(capnp::word);

// What was read and not yet taken. Its beginning is aligned to a word as long as whole words are consumed.
class InputBuffer {
 public:
  static constexpr std::size_t kReadBytesMin = 8u << 10;
  static constexpr std::size_t kReadBytesMax = 64u << 10;

  // `read_bytes_max`: no more is offered to a read, nor kept between messages.
  explicit InputBuffer(std::size_t read_bytes_max = kReadBytesMax) : read_bytes_max_(read_bytes_max) {}

  // Room for a read: kReadBytesMin at least, more when reads have filled what they were offered, and less
  // again when many have not. `message_bytes` is the size of the message at the beginning as far as it is
  // known, 0: unknown. The buffer at most doubles for each time that it was full, so that memory follows what
  // has arrived and not what was announced.
  kj::ArrayPtr<kj::byte> space(std::size_t message_bytes);
  // `count` bytes of the space were filled.
  void filled(std::size_t count);

  // Valid until the next space().
  kj::ArrayPtr<const capnp::word> words() const;  // whole ones
  const kj::byte* bytes() const { return base() + begin_bytes_; }
  std::size_t size_bytes() const { return end_bytes_ - begin_bytes_; }
  void consume(std::size_t bytes) { begin_bytes_ += bytes; }
  std::size_t capacity_bytes() const { return storage_.size() * kWordBytes; }

 private:
  const kj::byte* base() const { return reinterpret_cast<const kj::byte*>(storage_.begin()); }
  kj::byte* base() { return reinterpret_cast<kj::byte*>(storage_.begin()); }
  void reallocate(std::size_t capacity_bytes);

  kj::Array<capnp::word> storage_;
  std::size_t begin_bytes_ = 0;
  std::size_t end_bytes_ = 0;
  std::size_t read_bytes_max_;
  std::size_t read_bytes_ = kReadBytesMin;  // how much to offer
  unsigned small_reads_ = 0;                // in a row, that left most of it unused
  std::size_t offered_bytes_ = 0;
};

// Messages on their way out, as one run of bytes.
class OutputBuffer {
 public:
  // A Cap'n Proto message in its standard flat form.
  using Segments = kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>;
  void append_message(Segments segments);
  void append_bytes(std::string_view bytes);
  // A number, little-endian.
  void append_u32(std::uint32_t value);

  const kj::byte* data() const { return data_.get(); }
  std::size_t size_bytes() const { return size_bytes_; }
  // Forgets the bytes; keeps the memory unless it is much.
  void clear();

 private:
  kj::byte* grow(std::size_t bytes);

  std::unique_ptr<kj::byte[]> data_;
  std::size_t size_bytes_ = 0;
  std::size_t capacity_bytes_ = 0;
};

// Size of a message in its flat form.
std::size_t flat_size_bytes(OutputBuffer::Segments segments);

}  // namespace dlm::wire
