#include "server/storage/frames.h"

#include <gtest/gtest.h>

namespace dlm::server {
namespace {

constexpr std::uint64_t kFile = 3;

TEST(Frames, AreReadAsTheyWereSealed) {
  for (const std::size_t size : {0u, 1u, 479u, 480u, 481u, 4'000u, 4'008u, 4'009u, 100'000u}) {
    std::string content(size, '\0');
    for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 7);
    const std::string bytes = seal_frame(kFile, 0, 9, content);
    EXPECT_EQ(bytes.size(), frame_bytes(size));
    EXPECT_EQ(bytes.size() % kPageBytes, 0u);
    const auto frame = read_frame(kFile, bytes, 0, 9);
    ASSERT_TRUE(frame) << size;
    EXPECT_EQ(frame->content, content);
    EXPECT_EQ(frame->size_bytes, bytes.size());
    EXPECT_TRUE(read_frame(kFile, bytes, 0, std::nullopt));
  }
}

TEST(Frames, CountOnlyInTheirFileAtTheirPlaceUnderTheirNumber) {
  const std::string bytes = seal_frame(kFile, kPageBytes, 9, "content");
  EXPECT_TRUE(read_frame(kFile, bytes, 0, 9, kPageBytes));
  EXPECT_FALSE(read_frame(kFile + 1, bytes, 0, 9, kPageBytes));
  EXPECT_FALSE(read_frame(kFile, bytes, 0, 9, 2 * kPageBytes));
  EXPECT_FALSE(read_frame(kFile, bytes, 0, 8, kPageBytes));
}

TEST(Frames, AnyChangedBitIsFound) {
  const std::string bytes = seal_frame(kFile, 0, 9, std::string(700, 'x'));
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    ASSERT_FALSE(read_frame(kFile, changed, 0, std::nullopt)) << at;
    const std::size_t sector = at / kSectorBytes * kSectorBytes;
    ASSERT_EQ(sector_state(kFile, changed, sector, 9), SectorState::strange) << at;
  }
}

TEST(Frames, SectorsOfAnUnfinishedFrameAreZeroOrSealed) {
  std::string bytes = seal_frame(kFile, 0, 9, std::string(700, 'x'));
  bytes.replace(kSectorBytes, kSectorBytes, std::string(kSectorBytes, '\0'));
  EXPECT_FALSE(read_frame(kFile, bytes, 0, 9));
  EXPECT_EQ(sector_state(kFile, bytes, 0, 9), SectorState::sealed);
  EXPECT_EQ(sector_state(kFile, bytes, kSectorBytes, 9), SectorState::zero);
  EXPECT_EQ(sector_state(kFile, bytes, 2 * kSectorBytes, 9), SectorState::sealed);
  EXPECT_EQ(sector_state(kFile, bytes, 2 * kSectorBytes, 10), SectorState::strange);
}

// A length that a peer of ours never wrote must not be believed.
TEST(Frames, WhatIsCutOffIsNotWhole) {
  const std::string bytes = seal_frame(kFile, 0, 9, std::string(9'000, 'x'));
  for (std::size_t size = 0; size < bytes.size(); size += kSectorBytes)
    EXPECT_FALSE(read_frame(kFile, std::string_view(bytes).substr(0, size), 0, 9)) << size;
}

}  // namespace
}  // namespace dlm::server
