#include "server/core/entry_codec.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

#include "schema/limits.h"

namespace dlm::server {
namespace {

Operation full_operation() {
  Operation op;
  op.kind = OperationKind::acquire;
  op.mode = LockMode::shared;
  op.lease = LeaseKind::capped;
  op.session = SessionId(0xfedcba9876540003ULL);
  op.sequence = Sequence(300);
  op.acked_below = Sequence(299);
  op.target = Sequence(std::numeric_limits<std::uint64_t>::max());
  op.token = FencingToken((5ULL << 40) + 17);
  op.wait_ms = kWaitForeverMs;
  op.lease_ms = 3'600'000;
  op.resource = std::string_view("orders/\0\xff", 9);
  op.owner_tag = "thread 7";
  op.client_id = "w7";
  return op;
}

void expect_equal(const Operation& a, const Operation& b) {
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.mode, b.mode);
  EXPECT_EQ(a.lease, b.lease);
  EXPECT_EQ(a.session, b.session);
  EXPECT_EQ(a.sequence, b.sequence);
  EXPECT_EQ(a.acked_below, b.acked_below);
  EXPECT_EQ(a.target, b.target);
  EXPECT_EQ(a.token, b.token);
  EXPECT_EQ(a.wait_ms, b.wait_ms);
  EXPECT_EQ(a.lease_ms, b.lease_ms);
  EXPECT_EQ(a.resource, b.resource);
  EXPECT_EQ(a.owner_tag, b.owner_tag);
  EXPECT_EQ(a.client_id, b.client_id);
}

// Reads all of a batch; whether it was whole.
bool read_all(std::string_view bytes, std::size_t& read) {
  BatchReader reader(bytes);
  Operation op;
  for (read = 0; reader.next(op);) ++read;
  return reader.ok();
}

std::string sample_batch() {
  BatchWriter writer;
  writer.stamp(1'700'000'000'000);
  writer.add(full_operation());
  writer.add(Operation());
  Operation release;
  release.kind = OperationKind::release;
  release.session = SessionId(1);
  release.sequence = Sequence(2);
  release.resource = "a";
  writer.add(release);
  return writer.take();
}

TEST(EntryCodec, EveryFieldSurvivesTheRoundTrip) {
  std::string bytes = sample_batch();
  BatchReader reader(bytes);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader.count(), 3U);
  EXPECT_EQ(reader.stamp_unix_ms(), 1'700'000'000'000U);
  Operation op;
  ASSERT_TRUE(reader.next(op));
  expect_equal(op, full_operation());
  ASSERT_TRUE(reader.next(op));
  expect_equal(op, Operation());
  ASSERT_TRUE(reader.next(op));
  EXPECT_EQ(op.kind, OperationKind::release);
  EXPECT_EQ(op.resource, "a");
  EXPECT_FALSE(reader.next(op));
  EXPECT_TRUE(reader.ok());
}

TEST(EntryCodec, TheDeadlineOfRoutersIsNotLogged) {
  Operation op = full_operation();
  op.deadline_ms = 77;
  BatchWriter writer;
  writer.add(op);
  std::string bytes = writer.take();
  BatchReader reader(bytes);
  Operation read;
  ASSERT_TRUE(reader.next(read));
  EXPECT_EQ(read.deadline_ms, 0U);
}

TEST(EntryCodec, AWriterIsEmptyAfterItsBatchWasTaken) {
  BatchWriter writer;
  writer.stamp(5);
  std::size_t empty_bytes = writer.size_bytes();
  writer.add(full_operation());
  EXPECT_EQ(writer.count(), 1U);
  EXPECT_GT(writer.size_bytes(), empty_bytes);
  writer.take();
  EXPECT_EQ(writer.count(), 0U);
  EXPECT_EQ(writer.size_bytes(), empty_bytes);
  std::string bytes = writer.take();
  BatchReader reader(bytes);
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.count(), 0U);
  EXPECT_EQ(reader.stamp_unix_ms(), 0U);
}

TEST(EntryCodec, AnEntryIsCompact) {
  Operation op;
  op.kind = OperationKind::acquire;
  op.session = SessionId(0x1234567890ab0000ULL);
  op.sequence = Sequence(1'000'000);
  op.acked_below = Sequence(999'990);
  op.resource = "12345678901234567890";
  BatchWriter writer;
  std::size_t before = writer.size_bytes();
  writer.add(op);
  EXPECT_LE(writer.size_bytes() - before, 40U);
}

TEST(EntryCodec, ABatchCutAnywhereIsNotWhole) {
  const std::string bytes = sample_batch();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    std::size_t read = 0;
    // An exact copy on the heap, so that the sanitizers see a read beyond its end.
    std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(read_all(std::string_view(cut.data(), cut.size()), read)) << size;
    EXPECT_LT(read, 3U + 1U);
  }
}

TEST(EntryCodec, BytesAfterTheLastEntryAreDamage) {
  std::size_t read = 0;
  EXPECT_FALSE(read_all(sample_batch() + "x", read));
  EXPECT_EQ(read, 3U);
}

TEST(EntryCodec, AnUnknownVersionOrFieldIsRefused) {
  std::string bytes = sample_batch();
  std::string other_version = bytes;
  other_version[0] = 2;
  EXPECT_FALSE(BatchReader(other_version).ok());
  std::string other_field = bytes;
  other_field[15] = static_cast<char>(0xff);  // upper byte of the first entry's field mask
  std::size_t read = 0;
  EXPECT_FALSE(read_all(other_field, read));
}

TEST(EntryCodec, ACountBeyondTheBytesIsRefusedAtOnce) {
  std::string bytes = sample_batch();
  for (int i = 9; i < 13; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<char>(0xff);
  BatchReader reader(bytes);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.count(), 0U);
}

TEST(EntryCodec, ANumberThatDoesNotFitItsFieldIsRefused) {
  Operation op;
  op.wait_ms = kWaitForeverMs;
  BatchWriter writer;
  writer.add(op);
  std::string bytes = writer.take();
  bytes.back() = 0x1f;  // the last 7 bits of the varint: now above 32 bits
  std::size_t read = 0;
  EXPECT_FALSE(read_all(bytes, read));
}

TEST(EntryCodec, GarbageIsReadWithoutHarm) {
  std::mt19937_64 random(7);
  const std::string good = sample_batch();
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (std::uint64_t flips = 1 + random() % 4; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    std::size_t read = 0;
    read_all(bytes, read);
    EXPECT_LE(read, bytes.size());
  }
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 64, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (!bytes.empty()) bytes[0] = 1;
    std::size_t read = 0;
    read_all(bytes, read);
  }
}

}  // namespace
}  // namespace dlm::server
