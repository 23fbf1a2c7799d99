// An operator gives up an in-sync set (dlm admin recover): whoever is named begins empty, whatever it has,
// and whoever was given up joins like any other.
#include <gtest/gtest.h>

#include "coordinator/core/group_config.h"
#include "test/unit/replica/cluster.h"

namespace dlm::server::test {
namespace {

using Texts = std::vector<std::string>;

ReplicaOptions durable() {
  ReplicaOptions options;
  options.durable = true;
  return options;
}

class ReplicaGivingUp : public ::testing::TestWithParam<bool> {
 protected:
  ReplicaGivingUp() : cluster(started(3, GetParam() ? durable() : ReplicaOptions())) {
    EXPECT_TRUE(cluster.append("s1", "before"));
    cluster.run_for(200);
    EXPECT_TRUE(cluster.acknowledged("before"));
  }
  void lose(const std::string& server) {
    const MemberName name = cluster.name(server);
    cluster.kill(server);
    cluster.unregister(name);
  }
  // Out of the others' sight, so that they go on without it.
  void cut_off(const std::string& server) {
    for (const std::string other : {"s1", "s2", "s3"})
      if (other != server) cluster.cut_both(server, other);
    cluster.run_for(3'000);
    ASSERT_FALSE(cluster.record().config.has(cluster.name(server)));
  }
  void append_and_lose(const std::vector<std::string>& servers) {
    ASSERT_TRUE(cluster.append(cluster.serving(), "lost"));
    cluster.run_for(200);
    ASSERT_TRUE(cluster.acknowledged("lost"));
    for (const std::string& server : servers) lose(server);
    cluster.run_for(5'000);
    ASSERT_EQ(cluster.serving(), "");
  }
  void give_up() {
    const GroupConfig before = cluster.record().config;
    ASSERT_EQ(cluster.give_up_the_set(), "");
    cluster.run_for(500);
    const GroupConfig& after = cluster.record().config;
    EXPECT_EQ(after.epoch, before.epoch.next());
    EXPECT_EQ(after.era, before.era + 1);
    EXPECT_TRUE(after.recovering);
  }
  void expect_begun_by(const std::string& server) {
    ASSERT_EQ(cluster.serving(), server);
    EXPECT_EQ(cluster.applied(server), Texts{});
    EXPECT_GE(cluster[server].committed_index().value, std::uint64_t{2} << coordinator::kEraShift);
    ASSERT_TRUE(cluster.append(server, "new"));
    cluster.run_for(500);
    EXPECT_TRUE(cluster.acknowledged("new"));
    EXPECT_EQ(cluster.violation(), "");
  }
  void expect_all_have(const Texts& texts) {
    cluster.run_for(3'000);
    EXPECT_EQ(cluster.record().config.in_sync.size(), 3U);
    for (const std::string server : {"s1", "s2", "s3"}) EXPECT_EQ(cluster.applied(server), texts) << server;
    EXPECT_EQ(cluster.violation(), "");
  }

  Cluster cluster;
};
INSTANTIATE_TEST_SUITE_P(Durability, ReplicaGivingUp, ::testing::Bool(),
                         [](const auto& durable) { return durable.param ? "Fsync" : "Memory"; });

TEST_P(ReplicaGivingUp, IsRefusedWhileAMemberOfTheSetLives) {
  lose("s1");
  EXPECT_NE(cluster.give_up_the_set(), "");
  cluster.run_for(3'000);
  EXPECT_NE(cluster.serving(), "");
  EXPECT_EQ(cluster.record().config.era, 1U);
  EXPECT_EQ(cluster.violation(), "");
}

TEST_P(ReplicaGivingUp, OneFromOutsideBeginsEmptyAndTheGivenUpJoinWithTheirOldStateDiscarded) {
  cut_off("s3");
  append_and_lose({"s1", "s2"});
  EXPECT_EQ(cluster.applied("s3"), Texts{"before"});
  cluster.heal();
  give_up();
  expect_begun_by("s3");
  // With a disk under the names that they had, with the log of the older era on it.
  cluster.start("s1");
  cluster.start("s2");
  expect_all_have({"new"});
  EXPECT_EQ(cluster.record().config.era, 2U);
}

TEST_P(ReplicaGivingUp, OneThatMissedItsRemovalFromTheSetBeginsEmpty) {
  cluster.cut("zk", "s3");
  cut_off("s3");
  append_and_lose({"s1", "s2"});
  // Of several changes it is told the last.
  std::erase_if(cluster.events(), [&](const Event& event) {
    return event.to.server == "s3" && std::holds_alternative<View>(event.what);
  });
  ASSERT_EQ(cluster.give_up_the_set(), "");
  cluster.heal();
  cluster.run_for(500);
  expect_begun_by("s3");
  cluster.start("s1");
  cluster.start("s2");
  expect_all_have({"new"});
}

TEST_P(ReplicaGivingUp, OneThatLedBeforeBeginsEmpty) {
  cluster.cut_both("s1", "zk");  // or it would remove the others
  cut_off("s1");
  append_and_lose({"s2", "s3"});
  cluster.heal();
  give_up();
  expect_begun_by("s1");
  cluster.start("s2");
  cluster.start("s3");
  expect_all_have({"new"});
}

TEST_P(ReplicaGivingUp, OneThatWasJoiningBeginsEmpty) {
  cut_off("s3");
  cluster.heal();
  cluster.cut("s1", "zk");  // s3 is not added
  ASSERT_TRUE(cluster.append("s1", "for the joiner"));
  cluster.run_for(200);
  ASSERT_EQ(cluster.applied("s3"), (Texts{"before", "for the joiner"}));
  ASSERT_FALSE(cluster.record().config.has(cluster.name("s3")));
  lose("s1");
  lose("s2");
  std::erase_if(cluster.events(),
                [](const Event& event) { return std::holds_alternative<Proposal>(event.what); });
  cluster.heal();
  cluster.run_for(500);
  give_up();
  expect_begun_by("s3");
}

TEST_P(ReplicaGivingUp, OneThatComesBackWithNothingJoins) {
  cut_off("s3");
  append_and_lose({"s1", "s2"});
  cluster.heal();
  give_up();
  expect_begun_by("s3");
  for (const std::string server : {"s1", "s2"}) {
    cluster.wipe(server);
    cluster.start(server);
  }
  expect_all_have({"new"});
}

// Its old log lies on its disk until the record of the new beginning is safe.
TEST(ReplicaGivingUpDurably, HoldsWhereverTheOneThatBeginsLosesPower) {
  for (const std::size_t kept : {0, 1, 2, 3}) {
    SCOPED_TRACE(kept);
    Cluster cluster = started(2, durable());
    ASSERT_TRUE(cluster.append("s1", "before"));
    cluster.run_for(200);
    cluster.kill("s2");
    cluster.unregister({"s2", 1});
    cluster.run_for(3'000);
    ASSERT_TRUE(cluster.append("s1", "lost"));
    cluster.run_for(200);
    cluster.kill("s1");
    cluster.unregister({"s1", 1});
    cluster.start("s2");
    cluster.run_for(500);
    ASSERT_EQ(cluster.applied("s2"), Texts{});
    cluster.stall_disk("s2");
    ASSERT_EQ(cluster.give_up_the_set(), "");
    cluster.settle();
    cluster.kill("s2", kept);
    cluster.resume_disk("s2");
    cluster.start("s2");
    cluster.run_for(3'000);
    ASSERT_EQ(cluster.serving(), "s2");
    EXPECT_EQ(cluster.record().config.era, 2U);
    ASSERT_TRUE(cluster.append("s2", "new"));
    cluster.run_for(500);
    EXPECT_EQ(cluster.applied("s2"), Texts{"new"});
    // What it began is on its disk.
    cluster.kill("s2");
    cluster.start("s2");
    cluster.start("s1");
    cluster.run_for(3'000);
    EXPECT_EQ(cluster.applied("s2"), Texts{"new"});
    EXPECT_EQ(cluster.applied("s1"), Texts{"new"});
    EXPECT_EQ(cluster.record().config.era, 2U);
    EXPECT_EQ(cluster.violation(), "");
  }
}

}  // namespace
}  // namespace dlm::server::test
