// Snapshots: a stream of records, each with its length. First owners, then sessions, then what belongs to
// neither (free places, tombstones), then the locks by index, then an end with a checksum. Internal to the
// writer and the reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dlm::server::snapshot {

enum class Record : char {
  head = 'H',
  owner = 'O',
  session = 'S',
  rest = 'R',
  tombstones = 'T',
  free_locks = 'F',
  lock = 'L',
  end = 'E',
};

inline constexpr std::string_view kMagic = "dlm lock table";
inline constexpr std::uint64_t kFormat = 6;
inline constexpr std::size_t kLengthBytes = 4;

inline void append_length(std::size_t length, std::string& out) {
  for (std::size_t i = 0; i < kLengthBytes; ++i) out.push_back(static_cast<char>(length >> (8 * i)));
}

inline std::size_t read_length(const char* from) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i)
    length |= std::size_t{static_cast<std::uint8_t>(from[i])} << (8 * i);
  return length;
}

}  // namespace dlm::server::snapshot
