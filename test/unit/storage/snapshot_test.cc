#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/storage/damage.h"
#include "server/storage/snapshot_file.h"
#include "test/unit/storage/rig.h"

namespace dlm::server::test {
namespace {

using testing::HasSubstr;

void write(Folder& folder, std::uint64_t index, const std::vector<std::string>& chunks, bool finish = true) {
  SnapshotFileWriter writer(folder, identity(), {LogIndex(index), Epoch(3)});
  for (const std::string& chunk : chunks) writer.add(chunk);
  if (finish) writer.finish();
}

std::vector<std::string> read(Folder& folder, std::uint64_t index) {
  std::vector<std::string> chunks;
  const LogPlace place = read_snapshot_file(folder, identity(), LogIndex(index),
                                            [&](std::string_view chunk) { chunks.emplace_back(chunk); });
  EXPECT_EQ(place.index, LogIndex(index));
  EXPECT_EQ(place.epoch, Epoch(3));
  return chunks;
}

TEST(SnapshotFile, IsReadAsItWasWritten) {
  sim::Disk disk;
  const auto folder = disk.root()->folder("g1");
  const std::vector<std::string> chunks{"one", "", std::string(9u << 20, 'x'), std::string(300'000, 'y'),
                                        "end"};
  write(*folder, 17, chunks);
  EXPECT_EQ(read(*folder, 17), chunks);
}

TEST(SnapshotFile, ReplacesOlderOnesOnlyWhenItIsSafe) {
  sim::Random random(1);
  for (int round = 0; round < 50; ++round) {
    sim::Disk disk;
    const auto folder = disk.root()->folder("g1");
    write(*folder, 17, {"old"});
    if (round % 2 == 0)
      write(*folder, 20, {"new", std::string(10'000, 'x')}, false);
    else
      write(*folder, 20, {"new", std::string(10'000, 'x')});
    disk.lose_power(random);
    const auto after = disk.root()->folder("g1");
    bool any = false;
    for (const std::string& name : after->list()) {
      const auto index = snapshot_index(name);
      if (!index) continue;
      any = true;
      EXPECT_EQ(read(*after, index->value).front(), index->value == 17 ? "old" : "new");
    }
    EXPECT_TRUE(any);
  }
}

TEST(SnapshotFile, AFlippedBitIsFound) {
  sim::Random random(5);
  for (int round = 0; round < 200; ++round) {
    sim::Disk disk;
    const auto folder = disk.root()->folder("g1");
    write(*folder, 17, {"one", std::string(20'000, 'x'), "end"});
    ASSERT_TRUE(disk.flip_a_bit(random));
    try {
      read(*folder, 17);
      FAIL() << disk.damage();
    } catch (const DamagedFolder& damage) {
      EXPECT_THAT(damage.what(), HasSubstr("data/g1/snapshot-00000000000000000017: "));
    }
  }
}

TEST(SnapshotFile, NamesThatAreNoneAreLeftAlone) {
  EXPECT_EQ(snapshot_index(snapshot_name(LogIndex(5))), LogIndex(5));
  for (const char* name : {"snapshot-", "snapshot-5", "snapshot-0000000000000000000x", "log-000000000001",
                           "snapshot-00000000000000000005.new"})
    EXPECT_FALSE(snapshot_index(name)) << name;
  EXPECT_EQ(segment_id(segment_name(12)), 12u);
  for (const char* name : {"log-", "log-1", "log-000000000001.new", "snapshot-00000000000000000005"})
    EXPECT_FALSE(segment_id(name)) << name;
}

}  // namespace
}  // namespace dlm::server::test
