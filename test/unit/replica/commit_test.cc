// A group in order: batches, commits, barriers, the loss of a backup, giving the primary's place away.
#include <gtest/gtest.h>

#include "test/unit/replica/cluster.h"

namespace dlm::server::test {
namespace {

using Texts = std::vector<std::string>;

TEST(ReplicaCommit, FirstLiveMemberCreatesTheRecordAndServesAlone) {
  Cluster cluster;
  cluster.start("s1");
  cluster.run_for(100);
  EXPECT_EQ(cluster.serving(), "s1");
  EXPECT_EQ(cluster.record().config.epoch, Epoch(1));
  EXPECT_EQ(cluster.record().config.in_sync, std::vector<MemberName>{cluster.name("s1")});
  EXPECT_TRUE(cluster.append("s1", "a"));
  EXPECT_TRUE(cluster.acknowledged("a")) << "a batch commits at once in a set of one";
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, MembersThatStartTogetherAgreeOnOneRecord) {
  Cluster cluster;
  for (const char* server : {"s1", "s2", "s3"}) cluster.start(server);
  cluster.run_for(500);
  EXPECT_NE(cluster.serving(), "");
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U) << cluster.describe();
  EXPECT_EQ(cluster.record().config.epoch, Epoch(1));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, RacingCreatorsGetOneRecordByCompareAndSet) {
  Cluster cluster;
  for (const char* server : {"s1", "s2", "s3"}) cluster.start(server);
  for (const char* server : {"s1", "s2", "s3"}) cluster.cut(server, "zk");
  cluster.run_for(100);
  EXPECT_EQ(cluster.events().size(), 6U) << "each has proposed and touched, none has seen another's success";
  cluster.heal();
  cluster.run_for(500);
  EXPECT_EQ(cluster.record().config.epoch, Epoch(1));
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U);
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, BatchCommitsWhenAllOfTheSetHaveIt) {
  Cluster cluster = started(3);
  ASSERT_EQ(cluster.serving(), "s1");
  ASSERT_TRUE(cluster.append("s1", "a"));
  EXPECT_FALSE(cluster.acknowledged("a"));
  ASSERT_EQ(cluster.events().size(), 2U) << "to both backups at once";
  cluster.deliver(0);
  cluster.deliver(0);
  ASSERT_EQ(cluster.events().size(), 2U);
  cluster.deliver(0);
  EXPECT_FALSE(cluster.acknowledged("a")) << "one backup has not acknowledged";
  cluster.deliver(0);
  EXPECT_TRUE(cluster.acknowledged("a"));
  cluster.run_for(200);
  EXPECT_EQ(cluster.applied("s2"), Texts{"a"});
  EXPECT_EQ(cluster.applied("s3"), Texts{"a"});
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, WhileABatchIsOutTheNextOneCollects) {
  Cluster cluster = started(2);
  ASSERT_TRUE(cluster.append("s1", "a"));
  EXPECT_FALSE(cluster["s1"].can_append());
  EXPECT_FALSE(cluster.append("s1", "b"));
  cluster.settle();
  EXPECT_TRUE(cluster["s1"].can_append());
  EXPECT_TRUE(cluster.append("s1", "b c d"));
  cluster.settle();
  EXPECT_TRUE(cluster.acknowledged("b c d"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, BackupThatIsSilentIsRemovedFirstAndThenTheBatchCommits) {
  Cluster cluster = started(3);
  cluster.freeze("s3");
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.run_for(900);
  EXPECT_FALSE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U);
  cluster.run_for(200);
  EXPECT_EQ(cluster.record().config.in_sync.size(), 2U);
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.serving(), "s1");
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, NothingCommitsWithoutALostBackupUntilItsRemovalIsKnown) {
  Cluster cluster = started(3);
  cluster.kill("s3");
  cluster.cut("zk", "s1");
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.run_for(3'000);
  EXPECT_EQ(cluster.record().config.in_sync.size(), 2U) << "it is in force, but the primary was not told";
  EXPECT_FALSE(cluster.acknowledged("a"));
  cluster.heal();
  cluster.settle();
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, RemovalIsTriedAgainAfterTheCoordinatorWasAway) {
  Cluster cluster = started(3);
  cluster.cut("s1", "zk");
  cluster.kill("s3");
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.settle();
  // The coordinator's client finds that nothing was written, and says so twice.
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(cluster.events().size(), 1U);
    cluster.events().clear();
    cluster.events().push_back({{}, cluster.name("s1"), ProposalResult{false}});
    cluster.settle();
    EXPECT_TRUE(cluster.events().empty()) << "not at once";
    cluster.run_for(150);
  }
  EXPECT_FALSE(cluster.acknowledged("a"));
  cluster.heal();
  cluster.settle();
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, OutcomeOfAProposalMayShowInTheViewOrInTheReportFirst) {
  for (const bool view_first : {true, false}) {
    Cluster cluster = started(3);
    cluster.cut("zk", "s1");
    cluster.kill("s3");
    ASSERT_TRUE(cluster.append("s1", "a"));
    cluster.settle();
    ASSERT_EQ(cluster.events().size(), 2U) << "the view and the report";
    if (!view_first) std::swap(cluster.events()[0], cluster.events()[1]);
    cluster.heal();
    cluster.deliver(0);
    EXPECT_EQ(cluster.acknowledged("a"), view_first);
    cluster.settle();
    EXPECT_TRUE(cluster.acknowledged("a"));
    EXPECT_EQ(cluster.violation(), "");
  }
}

