#include <cstring>

#include "schema/wire/buffers.h"
#include "schema/wire/frame.h"

namespace dlm::wire {
namespace {

// Of one of thousands of connections.
constexpr std::size_t kReadBytesMax = 32u << 10;

std::uint32_t load_u32(const kj::byte* from) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= static_cast<std::uint32_t>(from[i]) << (8 * i);
  return value;
}

}  // namespace

struct FrameDecoder::Impl {
  explicit Impl(std::size_t bytes_max) : frame_bytes_max(bytes_max), buffer(kReadBytesMax) {}

  // Judges what is there of the header at the beginning of the buffer; false: `error` says why not.
  bool check_header() {
    std::size_t there = std::min(buffer.size_bytes(), kFrameMagic.size());
    if (there > 0 && std::memcmp(buffer.bytes(), kFrameMagic.data(), there) != 0) {
      error = "not a DLM client (bad magic)";
      return false;
    }
    if (buffer.size_bytes() < kFrameHeaderBytes) return true;
    std::size_t bytes = load_u32(buffer.bytes() + kFrameMagic.size());
    if (bytes > frame_bytes_max) {
      error = "frame of " + std::to_string(bytes) + " bytes is over the limit of " +
              std::to_string(frame_bytes_max);
    } else if (bytes == 0 || bytes % kWordBytes != 0) {
      error = "frame of " + std::to_string(bytes) + " bytes is not a whole number of words";
    }
    payload_bytes = bytes;
    return error.empty();
  }

  std::size_t frame_bytes_max;
  InputBuffer buffer;
  std::size_t payload_bytes = 0;  // of the frame at the beginning; 0: its header is not there yet
  std::string error;
};

FrameDecoder::FrameDecoder(std::size_t frame_bytes_max) : impl_(std::make_unique<Impl>(frame_bytes_max)) {}
FrameDecoder::~FrameDecoder() = default;

kj::ArrayPtr<kj::byte> FrameDecoder::space() {
  return impl_->buffer.space(impl_->payload_bytes == 0 ? 0 : kFrameHeaderBytes + impl_->payload_bytes);
}

bool FrameDecoder::filled(std::size_t count, std::vector<Words>& payloads) {
  InputBuffer& buffer = impl_->buffer;
  buffer.filled(count);
  if (!impl_->error.empty()) return false;
  for (;;) {
    if (impl_->payload_bytes == 0 && !impl_->check_header()) return false;
    std::size_t payload_bytes = impl_->payload_bytes;
    if (payload_bytes == 0 || buffer.size_bytes() < kFrameHeaderBytes + payload_bytes) return true;
    buffer.consume(kFrameHeaderBytes);
    payloads.push_back(buffer.words().slice(0, payload_bytes / kWordBytes));
    buffer.consume(payload_bytes);
    impl_->payload_bytes = 0;
  }
}

std::size_t FrameDecoder::capacity_bytes() const {
  return impl_->buffer.capacity_bytes();
}

bool FrameDecoder::is_mid_frame() const {
  return impl_->buffer.size_bytes() > 0;
}

const std::string& FrameDecoder::error() const {
  return impl_->error;
}

}  // namespace dlm::wire
