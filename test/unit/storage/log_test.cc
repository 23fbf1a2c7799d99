// The log on disk: what was safe is there after a restart, in its order, and nothing else is believed.
#include <gtest/gtest.h>

#include "server/storage/frames.h"
#include "server/storage/snapshot_file.h"
#include "test/unit/storage/rig.h"

namespace dlm::server::test {
namespace {

using Texts = std::vector<std::string>;

TEST(LogOnDisk, IsEmptyAtFirst) {
  Store store;
  store.open();
  EXPECT_TRUE(store.recovered().log.batches.empty());
  EXPECT_EQ(store.recovered().log.base.index, LogIndex());
  EXPECT_EQ(store.recovered().table, nullptr);
}

TEST(LogOnDisk, HasWhatWasSyncedAfterThePowerFailed) {
  Store store;
  store.open();
  store.log().add(LedEpoch{Epoch(1)});
  store.write_batches(1, 3);
  store.lose_power();
  store.open();
  EXPECT_EQ(to_texts(store.recovered().log.batches), (Texts{"1:1 b1", "2:1 b2", "3:1 b3"}));
  EXPECT_EQ(store.recovered().log.led, Epoch(1));
}

TEST(LogOnDisk, GoesOnOverManySegmentsAndRestarts) {
  Store store;
  store.open();
  Texts expected;
  std::uint64_t last = 0;
  for (int life = 0; life < 5; ++life) {
    store.write_batches(last + 1, last + 40);
    last += 40;
    store.lose_power();
    store.open();
    ASSERT_EQ(store.recovered().log.batches.size(), last);
  }
  EXPECT_GT(store.folder().list().size(), 10u);
  EXPECT_EQ(store.recovered().log.batches.back().index, LogIndex(last));
}

TEST(LogOnDisk, TakesARecordThatIsLargerThanASegment) {
  Store store;
  store.open();
  const std::string large(3 * kSmallSegment, 'x');
  store.log().add(batch(1, 1, large));
  store.log().add(batch(2, 1, "small"));
  store.log().sync();
  store.lose_power();
  store.open();
  ASSERT_EQ(store.recovered().log.batches.size(), 2u);
  EXPECT_EQ(to_text(store.recovered().log.batches[0]), "1:1 " + large);
}

TEST(LogOnDisk, ALaterBatchReplacesWhatStoodThere) {
  Store store;
  store.open();
  store.write_batches(1, 5);
  store.log().add(batch(3, 2, "other"));
  store.log().sync();
  store.lose_power();
  store.open();
  EXPECT_EQ(to_texts(store.recovered().log.batches), (Texts{"1:1 b1", "2:1 b2", "3:2 other"}));
}

TEST(LogOnDisk, BeginsAnewBehindAnEmptyState) {
  Store store;
  store.open();
  store.write_batches(1, 5);
  store.log().add(LogReset{LogIndex(1000), Epoch(), true});
  store.log().add(batch(1001, 7, "first"));
  store.log().sync();
  store.lose_power();
  store.open();
  EXPECT_EQ(store.recovered().log.base.index, LogIndex(1000));
  EXPECT_EQ(store.recovered().table, nullptr);
  EXPECT_EQ(to_texts(store.recovered().log.batches), Texts{"1001:7 first"});
}

// Whatever was not synced may be there or not, but not as something else, and the log goes on after it.
TEST(LogOnDisk, AnUnfinishedEndIsCutOff) {
  std::size_t cut = 0, whole = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Store store;
    store.random = sim::Random(seed);
    store.open();
    const std::uint64_t safe = 1 + store.random.below(40);
    store.write_batches(1, safe);
    // Written, and the power fails before the sync returns: as the writer does it, without its sync.
    const std::unique_ptr<Folder> folder = store.disk.root()->folder("g1");
    ScannedLog scanned = scan_log(*folder, identity());
    std::string records;
    encode(batch(safe + 1, 1, std::string(5'000, 'u')), records);
    const Segment& segment = scanned.segments[scanned.at_segment];
    if (segment.size_bytes - scanned.at_bytes < frame_bytes(records.size())) continue;
    folder->open(segment_name(segment.id))
        ->write(scanned.at_bytes, seal_frame(segment.id, scanned.at_bytes, scanned.next_frame, records));
    store.lose_power();
    store.open();
    const std::size_t found = store.recovered().log.batches.size();
    ASSERT_TRUE(found == safe || found == safe + 1) << seed;
    found == safe ? ++cut : ++whole;
    store.write_batches(found + 1, found + 3);
    store.lose_power();
    store.open();
    ASSERT_EQ(store.recovered().log.batches.size(), found + 3) << seed;
  }
  EXPECT_GT(cut, 50u);
  EXPECT_GT(whole, 20u);
}

// --- behind a snapshot -----------------------------------------------------------------------------------

void write_snapshot(Store& store, std::uint64_t index, std::uint64_t epoch) {
  LockTable table;
  const auto chunks = table.snapshot();
  SnapshotFileWriter writer(store.folder(), identity(), {LogIndex(index), Epoch(epoch)});
  std::string chunk;
  while (chunks->next(1'000, chunk)) {
    writer.add(chunk);
    chunk.clear();
  }
  writer.add(chunk);
  writer.finish();
}

TEST(LogOnDisk, OldSegmentsGoWithASnapshot) {
  Store store;
  store.open();
  store.write_batches(1, 100);
  const std::uint64_t before = store.log().size_bytes();
  write_snapshot(store, 90, 1);
  store.log().drop_covered(LogIndex(90));
  EXPECT_LT(store.log().size_bytes(), before / 4);
  store.lose_power();
  store.open();
  EXPECT_EQ(store.recovered().log.base.index, LogIndex(90));
  EXPECT_EQ(store.recovered().log.base.epoch, Epoch(1));
  EXPECT_NE(store.recovered().table, nullptr);
  EXPECT_EQ(store.recovered().log.batches.size(), 10u);
  EXPECT_EQ(store.recovered().log.batches.front().index, LogIndex(91));
}

TEST(LogOnDisk, LedEpochsOutliveTheirSegments) {
  Store store;
  store.open();
  store.log().add(LedEpoch{Epoch(9)});
  store.write_batches(1, 60);
  write_snapshot(store, 60, 1);
  store.log().drop_covered(LogIndex(60));
  store.lose_power();
  store.open();
  EXPECT_EQ(store.recovered().log.led, Epoch(9));
}

// The state came from another member, and the power failed before the log was told.
TEST(LogOnDisk, WhatDoesNotFollowOnTheSnapshotIsLeftOut) {
  Store store;
  store.open();
  store.write_batches(1, 8);
  write_snapshot(store, 5, 3);
  store.lose_power();
  store.open();
  EXPECT_EQ(store.recovered().log.base.index, LogIndex(5));
  EXPECT_TRUE(store.recovered().log.batches.empty());
  store.log().add(batch(6, 3, "after"));
  store.log().sync();
  store.lose_power();
  store.open();
  EXPECT_EQ(to_texts(store.recovered().log.batches), Texts{"6:3 after"});
}

// Members that catch up apply what others have committed, perhaps before their own disk has it.
TEST(LogOnDisk, ASnapshotMayBeAheadOfTheLog) {
  Store store;
  store.open();
  store.write_batches(1, 5);
  write_snapshot(store, 8, 1);
  store.lose_power();
  store.open();
  EXPECT_EQ(store.recovered().log.base.index, LogIndex(8));
  store.log().add(batch(9, 1, "after"));
  store.log().sync();
  store.lose_power();
  store.open();
  EXPECT_EQ(to_texts(store.recovered().log.batches), Texts{"9:1 after"});
}

}  // namespace
}  // namespace dlm::server::test