TEST(ReplicaCommit, BackupWhoseProcessDiedIsRemovedWithoutATimeout) {
  Cluster cluster = started(3);
  cluster.kill("s3");
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.settle();
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.record().config.in_sync.size(), 2U);
  EXPECT_EQ(cluster.record().config.epoch, Epoch(1)) << "the epoch belongs to the primary";
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, BackupWhoseRegistrationEndedIsRemoved) {
  Cluster cluster = started(3);
  cluster.unregister(cluster.name("s2"));
  cluster.settle();
  EXPECT_EQ(cluster.record().config.in_sync.size(), 2U);
  EXPECT_FALSE(cluster.record().config.has(cluster.name("s2")));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, MessageLostWithItsConnectionIsSentAgain) {
  Cluster cluster = started(3);
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.drop(0, true);
  cluster.run_for(50);
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U) << "a new connection is not a lost member";
  ASSERT_TRUE(cluster.append("s1", "b"));
  cluster.deliver(0);
  cluster.drop(1, true);  // the answer
  cluster.run_for(50);
  EXPECT_TRUE(cluster.acknowledged("b"));
  EXPECT_EQ(cluster.applied("s1"), (Texts{"a", "b"}));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, RepeatedAndLateMessagesDoNoHarm) {
  Cluster cluster = started(3);
  std::vector<Event> late;
  for (const char* text : {"a", "b", "c"}) {
    ASSERT_TRUE(cluster.append("s1", text));
    late.insert(late.end(), cluster.events().begin(), cluster.events().end());
    cluster.events().insert(cluster.events().end(), late.begin(), late.end());
    cluster.settle();
    EXPECT_TRUE(cluster.acknowledged(text));
  }
  std::reverse(late.begin(), late.end());
  cluster.events() = late;
  cluster.run_for(500);
  EXPECT_EQ(cluster.applied("s2"), (Texts{"a", "b", "c"}));
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U);
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, IdleBackupsLearnOfCommitsAndStayQuiet) {
  Cluster cluster = started(3);
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.run_for(5'000);
  EXPECT_EQ(cluster.applied("s2"), Texts{"a"});
  EXPECT_EQ(cluster.record().config.epoch, Epoch(1)) << "pings keep everybody content";
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaCommit, GroupWithAnIntactSetServesWithoutTheCoordinator) {
  Cluster cluster = started(2);
  for (const char* server : {"s1", "s2"}) cluster.cut_both(server, "zk");
  cluster.run_for(20'000);
  EXPECT_EQ(cluster.serving(), "s1");
  EXPECT_TRUE(cluster.append("s1", "a"));
  cluster.settle();
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.violation(), "");
}

// --- barriers --------------------------------------------------------------------------------------------

TEST(ReplicaBarrier, PassesWhenAllOfTheSetAnsweredAPing) {
  Cluster cluster = started(3);
  const std::uint64_t barrier = cluster.barrier("s1");
  ASSERT_NE(barrier, 0U);
  ASSERT_EQ(cluster.events().size(), 2U) << "a ping leaves at once";
  cluster.deliver(0);
  cluster.deliver(0);
  cluster.deliver(0);
  EXPECT_FALSE(cluster.passed("s1", barrier));
  cluster.deliver(0);
  EXPECT_TRUE(cluster.passed("s1", barrier));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaBarrier, IsNotPassedByTheAnswerToAnOlderMessage) {
  Cluster cluster = started(2);
  ASSERT_TRUE(cluster.append("s1", "a"));
  const std::uint64_t barrier = cluster.barrier("s1");
  ASSERT_EQ(cluster.events().size(), 1U) << "one message is out per member";
  cluster.deliver(0);
  cluster.deliver(0);
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_FALSE(cluster.passed("s1", barrier));
  ASSERT_EQ(cluster.events().size(), 1U) << "the next one leaves at once";
  cluster.settle();
  EXPECT_TRUE(cluster.passed("s1", barrier));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaBarrier, RidesOnTheBatchOfTheSameTurn) {
  Cluster cluster = started(2);
  Replica& primary = cluster["s1"];
  ReplicaOutput out;
  LogIndex index;
  const std::uint64_t first = primary.barrier(cluster.now(), out);
  ASSERT_TRUE(primary.append("a", cluster.now(), index, out));
  const std::uint64_t second = primary.barrier(cluster.now(), out);
  ASSERT_EQ(out.appends.size(), 1U);
  ASSERT_EQ(out.appends[0].batches.size(), 1U) << "the ping has not left yet and takes the batch along";
  AppendReply reply{cluster.name("s2"), Epoch(1), out.appends[0].round, true, index};
  ReplicaOutput next;
  primary.on_reply(reply, cluster.now(), next);
  EXPECT_GT(second, first);
  EXPECT_EQ(next.barrier_passed, second);
  ASSERT_EQ(next.apply.size(), 1U);
  EXPECT_TRUE(next.appends.empty());
}

TEST(ReplicaBarrier, OfADeposedPrimaryNeverPasses) {
  Cluster cluster = started(3);
  cluster.cut_both("s1", "s2");
  cluster.cut_both("s1", "s3");
  cluster.cut_both("s1", "zk");
  cluster.run_for(1'500);
  ASSERT_EQ(cluster.serving(), "s2");
  ASSERT_TRUE(cluster.append("s2", "b"));
  const std::uint64_t barrier = cluster.barrier("s1");
  ASSERT_NE(barrier, 0U) << "it does not know yet";
  cluster.heal();
  cluster.run_for(3'000);
  EXPECT_FALSE(cluster.passed("s1", barrier));
  EXPECT_NE(cluster["s1"].role(), Role::primary);
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaBarrier, IsRefusedByWhoDoesNotServe) {
  Cluster cluster = started(2);
  EXPECT_EQ(cluster.barrier("s2"), 0U);
  EXPECT_FALSE(cluster.append("s2", "a"));
}

TEST(ReplicaBarrier, AnyNumberWaitForASlowMemberInBoundedMemory) {
  Cluster cluster = started(3);
  cluster.freeze("s3");
  std::uint64_t last = 0;
  for (int i = 0; i < 10'000; ++i) {
    last = cluster.barrier("s1");
    cluster.settle();
  }
  EXPECT_FALSE(cluster.passed("s1", last));
  cluster.thaw("s3");
  cluster.settle();
  EXPECT_TRUE(cluster.passed("s1", last));
  EXPECT_EQ(cluster.violation(), "");
}

// --- giving the place away -------------------------------------------------------------------------------

TEST(ReplicaStepDown, AnUpToDateBackupGetsThePlaceAndTheOldPrimaryStaysInTheSet) {
  Cluster cluster = started(3);
  ASSERT_TRUE(cluster.append("s1", "a"));
  ASSERT_TRUE(cluster.step_down("s1"));
  EXPECT_FALSE(cluster["s1"].can_append());
  cluster.settle();
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.serving(), "s2");
  EXPECT_EQ(cluster["s1"].role(), Role::backup);
  EXPECT_EQ(cluster.record().config.epoch, Epoch(2));
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U);
  ASSERT_TRUE(cluster.append("s2", "b"));
  cluster.run_for(200);
  EXPECT_EQ(cluster.applied("s1"), (Texts{"a", "b"}));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaStepDown, AServerThatIsAboutToEndLeavesTheSetInTheSameStep) {
  Cluster cluster = started(3);
  const std::int64_t version = cluster.record().version;
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.settle();
  cluster.cut_both("s1", "s2");  // so that it does not join anew
  ASSERT_TRUE(cluster.step_down("s1", StepDown::leave_set));
  cluster.settle();
  EXPECT_EQ(cluster.record().version, version + 1) << "nobody has to remove it";
  EXPECT_FALSE(cluster.record().config.has(cluster.name("s1")));
  EXPECT_EQ(cluster.serving(), "s2");
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaStepDown, NobodyToGiveItToIsRefused) {
  Cluster cluster = started(1);
  EXPECT_FALSE(cluster.step_down("s1"));
  EXPECT_EQ(cluster.serving(), "s1");
}

TEST(ReplicaStepDown, GoesOnServingWhenTheSuccessorDiesOrTheCoordinatorIsAway) {
  Cluster cluster = started(2);
  cluster.cut_both("s1", "zk");
  ASSERT_TRUE(cluster.step_down("s1"));
  cluster.run_for(1'200);
  EXPECT_TRUE(cluster["s1"].can_append());
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.settle();
  EXPECT_TRUE(cluster.acknowledged("a"));

  Cluster other = started(2);
  ASSERT_TRUE(other.step_down("s1"));
  other.kill("s2");
  other.run_for(500);
  EXPECT_NE(other.serving(), "s2");
  EXPECT_EQ(cluster.violation() + other.violation(), "");
}

}  // namespace
}  // namespace dlm::server::test
