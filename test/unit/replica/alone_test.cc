// A primary that is, or may be, alone in the set serves only while the coordinator hears from it.
#include <gtest/gtest.h>

#include <algorithm>

#include "test/unit/replica/cluster.h"

namespace dlm::server::test {
namespace {

TEST(ReplicaAlone, TouchesTheCoordinatorAndGoesOnServing) {
  Cluster cluster = started(1);
  cluster.run_for(60'000);
  EXPECT_EQ(cluster.serving(), "s1");
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaAlone, StopsServingWithoutContactAndResumesWithIt) {
  Cluster cluster = started(1);
  cluster.cut_both("s1", "zk");
  cluster.run_for(2'000);
  EXPECT_EQ(cluster.serving(), "s1") << "its last write is not that old";
  cluster.run_for(2'100);
  EXPECT_EQ(cluster.serving(), "");
  EXPECT_EQ(cluster.barrier("s1"), 0U);
  EXPECT_NE(cluster["s1"].describe().find("waiting for the coordinator"), std::string::npos);
  cluster.append("s1", "a");
  EXPECT_FALSE(cluster.acknowledged("a"));
  cluster.heal();
  cluster.run_for(5'000);
  EXPECT_EQ(cluster.serving(), "s1");
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaAlone, CountsFromTheSendingOfTheWrite) {
  Cluster cluster = started(1);
  cluster.run_for(1'400);
  cluster.cut("zk", "s1");
  cluster.run_for(3'000);  // touches arrive, their answers do not
  cluster.heal();
  cluster.cut("s1", "zk");
  cluster.settle();
  const TimeMs answered = cluster.now();
  for (int i = 0; i < 1'000 && cluster.serving() == "s1"; ++i) cluster.run_for(10);
  EXPECT_LT(cluster.now() - answered, 4'000U);
  EXPECT_EQ(cluster.violation(), "");
}

// Another process may have its id by then, and be about to begin the group anew.
TEST(ReplicaAlone, AChangeOfTheRecordIsNoContact) {
  Cluster cluster = started(1);
  cluster.unregister(cluster.name("s1"));  // its next session may write, without being registered
  for (int i = 1; i <= 50; ++i) {
    cluster.run_for(100);
    cluster.want_lease("s1", 20'000 + static_cast<std::uint32_t>(i));
    cluster.settle();
  }
  EXPECT_GT(cluster.record().config.lease_ms_max, 20'000U);
  EXPECT_EQ(cluster.serving(), "");
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaAlone, ATakeoverThatLeavesItAloneBringsItsTouchAlong) {
  Cluster cluster = started(2);
  cluster.run_for(5'000);
  cluster.kill("s1");
  cluster.cut("s2", "zk");
  cluster.run_for(2'000);
  const auto under_way = [&](auto which) {
    return std::count_if(cluster.events().begin(), cluster.events().end(), [&](const Event& event) {
      return std::holds_alternative<decltype(which)>(event.what);
    });
  };
  EXPECT_EQ(under_way(Proposal{}), 1);
  EXPECT_EQ(under_way(Touch{}), 1);
}

// Its clock and the coordinator's may differ by 1% each, in opposite ways.
TEST(ReplicaAlone, CountsOnItsContactForALittleLessThanTheSession) {
  TimeMs longest = 0;
  for (TimeMs after_touch = 0; after_touch < 1'400; after_touch += 20) {
    Cluster cluster = started(1);
    cluster.run_for(after_touch);
    cluster.cut_both("s1", "zk");
    const TimeMs cut_at = cluster.now();
    while (cluster.serving() == "s1") cluster.run_for(10);
    longest = std::max(longest, cluster.now() - cut_at);
  }
  EXPECT_GT(longest, 3'800U);
  EXPECT_LE(longest, 3'930U);
}

TEST(ReplicaAlone, ResumedFromAFreezeItCommitsNothingBeforeContact) {
  Cluster cluster = started(1);
  cluster.freeze("s1");
  cluster.run_for(10'000);
  cluster.thaw("s1");
  cluster.append("s1", "a");  // the first thing it does, before any timer
  EXPECT_FALSE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.barrier("s1"), 0U);
  cluster.run_for(2'000);
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaAlone, MayBeAloneWhileARemovalIsUnderWay) {
  Cluster cluster = started(2);
  cluster.run_for(5'000);  // long without a write to the coordinator
  cluster.freeze("s2");
  cluster.cut("zk", "s1");  // the removal arrives, its outcome is not told
  cluster.run_for(1'200);
  ASSERT_EQ(cluster.record().config.in_sync.size(), 1U);
  cluster.thaw("s2");
  cluster.run_for(5'000);
  cluster.append("s1", "a");
  cluster.run_for(500);
  EXPECT_FALSE(cluster.acknowledged("a"))
      << "the backup acknowledges, but the record may be of one that is alone";
  cluster.heal();
  cluster.run_for(3'000);
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.record().config.in_sync.size(), 2U) << cluster.describe();
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaAlone, NeedsNoContactOnceAnotherIsInTheSet) {
  Cluster cluster = started(1);
  cluster.start("s2");
  cluster.run_for(1'000);
  ASSERT_EQ(cluster.record().config.in_sync.size(), 2U);
  cluster.cut_both("s1", "zk");
  cluster.run_for(30'000);
  EXPECT_EQ(cluster.serving(), "s1");
  EXPECT_EQ(cluster.violation(), "");
}

}  // namespace
}  // namespace dlm::server::test
