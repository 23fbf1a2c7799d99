#include <gtest/gtest.h>

#include "server/core/replica_log.h"

namespace dlm::server {
namespace {

Batch batch(std::uint64_t index, std::uint64_t epoch, std::size_t bytes = 10) {
  return {LogIndex(index), Epoch(epoch), std::make_shared<const std::string>(bytes, 'x')};
}

ReplicaLog filled() {
  ReplicaLog log;
  for (std::uint64_t index = 1; index <= 10; ++index) log.append(batch(index, 1 + index / 6));
  return log;
}

TEST(ReplicaLog, IsEmptyBehindIndexZeroOfEpochZero) {
  ReplicaLog log;
  EXPECT_EQ(log.last_index(), LogIndex());
  EXPECT_TRUE(log.covers(LogIndex()));
  EXPECT_FALSE(log.covers(LogIndex(1)));
  EXPECT_EQ(log.last_epoch(), Epoch());
}

TEST(ReplicaLog, KnowsTheEpochOfEachBatchAndOfItsBase) {
  ReplicaLog log = filled();
  EXPECT_EQ(log.epoch_at(LogIndex(5)), Epoch(1));
  EXPECT_EQ(log.epoch_at(LogIndex(6)), Epoch(2));
  log.trim(LogIndex(5), 0);
  EXPECT_EQ(log.base_index(), LogIndex(5));
  EXPECT_EQ(log.epoch_at(LogIndex(5)), Epoch(1));
  EXPECT_EQ(log.at(LogIndex(6)).index, LogIndex(6));
  EXPECT_FALSE(log.covers(LogIndex(4)));
}

TEST(ReplicaLog, TrimsNoMoreThanItMust) {
  ReplicaLog log = filled();
  const std::size_t bytes = log.size_bytes();
  log.trim(LogIndex(10), bytes);
  EXPECT_EQ(log.base_index(), LogIndex());
  log.trim(LogIndex(10), bytes - 1);
  EXPECT_EQ(log.base_index(), LogIndex(1));
  log.trim(LogIndex(10), 0);
  EXPECT_EQ(log.base_index(), LogIndex(10));
  EXPECT_EQ(log.last_index(), LogIndex(10));
  EXPECT_EQ(log.size_bytes(), 0U);
}

TEST(ReplicaLog, DropsItsEndAndGrowsAgain) {
  ReplicaLog log = filled();
  log.truncate_after(LogIndex(7));
  EXPECT_EQ(log.last_index(), LogIndex(7));
  log.append(batch(8, 3));
  EXPECT_EQ(log.last_epoch(), Epoch(3));
}

TEST(ReplicaLog, CopiesWhatFitsButAtLeastOne) {
  ReplicaLog log = filled();
  std::vector<Batch> out;
  log.copy_from(LogIndex(3), 1, out);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].index, LogIndex(3));
  out.clear();
  log.copy_from(LogIndex(3), 1'000'000, out);
  EXPECT_EQ(out.size(), 8U);
  out.clear();
  log.copy_from(LogIndex(11), 1'000'000, out);
  EXPECT_TRUE(out.empty());
}

TEST(ReplicaLog, BeginsAnewBehindASnapshot) {
  ReplicaLog log = filled();
  log.reset(LogIndex(50), Epoch(4));
  EXPECT_EQ(log.last_index(), LogIndex(50));
  EXPECT_EQ(log.last_epoch(), Epoch(4));
  log.append(batch(51, 4));
  EXPECT_EQ(log.last_index(), LogIndex(51));
}

}  // namespace
}  // namespace dlm::server
