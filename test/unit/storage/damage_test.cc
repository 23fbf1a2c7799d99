// A data folder that is not what was written is refused, with where and what to do, and not changed.
#include "server/storage/damage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/storage/frames.h"
#include "server/storage/snapshot_file.h"
#include "test/unit/storage/rig.h"

namespace dlm::server::test {
namespace {

using testing::HasSubstr;

std::string why_refused(Store& store) {
  try {
    store.open();
  } catch (const DamagedFolder& damage) {
    store.close();
    return damage.what();
  }
  return "";
}

// Whatever is hit, log or head or the very last frame: a bit that flipped is no unfinished write.
TEST(Damage, AFlippedBitIsFoundWhereverItIs) {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    Store store;
    store.random = sim::Random(seed);
    store.open();
    store.write_batches(1, 1 + store.random.below(60));
    store.close();
    ASSERT_TRUE(store.disk.flip_a_bit(store.random));
    const std::string why = why_refused(store);
    ASSERT_THAT(why, HasSubstr("damaged at byte")) << store.disk.damage();
    ASSERT_THAT(why, HasSubstr("data/g1/log-")) << store.disk.damage();
    ASSERT_THAT(why, HasSubstr("move the whole data folder away"));
    ASSERT_EQ(why_refused(store), why);  // the second time too
  }
}

TEST(Damage, AWriteThatWentAstrayIsFound) {
  std::size_t astray = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Store store;
    store.random = sim::Random(seed);
    store.open();
    const std::uint64_t before = 1 + store.random.below(30);
    store.write_batches(1, before);
    store.disk.misdirect_next_write();
    store.write_batches(before + 1, before + 1 + store.random.below(4));
    if (store.disk.damage().empty()) continue;
    ++astray;
    store.close();
    ASSERT_THAT(why_refused(store), HasSubstr("damaged at byte")) << store.disk.damage();
  }
  EXPECT_GT(astray, 80u);
}

TEST(Damage, AMissingSegmentIsFound) {
  Store store;
  store.open();
  store.write_batches(1, 60);
  store.folder().remove(segment_name(2));
  store.close();
  EXPECT_THAT(why_refused(store), HasSubstr("log-000000000002: is missing"));
}

TEST(Damage, ASegmentThatWasCutShortIsFound) {
  Store store;
  store.open();
  store.write_batches(1, 60);
  const std::string whole = store.folder().open(segment_name(1))->read(0, 1u << 20);
  store.folder().create(segment_name(1))->write(0, whole.substr(0, 5 * kPageBytes));
  store.close();
  EXPECT_THAT(why_refused(store), HasSubstr("log-000000000002: damaged at byte"));
}

TEST(Damage, AForeignFolderIsRefused) {
  Store store;
  store.open();
  store.write_batches(1, 2);
  GroupIdentity other = identity();
  other.incarnation = 43;
  try {
    open_group(store.folder(), other, kSmallSegment);
    FAIL() << "took another server's log";
  } catch (const DamagedFolder& damage) {
    EXPECT_THAT(damage.what(), HasSubstr("belongs to another server or group"));
    EXPECT_THAT(damage.what(), HasSubstr("s1#42"));
  }
}

TEST(Damage, ANewerFormatIsRefused) {
  Store store;
  store.open();
  std::string head = first_frame("log", identity());
  head.replace(head.find(" 1\n"), 3, " 7\n");
  store.folder().open(segment_name(1))->write(0, seal_frame(1, 0, 0, head));
  store.close();
  EXPECT_THAT(why_refused(store), HasSubstr("was written in format 7, this program knows format 1"));
}

TEST(Damage, ALogWithoutItsSnapshotIsRefused) {
  Store store;
  store.open();
  store.log().add(LogReset{LogIndex(10), Epoch(2), false});
  store.log().add(batch(11, 2, "x"));
  store.log().sync();
  store.close();
  EXPECT_THAT(why_refused(store), HasSubstr("the snapshot at 10, on which the log follows, is missing"));
}

TEST(Damage, ABatchThatCanNotBeReadIsRefused) {
  Store store;
  store.open();
  store.write_batches(1, 2);
  store.log().add(Batch{LogIndex(3), Epoch(1), std::make_shared<const std::string>("of a later version")});
  store.log().sync();
  store.close();
  EXPECT_THAT(why_refused(store), HasSubstr("batch 3 is whole, but none that this version"));
}

TEST(Damage, AFullDiskThrows) {
  Store store;
  store.open();
  store.write_batches(1, 2);
  store.disk.fill_up(true);
  store.log().add(batch(3, 1, "x"));
  EXPECT_THROW(store.log().sync(), std::system_error);
  store.disk.fill_up(false);
  store.lose_power();
  store.open();
  EXPECT_EQ(store.recovered().log.batches.size(), 2u);
}

}  // namespace
}  // namespace dlm::server::test
