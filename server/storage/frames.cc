#include "server/storage/frames.h"

#include <algorithm>
#include <bit>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace dlm::server {
namespace {

static_assert(std::endian::native == std::endian::little, "files are read where they were written");

constexpr std::size_t kHashBytes = 8;
constexpr std::size_t kContentBytes = kSectorBytes - kHashBytes;
constexpr std::uint64_t kMagic = 0x314d415246'4d4c44;  // "DLMFRAM1"

struct FrameHead {
  std::uint64_t magic = kMagic;
  std::uint64_t number = 0;
  std::uint64_t content_bytes = 0;
};

std::uint64_t hash_of(std::uint64_t file, std::uint64_t offset, std::uint64_t number, const char* content) {
  const std::uint64_t place[] = {file, offset, number};
  const std::uint64_t hash = XXH3_64bits_withSeed(content, kContentBytes, XXH3_64bits(place, sizeof(place)));
  return hash == 0 ? 1 : hash;  // a sector that is sealed is not zero
}

bool is_sealed(std::uint64_t file, std::string_view bytes, std::uint64_t offset, std::uint64_t number,
               std::uint64_t begin) {
  std::uint64_t hash = 0;
  std::memcpy(&hash, bytes.data() + offset + kContentBytes, kHashBytes);
  return hash == hash_of(file, begin + offset, number, bytes.data() + offset);
}

}  // namespace

std::size_t frame_bytes(std::size_t content_bytes) {
  const std::size_t sectors = (sizeof(FrameHead) + content_bytes + kContentBytes - 1) / kContentBytes;
  constexpr std::size_t kSectorsPerPage = kPageBytes / kSectorBytes;
  return (sectors + kSectorsPerPage - 1) / kSectorsPerPage * kPageBytes;
}

std::string seal_frame(std::uint64_t file, std::uint64_t offset, std::uint64_t number,
                       std::string_view content) {
  const FrameHead head{kMagic, number, content.size()};
  std::string frame(frame_bytes(content.size()), '\0');
  std::memcpy(frame.data(), &head, sizeof(head));
  std::size_t room_at = sizeof(head);
  for (std::size_t at = 0; at < frame.size(); at += kSectorBytes) {
    const std::size_t piece = std::min(content.size(), kContentBytes - room_at);
    std::memcpy(frame.data() + at + room_at, content.data(), piece);
    content.remove_prefix(piece);
    room_at = 0;
    const std::uint64_t hash = hash_of(file, offset + at, number, frame.data() + at);
    std::memcpy(frame.data() + at + kContentBytes, &hash, kHashBytes);
  }
  return frame;
}

std::optional<Frame> read_frame(std::uint64_t file, std::string_view bytes, std::uint64_t offset,
                                std::optional<std::uint64_t> number, std::uint64_t begin) {
  if (offset + kPageBytes > bytes.size()) return std::nullopt;
  FrameHead head;
  std::memcpy(&head, bytes.data() + offset, sizeof(head));
  if (head.magic != kMagic || (number && head.number != *number)) return std::nullopt;
  if (!is_sealed(file, bytes, offset, head.number, begin)) return std::nullopt;
  if (head.content_bytes > bytes.size() - offset) return std::nullopt;
  Frame frame{head.number, {}, frame_bytes(head.content_bytes)};
  if (frame.size_bytes > bytes.size() - offset) return std::nullopt;
  frame.content.reserve(head.content_bytes);
  std::size_t skip = sizeof(head);
  for (std::size_t at = offset; at < offset + frame.size_bytes; at += kSectorBytes) {
    if (!is_sealed(file, bytes, at, head.number, begin)) return std::nullopt;
    const std::size_t piece = std::min(kContentBytes - skip, head.content_bytes - frame.content.size());
    frame.content.append(bytes.data() + at + skip, piece);
    skip = 0;
  }
  return frame;
}

SectorState sector_state(std::uint64_t file, std::string_view bytes, std::uint64_t offset,
                         std::uint64_t number) {
  static constexpr char kZeros[kSectorBytes] = {};
  if (std::memcmp(bytes.data() + offset, kZeros, kSectorBytes) == 0) return SectorState::zero;
  return is_sealed(file, bytes, offset, number, 0) ? SectorState::sealed : SectorState::strange;
}

}  // namespace dlm::server
