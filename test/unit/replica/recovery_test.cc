// The loss of a whole in-sync set: who begins the group anew, and who must not.
#include <gtest/gtest.h>

#include "test/unit/replica/cluster.h"

namespace dlm::server::test {
namespace {

using Texts = std::vector<std::string>;

class ReplicaRecovery : public ::testing::Test {
 protected:
  explicit ReplicaRecovery(Cluster started_cluster = started(3)) : cluster(std::move(started_cluster)) {
    EXPECT_TRUE(cluster.append("s1", "before"));
    cluster.run_for(200);
    EXPECT_TRUE(cluster.acknowledged("before"));
  }
  void kill_all() {
    for (const char* server : {"s1", "s2", "s3"}) {
      if (!cluster.runs(server)) continue;
      const MemberName name = cluster.name(server);
      cluster.kill(server);
      cluster.unregister(name);
    }
    cluster.settle();
  }
  void expect_alive_and_well() {
    ASSERT_NE(cluster.serving(), "");
    ASSERT_TRUE(cluster.append(cluster.serving(), "after"));
    cluster.run_for(200);
    EXPECT_TRUE(cluster.acknowledged("after"));
    EXPECT_EQ(cluster.violation(), "");
  }

  Cluster cluster;
};

TEST_F(ReplicaRecovery, GroupBeginsAnewInANewEraWhenAllServersOfTheSetAreBack) {
  const GroupConfig before = cluster.record().config;
  kill_all();
  for (const char* server : {"s1", "s2", "s3"}) cluster.start(server);
  cluster.run_for(500);
  const GroupConfig& after = cluster.record().config;
  EXPECT_EQ(after.epoch, before.epoch.next());
  EXPECT_EQ(after.era, before.era + 1);
  EXPECT_TRUE(after.recovering);
  EXPECT_EQ(after.lease_ms_max, before.lease_ms_max);
  EXPECT_EQ(after.in_sync.size(), 3U) << "the others join again";
  for (const char* server : {"s1", "s2", "s3"}) EXPECT_EQ(cluster.applied(server), Texts{}) << server;
  expect_alive_and_well();
}

TEST_F(ReplicaRecovery, OneServerOfTheSetThatStaysAwayKeepsTheGroupDown) {
  kill_all();
  cluster.start("s1");
  cluster.start("s3");
  cluster.start("s4");
  cluster.run_for(60'000);
  EXPECT_EQ(cluster.serving(), "");
  EXPECT_EQ(cluster.record().config.era, 1U);
  EXPECT_NE(cluster["s1"].describe().find("s2 must come back"), std::string::npos)
      << cluster["s1"].describe();
  cluster.start("s2");
  cluster.run_for(500);
  expect_alive_and_well();
}

TEST_F(ReplicaRecovery, NobodyBeginsAnewWhileAMemberOfTheSetLives) {
  for (const char* server : {"s1", "s3"}) {
    cluster.kill(server);
    cluster.start(server);
  }
  cluster.run_for(2'000);
  EXPECT_EQ(cluster.record().config.era, 1U);
  EXPECT_EQ(cluster.serving(), "s2");
  EXPECT_EQ(cluster.applied("s1"), Texts{"before"});
  expect_alive_and_well();
}

TEST_F(ReplicaRecovery, AMemberOutsideTheSetIsNeverPromotedAndTakesTheNewState) {
  // s3 is removed from the set, and keeps what it has.
  cluster.cut_both("s1", "s3");
  cluster.cut_both("s2", "s3");
  cluster.run_for(1'500);
  ASSERT_EQ(cluster.record().config.in_sync.size(), 2U);
  for (const char* server : {"s1", "s2"}) {
    const MemberName name = cluster.name(server);
    cluster.kill(server);
    cluster.unregister(name);
  }
  cluster.run_for(10'000);
  EXPECT_EQ(cluster.serving(), "");
  EXPECT_EQ(cluster.applied("s3"), Texts{"before"});

  cluster.heal();
  cluster.start("s1");
  cluster.start("s2");
  cluster.run_for(3'000);
  EXPECT_NE(cluster.serving(), "s3");
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U);
  EXPECT_EQ(cluster.applied("s3"), Texts{});
  expect_alive_and_well();
}

TEST_F(ReplicaRecovery, ASecondTotalLossRaisesTheEraAgain) {
  for (std::uint64_t era = 2; era <= 4; ++era) {
    kill_all();
    for (const char* server : {"s1", "s2", "s3"}) cluster.start(server);
    cluster.run_for(era == 3 ? 5 : 500);  // once before the others have joined
    EXPECT_EQ(cluster.record().config.era, era);
    EXPECT_TRUE(cluster.record().config.recovering);
  }
  cluster.run_for(500);
  expect_alive_and_well();
}

TEST_F(ReplicaRecovery, APrimaryThatTakesOverLaterKeepsTheStateOfTheNewEra) {
  kill_all();
  for (const char* server : {"s1", "s2", "s3"}) cluster.start(server);
  cluster.run_for(500);
  const std::string first = cluster.serving();
  ASSERT_TRUE(cluster.append(first, "kept"));
  cluster.settle();
  const MemberName dead = cluster.name(first);
  cluster.kill(first);
  cluster.unregister(dead);
  cluster.run_for(500);
  ASSERT_NE(cluster.serving(), "");
  EXPECT_NE(cluster.serving(), first);
  EXPECT_EQ(cluster.record().config.era, 2U);
  EXPECT_TRUE(cluster.record().config.recovering) << "until the shell has waited";
  EXPECT_EQ(cluster.applied(cluster.serving()), Texts{"kept"});
  expect_alive_and_well();
}

TEST_F(ReplicaRecovery, TheEndOfTheWaitIsPutDownOnce) {
  kill_all();
  for (const char* server : {"s1", "s2", "s3"}) cluster.start(server);
  cluster.run_for(500);
  cluster.end_recovery(cluster.serving());
  cluster.run_for(500);
  EXPECT_FALSE(cluster.record().config.recovering);
  const std::int64_t version = cluster.record().version;
  cluster.run_for(5'000);
  EXPECT_EQ(cluster.record().version, version);
  expect_alive_and_well();
}

TEST_F(ReplicaRecovery, AGroupOfOneBeginsAnewWhenItsServerIsBack) {
  Cluster lone = started(1);
  ASSERT_TRUE(lone.append("s1", "before"));
  const MemberName name = lone.name("s1");
  lone.kill("s1");
  lone.unregister(name);
  lone.start("s1");
  lone.run_for(100);
  EXPECT_EQ(lone.serving(), "s1");
  EXPECT_EQ(lone.record().config.era, 2U);
  EXPECT_EQ(lone.applied("s1"), Texts{});
  EXPECT_EQ(lone.violation(), "");
}

TEST_F(ReplicaRecovery, ASnapshotOfTheLostStateIsThrownAway) {
  // s1 comes back, is sent a snapshot by s2, and is not in the set when s2 dies too.
  const MemberName old = cluster.name("s1");
  cluster.kill("s1");
  cluster.kill("s3");
  cluster.unregister(old);
  cluster.run_for(3'000);
  ASSERT_EQ(cluster.serving(), "s2");
  cluster.cut("s1", "zk");
  cluster.start("s1");
  cluster.cut("s2", "zk");  // s1 is not added
  cluster.run_for(50);
  ASSERT_EQ(cluster.applied("s1"), Texts{"before"});
  ASSERT_EQ(cluster.record().config.in_sync.size(), 1U);
  const MemberName last = cluster.name("s2");
  cluster.kill("s2");
  cluster.unregister(last);
  cluster.heal();
  cluster.start("s2");
  cluster.run_for(2'000);
  EXPECT_EQ(cluster.record().config.era, 2U);
  EXPECT_EQ(cluster.applied("s1"), Texts{});
  expect_alive_and_well();
}

TEST(ReplicaLease, IsPutDownBeforeALongerOneMayBeGiven) {
  Cluster cluster = started(2);
  EXPECT_EQ(cluster.record().config.lease_ms_max, 10'000U);
  cluster.want_lease("s1", 40'000);
  cluster.run_for(100);
  EXPECT_EQ(cluster.record().config.lease_ms_max, 40'000U);
  const std::int64_t version = cluster.record().version;
  cluster.want_lease("s1", 20'000);
  cluster.run_for(1'000);
  EXPECT_EQ(cluster.record().version, version) << "shorter ones are within it";
  EXPECT_EQ(cluster.violation(), "");
}

}  // namespace
}  // namespace dlm::server::test
