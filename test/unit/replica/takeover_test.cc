// The loss of a primary: who takes over, what survives, and what becomes of the old one.
#include <gtest/gtest.h>

#include "test/unit/replica/cluster.h"

namespace dlm::server::test {
namespace {

using Texts = std::vector<std::string>;

// A message that is under way from one server to another; -1: none.
template <class Message>
std::size_t find_message(Cluster& cluster, const std::string& from, const std::string& to) {
  for (std::size_t i = 0; i < cluster.events().size(); ++i) {
    const Event& event = cluster.events()[i];
    if (std::holds_alternative<Message>(event.what) && event.from.server == from && event.to.server == to)
      return i;
  }
  return SIZE_MAX;
}

TEST(ReplicaTakeover, BackupTakesOverFromASilentPrimaryAndWhatWasAcknowledgedSurvives) {
  Cluster cluster = started(3);
  for (const char* text : {"a", "b"}) {
    ASSERT_TRUE(cluster.append("s1", text));
    cluster.settle();
    ASSERT_TRUE(cluster.acknowledged(text));
  }
  const MemberName old = cluster.name("s1");
  cluster.kill("s1");
  cluster.run_for(1'700);
  EXPECT_EQ(cluster.serving(), "s2");
  EXPECT_EQ(cluster.record().config.epoch, Epoch(2));
  EXPECT_FALSE(cluster.record().config.has(old));
  EXPECT_EQ(cluster.record().config.in_sync.size(), 2U);
  EXPECT_EQ(cluster.applied("s2"), (Texts{"a", "b"}));
  ASSERT_TRUE(cluster.append("s2", "c"));
  cluster.run_for(200);
  EXPECT_TRUE(cluster.acknowledged("c"));
  EXPECT_EQ(cluster.applied("s3"), (Texts{"a", "b", "c"}));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, NobodyWaitsWhenThePrimarysAddressRefusesConnections) {
  Cluster cluster = started(3);
  const MemberName old = cluster.name("s1");
  cluster.kill("s1");
  for (const char* server : {"s2", "s3"})
    cluster.events().push_back({{}, cluster.name(server), LinkDown{old, true}});
  cluster.run_for(50);
  EXPECT_EQ(cluster.serving(), "s2");
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, NobodyWaitsWhenThePrimarysRegistrationEnded) {
  Cluster cluster = started(3);
  const MemberName old = cluster.name("s1");
  cluster.kill("s1");
  cluster.unregister(old);
  cluster.run_for(50);
  EXPECT_EQ(cluster.serving(), "s2");
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, OfTwoCandidatesOneWinsAndTheOtherFollows) {
  Cluster cluster = started(3);
  const MemberName old = cluster.name("s1");
  cluster.kill("s1");
  cluster.unregister(old);
  cluster.cut("s2", "zk");
  cluster.cut("s3", "zk");
  cluster.run_for(100);
  std::size_t proposals = 0;
  for (const Event& event : cluster.events())
    proposals += std::holds_alternative<Proposal>(event.what) ? 1 : 0;
  ASSERT_EQ(proposals, 2U) << "both want to take over";
  cluster.heal();
  std::reverse(cluster.events().begin(), cluster.events().end());
  cluster.run_for(100);
  EXPECT_EQ(cluster.serving(), "s3");
  EXPECT_EQ(cluster["s2"].role(), Role::backup);
  EXPECT_EQ(cluster.record().config.epoch, Epoch(2));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, BatchThatOnlyOneBackupHasIsCommittedByItOrForgottenByAll) {
  for (const char* keeper : {"s2", "s3"}) {
    Cluster cluster = started(3);
    ASSERT_TRUE(cluster.append("s1", "a"));
    cluster.deliver(find_message<Append>(cluster, "s1", keeper));
    const MemberName old = cluster.name("s1");
    cluster.kill("s1");
    cluster.events().clear();
    cluster.unregister(old);
    cluster.run_for(200);
    ASSERT_EQ(cluster.serving(), "s2");
    ASSERT_TRUE(cluster.append("s2", "b"));
    cluster.run_for(200);
    const Texts expected = keeper == std::string("s2") ? Texts{"a", "b"} : Texts{"b"};
    EXPECT_EQ(cluster.applied("s2"), expected);
    EXPECT_EQ(cluster.applied("s3"), expected) << "an uncommitted end gives way to the new primary's log";
    EXPECT_EQ(cluster.violation(), "");
  }
}

TEST(ReplicaTakeover, DeposedPrimaryIsRefusedAndStepsDown) {
  Cluster cluster = started(3);
  cluster.cut("zk", "s1");
  cluster.freeze("s1");
  cluster.run_for(1'700);
  ASSERT_EQ(cluster.serving(), "s2");
  cluster.thaw("s1");
  cluster.events().erase(cluster.events().begin(),
                         cluster.events().end());  // it hears nothing of what happened
  ASSERT_EQ(cluster["s1"].role(), Role::primary);
  ASSERT_TRUE(cluster.append("s1", "lost"));
  cluster.deliver(find_message<Append>(cluster, "s1", "s2"));
  cluster.deliver(find_message<AppendReply>(cluster, "s2", "s1"));
  EXPECT_EQ(cluster["s1"].role(), Role::outsider);
  EXPECT_EQ(cluster["s1"].epoch(), Epoch(2));
  cluster.heal();
  cluster.publish();
  cluster.run_for(2'500);
  EXPECT_FALSE(cluster.acknowledged("lost"));
  EXPECT_EQ(cluster["s1"].role(), Role::backup) << "joined again in the same life";
  EXPECT_EQ(cluster.applied("s1"), Texts());
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, PrimaryStepsDownAtOnceWhenAMessageOfANewerEpochComes) {
  Cluster cluster = started(3);
  cluster.cut("zk", "s1");
  cluster.freeze("s1");
  cluster.run_for(1'700);
  ASSERT_EQ(cluster.serving(), "s2");
  cluster.thaw("s1");
  cluster.cut("s1", "s2");
  cluster.cut("s1", "s3");
  cluster.run_for(150);  // s2 seeks those outside of the set
  EXPECT_EQ(cluster["s1"].role(), Role::outsider);
  EXPECT_FALSE(cluster["s1"].serving());
  EXPECT_EQ(cluster.barrier("s1"), 0U);
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, FrozenPrimaryNeverAcknowledgesAPendingBatchThatNotAllHave) {
  Cluster cluster = started(3);
  ASSERT_TRUE(cluster.append("s1", "a"));
  const std::uint64_t barrier = cluster.barrier("s1");
  cluster.deliver(find_message<Append>(cluster, "s1", "s2"));
  cluster.drop(find_message<Append>(cluster, "s1", "s3"), false);
  cluster.freeze("s1");
  cluster.run_for(2'000);
  ASSERT_EQ(cluster.serving(), "s2");
  ASSERT_TRUE(cluster.append("s2", "b"));
  cluster.settle();
  ASSERT_TRUE(cluster.acknowledged("b"));
  cluster.thaw("s1");
  cluster.run_for(3'000);
  EXPECT_FALSE(cluster.acknowledged("a"));
  EXPECT_FALSE(cluster.passed("s1", barrier));
  EXPECT_EQ(cluster["s1"].role(), Role::backup) << cluster.describe();
  EXPECT_EQ(cluster.applied("s1"), (Texts{"a", "b"}));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, FrozenPrimaryMayLearnLateOfWhatAllHadBeforeTheTakeover) {
  Cluster cluster = started(3);
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.freeze("s1");
  cluster.run_for(2'000);  // both have it, their answers wait
  ASSERT_EQ(cluster.serving(), "s2");
  cluster.thaw("s1");
  cluster.deliver(find_message<AppendReply>(cluster, "s2", "s1"));
  cluster.deliver(find_message<AppendReply>(cluster, "s3", "s1"));
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.applied("s2"), Texts{"a"}) << "it is committed there too, in the same place";
  cluster.run_for(3'000);
  EXPECT_EQ(cluster.applied("s1"), Texts{"a"});
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, BadLinkToOneBackupCostsTheBackupNotThePrimary) {
  Cluster cluster = started(3);
  cluster.cut_both("s1", "s3");
  cluster.run_for(2'000);
  EXPECT_EQ(cluster.serving(), "s1");
  EXPECT_FALSE(cluster.record().config.has(cluster.name("s3")));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, ResumedBackupReadsWhatCameBeforeItSuspectsThePrimary) {
  Cluster cluster = started(3);
  cluster.freeze("s2");
  cluster.run_for(700);
  cluster.thaw("s2");
  cluster.pass(0);
  cluster.run_for(300);
  cluster.freeze("s2");
  cluster.run_for(900);
  cluster.thaw("s2");
  cluster.pass(1);  // its timer is first
  for (const Event& event : cluster.events()) EXPECT_FALSE(std::holds_alternative<Proposal>(event.what));
  cluster.run_for(500);
  EXPECT_EQ(cluster.record().config.epoch, Epoch(1));
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U);
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, LossOfThePreparingPrimaryIsFollowedByTheNext) {
  Cluster cluster = started(3);
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.settle();
  const MemberName first = cluster.name("s1");
  cluster.kill("s1");
  cluster.cut_both("s2", "s3");
  cluster.unregister(first);
  cluster.run_for(100);
  ASSERT_EQ(cluster["s2"].role(), Role::preparing);
  const MemberName second = cluster.name("s2");
  cluster.kill("s2");
  cluster.unregister(second);
  cluster.run_for(100);
  EXPECT_EQ(cluster.serving(), "s3");
  EXPECT_EQ(cluster.record().config.epoch, Epoch(3));
  EXPECT_EQ(cluster.applied("s3"), Texts{"a"});
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, LogsThatDivergedInAFailedTakeoverAreReconciled) {
  Cluster cluster = started(3);
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.deliver(find_message<Append>(cluster, "s1", "s3"));  // only s3 has "a"
  const MemberName first = cluster.name("s1");
  cluster.kill("s1");
  cluster.events().clear();
  cluster.cut_both("s2", "s3");
  cluster.unregister(first);
  cluster.run_for(100);
  ASSERT_EQ(cluster["s2"].role(), Role::preparing);  // "epoch 2" in the place where s3 has "a"
  ASSERT_EQ(cluster["s2"].last_index(), cluster["s3"].last_index());
  cluster.freeze("s2");
  cluster.run_for(1'700);
  ASSERT_EQ(cluster.serving(), "s3") << "took over with the batch that was not committed";
  ASSERT_TRUE(cluster.append("s3", "b"));
  cluster.settle();
  cluster.thaw("s2");
  cluster.heal();
  cluster.run_for(3'000);
  EXPECT_EQ(cluster["s2"].role(), Role::backup) << cluster.describe();
  EXPECT_EQ(cluster.applied("s2"), (Texts{"a", "b"}));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, RemovedBackupThatDoesNotKnowCannotTakeOver) {
  Cluster cluster = started(3);
  cluster.cut("zk", "s3");
  cluster.cut_both("s1", "s3");
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.run_for(2'000);
  ASSERT_TRUE(cluster.acknowledged("a")) << "without s3";
  EXPECT_EQ(cluster.serving(), "s1");
  EXPECT_EQ(cluster.record().config.epoch, Epoch(1)) << "its compare-and-set failed";
  cluster.heal();
  cluster.run_for(2'000);
  EXPECT_EQ(cluster.applied("s3"), Texts{"a"});
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U);
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaTakeover, RestartedMemberIsNeverTakenForItsEarlierLife) {
  Cluster cluster = started(3);
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.run_for(200);
  cluster.cut("zk", "s1");  // the primary does not hear of the restart
  const MemberName old = cluster.name("s2");
  const MemberName again = cluster.start("s2");
  ASSERT_NE(old, again);
  ASSERT_TRUE(cluster.append("s1", "b"));
  cluster.run_for(1'200);
  EXPECT_FALSE(cluster.acknowledged("b"))
      << "the new life answers at the old address, with nothing that counts";
  EXPECT_EQ(cluster["s2"].last_index(), LogIndex());
  EXPECT_FALSE(cluster.record().config.has(old)) << "the old one stays silent";
  cluster.heal();
  cluster.run_for(1'700);
  EXPECT_TRUE(cluster.acknowledged("b"));
  EXPECT_TRUE(cluster.record().config.has(again));
  EXPECT_EQ(cluster.applied("s2"), (Texts{"a", "b"}));
  EXPECT_EQ(cluster.violation(), "");
}

}  // namespace
}  // namespace dlm::server::test
