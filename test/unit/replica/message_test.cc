// One replica and the messages a peer may send it, well-meant, late or wrong.
#include <gtest/gtest.h>

#include "test/unit/replica/cluster.h"

namespace dlm::server::test {
namespace {

const MemberName kSelf{"s2", 1};
const MemberName kPrimary{"s1", 1};

Batch batch(std::uint64_t index, std::uint64_t epoch, const std::string& text) {
  return {LogIndex(index), Epoch(epoch), std::make_shared<const std::string>(text)};
}

Append message(std::uint64_t epoch, std::uint64_t prev_index, std::uint64_t prev_epoch,
               std::uint64_t committed, std::vector<Batch> batches) {
  static std::uint64_t round = 0;
  return {kSelf,
          Epoch(epoch),
          ++round,
          LogIndex(prev_index),
          Epoch(prev_epoch),
          LogIndex(committed),
          std::move(batches)};
}

class ReplicaMessage : public testing::Test {
 protected:
  ReplicaMessage() : replica_(options()) {
    GroupConfig config;
    config.epoch = Epoch(2);
    config.primary = kPrimary;
    config.in_sync = {kPrimary, kSelf};
    replica_.on_view({1, config}, {kPrimary, kSelf}, 1'000, out_);
    EXPECT_EQ(replica_.role(), Role::backup);
    const AppendReply reply =
        answer(message(2, 0, 0, 2, {batch(1, 1, "a"), batch(2, 2, "b"), batch(3, 2, "c")}));
    EXPECT_TRUE(reply.accepted);
    EXPECT_EQ(reply.last_index, LogIndex(3));
    EXPECT_EQ(replica_.committed_index(), LogIndex(2));
  }

  static ReplicaOptions options() {
    ReplicaOptions options;
    options.group = GroupId(1);
    options.self = kSelf;
    return options;
  }

  AppendReply answer(const Append& append, const MemberName& from = kPrimary) {
    out_.clear();
    replica_.on_append(from, append, 1'001, out_);
    return out_.replies.at(0);
  }

  AppendReply answer(const Install& install, bool damaged = false) {
    out_.clear();
    replica_.on_install(kPrimary, install, damaged, 1'001, out_);
    return out_.replies.at(0);
  }

  Replica replica_;
  ReplicaOutput out_;
};

TEST_F(ReplicaMessage, OfAnOlderEpochIsRefusedWithTheNewerOne) {
  const AppendReply reply = answer(message(1, 3, 2, 3, {}));
  EXPECT_FALSE(reply.accepted);
  EXPECT_EQ(reply.epoch, Epoch(2));
  EXPECT_EQ(replica_.committed_index(), LogIndex(2));
}

TEST_F(ReplicaMessage, ToAnEarlierLifeOrFromAnotherThanThePrimaryIsRefused) {
  Append other = message(2, 3, 2, 3, {});
  other.to = MemberName{"s2", 0};
  EXPECT_FALSE(answer(other).accepted);
  EXPECT_FALSE(answer(message(2, 3, 2, 3, {}), MemberName{"s3", 1}).accepted);
  EXPECT_FALSE(answer(message(3, 3, 2, 3, {}), kSelf).accepted);
  EXPECT_EQ(replica_.epoch(), Epoch(2));
  EXPECT_EQ(replica_.committed_index(), LogIndex(2));
}

TEST_F(ReplicaMessage, OfANewerEpochIsObeyedBeforeTheRecordTellsOfIt) {
  const MemberName third{"s3", 1};
  EXPECT_TRUE(answer(message(3, 3, 2, 3, {batch(4, 3, "d")}), third).accepted);
  EXPECT_EQ(replica_.epoch(), Epoch(3));
  EXPECT_FALSE(answer(message(3, 4, 3, 4, {})).accepted) << "one primary in an epoch";
  EXPECT_FALSE(answer(message(2, 3, 2, 3, {})).accepted);
  out_.clear();
  replica_.tick(60'000, out_);
  EXPECT_FALSE(out_.propose) << "its record is not the one in force";
}

TEST_F(ReplicaMessage, WithAGapIsRefusedWithTheEndOfTheLog) {
  const AppendReply reply = answer(message(2, 7, 2, 3, {}));
  EXPECT_FALSE(reply.accepted);
  EXPECT_EQ(reply.last_index, LogIndex(3));
}

TEST_F(ReplicaMessage, UncommittedEndGivesWayAndCommittedBatchesNever) {
  EXPECT_TRUE(answer(message(3, 2, 2, 2, {batch(3, 3, "x")}), MemberName{"s3", 1}).accepted);
  EXPECT_EQ(replica_.last_index(), LogIndex(3));
  const AppendReply reply = answer(message(4, 1, 1, 2, {batch(2, 4, "y")}), MemberName{"s4", 1});
  EXPECT_FALSE(reply.accepted);
  EXPECT_EQ(reply.last_index, LogIndex());
  EXPECT_EQ(replica_.committed_index(), LogIndex(2));
}

TEST_F(ReplicaMessage, OtherBatchBeforeIsRefusedWithWhatIsCommitted) {
  const AppendReply reply = answer(message(4, 3, 3, 2, {batch(4, 4, "y")}), MemberName{"s3", 1});
  EXPECT_FALSE(reply.accepted);
  EXPECT_EQ(reply.last_index, LogIndex(2));
}

TEST_F(ReplicaMessage, CommitsNoFurtherThanItMatched) {
  EXPECT_TRUE(answer(message(3, 2, 2, 9, {}), MemberName{"s3", 1}).accepted);
  EXPECT_EQ(replica_.committed_index(), LogIndex(2)) << "batch 3 may be another than the new primary's";
}

TEST_F(ReplicaMessage, LateOneTakesNothingBack) {
  EXPECT_TRUE(answer(message(2, 0, 0, 1, {batch(1, 1, "a")})).accepted);
  EXPECT_EQ(replica_.last_index(), LogIndex(3));
  EXPECT_EQ(replica_.committed_index(), LogIndex(2));
  EXPECT_TRUE(out_.apply.empty());
}

TEST_F(ReplicaMessage, ThatContradictsItselfIsRefused) {
  EXPECT_FALSE(answer(message(2, 3, 2, 3, {batch(5, 2, "gap")})).accepted);
  EXPECT_FALSE(answer(message(2, 3, 2, 3, {batch(4, 3, "epoch of the future")})).accepted);
  EXPECT_FALSE(answer(message(2, 3, 2, 3, {batch(4, 1, "epoch of the past")})).accepted);
  EXPECT_FALSE(answer(message(2, 3, 2, 3, {Batch{LogIndex(4), Epoch(2), nullptr}})).accepted);
  EXPECT_FALSE(answer(message(2, UINT64_MAX, 2, 3, {batch(0, 2, "wraps")})).accepted);
  EXPECT_EQ(replica_.last_index(), LogIndex(3));
}

TEST_F(ReplicaMessage, SnapshotReplacesTheStateWithItsLastChunkOnly) {
  Install first{kSelf, Epoch(2), 100, LogIndex(9), Epoch(2), true, false, "1"};
  Install last{kSelf, Epoch(2), 101, LogIndex(9), Epoch(2), false, true, "2"};
  EXPECT_FALSE(replica_.expects_install(kPrimary, last)) << "the first did not come";
  EXPECT_TRUE(answer(first).accepted);
  EXPECT_FALSE(out_.snapshot_installed);
  EXPECT_EQ(replica_.last_index(), LogIndex(3));
  EXPECT_FALSE(replica_.expects_install(kPrimary, first)) << "repeated";
  EXPECT_TRUE(answer(last).accepted);
  EXPECT_TRUE(out_.snapshot_installed);
  EXPECT_EQ(replica_.applied_index(), LogIndex(9));
  EXPECT_EQ(replica_.applied_epoch(), Epoch(2));
  EXPECT_FALSE(answer(last).accepted);
  EXPECT_TRUE(answer(message(2, 9, 2, 10, {batch(10, 2, "d")})).accepted);
  EXPECT_EQ(replica_.committed_index(), LogIndex(10));
}

TEST_F(ReplicaMessage, SnapshotThatIsDamagedOrOlderThanTheStateIsRefused) {
  EXPECT_FALSE(answer(Install{kSelf, Epoch(2), 100, LogIndex(1), Epoch(1), true, true, ""}).accepted);
  EXPECT_FALSE(answer(Install{kSelf, Epoch(2), 101, LogIndex(9), Epoch(2), true, false, "?"}, true).accepted);
  EXPECT_FALSE(replica_.expects_install(
      kPrimary, Install{kSelf, Epoch(2), 102, LogIndex(9), Epoch(2), false, true, ""}));
  EXPECT_EQ(replica_.committed_index(), LogIndex(2));
}

TEST_F(ReplicaMessage, AnswersThatNobodyAskedForAreIgnored) {
  out_.clear();
  for (const std::uint64_t epoch : {0, 1, 2, 9})
    replica_.on_reply({kPrimary, Epoch(epoch), 5, true, LogIndex(99)}, 1'002, out_);
  EXPECT_EQ(replica_.role(), Role::backup);
  EXPECT_EQ(replica_.epoch(), Epoch(2));

  Cluster cluster = started(2);
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.events().clear();
  ReplicaOutput out;
  const MemberName backup = cluster.name("s2");
  cluster["s1"].on_reply({backup, Epoch(1), 1'000'000, true, LogIndex(2)}, cluster.now(), out);
  cluster["s1"].on_reply({backup, Epoch(1), 0, true, LogIndex(2)}, cluster.now(), out);
  cluster["s1"].on_reply({MemberName{"s9", 1}, Epoch(1), 3, true, LogIndex(2)}, cluster.now(), out);
  EXPECT_TRUE(out.apply.empty());
}

TEST(ReplicaMessages, AcceptanceOfAnOlderEpochDoesNotCountInANewerOne) {
  Cluster cluster = started(3);
  ASSERT_TRUE(cluster.step_down("s1"));
  cluster.settle();
  ASSERT_EQ(cluster.serving(), "s2");
  ASSERT_TRUE(cluster.append("s2", "a"));
  std::vector<AppendReply> late;
  for (const Event& event : cluster.events())
    if (const auto* append = std::get_if<Append>(&event.what))
      late.push_back({append->to, Epoch(1), append->round, true, cluster["s2"].last_index()});
  ASSERT_EQ(late.size(), 2U);
  ReplicaOutput out;
  for (const AppendReply& reply : late) cluster["s2"].on_reply(reply, cluster.now(), out);
  EXPECT_TRUE(out.apply.empty()) << "what was acknowledged in it may have been replaced since";
}

}  // namespace
}  // namespace dlm::server::test
