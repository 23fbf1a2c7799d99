#include "schema/wire/buffers.h"

#include <gtest/gtest.h>

#include <cstring>

#include "schema/wire/backoff.h"

namespace dlm::wire {
namespace {

TEST(InputBuffer, GrowsWithWhatHasArrivedAndNotWithWhatWasAnnounced) {
  constexpr std::size_t kAnnounced = 64u << 20;
  InputBuffer buffer;
  EXPECT_LE(buffer.space(kAnnounced).size(), InputBuffer::kReadBytesMax);
  std::size_t arrived = 0;
  while (arrived < 1u << 20) {
    auto space = buffer.space(kAnnounced);
    ASSERT_GE(space.size(), InputBuffer::kReadBytesMin);
    ASSERT_LE(arrived + space.size(), 4 * arrived + 4 * InputBuffer::kReadBytesMax);
    std::size_t count = std::min<std::size_t>(space.size(), 5'000);
    std::memset(space.begin(), 'x', count);
    buffer.filled(count);
    arrived += count;
  }
  EXPECT_EQ(buffer.size_bytes(), arrived);
}

TEST(InputBuffer, KeepsItsBytesInOrderWhileItIsCompactedAndGrown) {
  InputBuffer buffer;
  std::uint8_t next_in = 0;
  std::uint8_t next_out = 0;
  for (std::size_t round = 1; round < 300; ++round) {
    auto space = buffer.space(0);
    std::size_t count = std::min(space.size(), round * 371 % 30'000);
    for (std::size_t i = 0; i < count; ++i) space[i] = next_in++;
    buffer.filled(count);
    std::size_t taken = buffer.size_bytes() * (round % 4) / 3;
    for (std::size_t i = 0; i < taken; ++i) ASSERT_EQ(buffer.bytes()[i], next_out++);
    buffer.consume(taken);
  }
}

TEST(InputBuffer, ForgetsTheMemoryOfALongMessage) {
  constexpr std::size_t kMessage = 16u << 20;
  InputBuffer buffer;
  while (buffer.size_bytes() < kMessage) {
    auto space = buffer.space(kMessage);
    std::memset(space.begin(), 0, space.size());
    buffer.filled(space.size());
  }
  buffer.consume(buffer.size_bytes());
  EXPECT_LE(buffer.space(0).size(), InputBuffer::kReadBytesMax);
}

TEST(Backoff, StaysBetweenHalfTheFirstDelayAndACeilingThatDoubles) {
  Backoff backoff(10, 1'000, 7);
  std::uint32_t ceiling = 10;
  for (int i = 0; i < 50; ++i) {
    std::uint32_t delay = backoff.next_ms();
    EXPECT_GE(delay, 5u);
    EXPECT_LE(delay, ceiling);
    ceiling = std::min<std::uint32_t>(1'000, 2 * ceiling);
  }
  backoff.reset();
  EXPECT_LE(backoff.next_ms(), 10u);
}

}  // namespace
}  // namespace dlm::wire
