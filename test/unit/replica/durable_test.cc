// Replicas with disks: what counts as had, and what a restart goes on with.
#include <gtest/gtest.h>

#include "test/unit/replica/cluster.h"

namespace dlm::server::test {
namespace {

using Texts = std::vector<std::string>;

ReplicaOptions durable() {
  ReplicaOptions options;
  options.durable = true;
  return options;
}

TEST(ReplicaDurable, CommitsWhatEveryDiskOfTheSetHas) {
  Cluster cluster = started(3, durable());
  for (const std::string slow : {"s1", "s3"}) {  // primary, backup
    SCOPED_TRACE(slow);
    cluster.stall_disk(slow);
    ASSERT_TRUE(cluster.append("s1", "on the disk of " + slow));
    cluster.settle();
    EXPECT_FALSE(cluster.acknowledged("on the disk of " + slow));
    cluster.resume_disk(slow);
    cluster.settle();
    EXPECT_TRUE(cluster.acknowledged("on the disk of " + slow));
  }
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaDurable, ABackupWhoseDiskStandsStillIsRemoved) {
  Cluster cluster = started(3, durable());
  cluster.stall_disk("s3");
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.run_for(3'000);
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_FALSE(cluster.record().config.has(cluster.name("s3")));
  cluster.resume_disk("s3");
  cluster.run_for(3'000);
  EXPECT_TRUE(cluster.record().config.has(cluster.name("s3")));
  EXPECT_EQ(cluster.applied("s3"), (Texts{"a"}));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaDurable, AllGoOnAfterThePowerFailed) {
  Cluster cluster = started(3, durable());
  for (int round = 0; round < 3; ++round) {
    const std::string text = "round " + std::to_string(round);
    ASSERT_TRUE(cluster.append(cluster.serving(), text));
    cluster.settle();
    ASSERT_TRUE(cluster.acknowledged(text));
    const auto set = cluster.record().config.in_sync;
    for (const std::string server : {"s1", "s2", "s3"}) cluster.kill(server);
    cluster.run_for(1'000);
    for (const std::string server : {"s2", "s3", "s1"}) cluster.start(server);
    cluster.run_for(3'000);
    EXPECT_EQ(cluster.record().config.in_sync, set);  // as the members that they were
  }
  EXPECT_EQ(cluster.record().config.era, 1u);
  for (const std::string server : {"s1", "s2", "s3"})
    EXPECT_EQ(cluster.applied(server), (Texts{"round 0", "round 1", "round 2"}));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaDurable, OneWithoutItsDiskIsAnotherMember) {
  Cluster cluster = started(2, durable());
  const MemberName before = cluster.name("s2");
  cluster.kill("s2");
  cluster.wipe("s2");
  cluster.start("s2");
  EXPECT_NE(cluster.name("s2"), before);
  cluster.run_for(3'000);
  EXPECT_TRUE(cluster.record().config.has(cluster.name("s2")));
  EXPECT_EQ(cluster.violation(), "");
}

// The first entries of its epoch reached a backup and not its own disk; in the same epoch it would give
// others under the same index.
TEST(ReplicaDurable, APrimaryThatComesBackLeadsInAnotherEpoch) {
  Cluster cluster = started(2, durable());
  cluster.kill("s1");
  cluster.run_for(3'000);
  ASSERT_EQ(cluster.serving(), "s2");
  cluster.start("s1");
  cluster.run_for(3'000);
  const Epoch epoch = cluster.record().config.epoch;
  for (const std::size_t kept : {0, 1, 2}) {
    SCOPED_TRACE(kept);
    const std::string primary = cluster.serving();
    const std::string other = primary == "s1" ? "s2" : "s1";
    cluster.stall_disk(other);
    cluster.step_down(primary);
    cluster.settle();
    ASSERT_EQ(cluster[other].role(), Role::preparing);
    cluster.kill(other, kept);
    cluster.resume_disk(other);
    cluster.start(other);
    cluster.run_for(3'000);
    ASSERT_FALSE(cluster.serving().empty());
    ASSERT_TRUE(cluster.append(cluster.serving(), "after " + std::to_string(kept)));
    cluster.run_for(500);
    EXPECT_EQ(cluster.applied("s1"), cluster.applied("s2"));
  }
  EXPECT_GT(cluster.record().config.epoch.value, epoch.value + 2);
  EXPECT_EQ(cluster.violation(), "");
}

}  // namespace
}  // namespace dlm::server::test
