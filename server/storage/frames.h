// Frames: how bytes lie in the files of a data folder, so that after a crash it can be told what is whole,
// what was never finished, and what was damaged.
//
// A frame begins at a page and fills whole pages, so no write ever touches what is safe already. Each sector
// of 512 bytes ends in a hash of 8, over its content, its place, its file and the frame's number. Files are
// filled with zeros beforehand. So a write that a crash interrupted leaves sectors that are sealed for this
// very frame, or zero; anything else is damage (bits that flipped, a write that went astray), and is never
// taken for an unfinished end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dlm::server {

inline constexpr std::size_t kSectorBytes = 512;
inline constexpr std::size_t kPageBytes = 4'096;

// The size in a file of a frame with so much content.
std::size_t frame_bytes(std::size_t content_bytes);
// The frame's bytes, to be written at `offset` (a multiple of the page) of the file `file`.
std::string seal_frame(std::uint64_t file, std::uint64_t offset, std::uint64_t number,
                       std::string_view content);

struct Frame {
  std::uint64_t number = 0;
  std::string content;
  std::size_t size_bytes = 0;  // in the file
};
// The frame at `offset` in `bytes`, which lie from `begin` on in the file; none unless it is whole. With any
// number unless one is given.
std::optional<Frame> read_frame(std::uint64_t file, std::string_view bytes, std::uint64_t offset,
                                std::optional<std::uint64_t> number, std::uint64_t begin = 0);

enum class SectorState { zero, sealed, strange };
// `sealed`: for the frame of this number.
SectorState sector_state(std::uint64_t file, std::string_view bytes, std::uint64_t offset,
                         std::uint64_t number);

}  // namespace dlm::server
