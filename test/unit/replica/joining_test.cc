// Members outside the set: by log tail, by snapshot, and failing at each step.
#include <gtest/gtest.h>

#include <algorithm>

#include "test/unit/replica/cluster.h"

namespace dlm::server::test {
namespace {

using Texts = std::vector<std::string>;

// A log that keeps a handful of batches, so that a newcomer needs a snapshot.
ReplicaOptions short_log() {
  ReplicaOptions options;
  options.log_bytes_max = 400;
  return options;
}

Texts append_many(Cluster& cluster, const std::string& server, int count, const std::string& prefix) {
  Texts texts;
  for (int i = 0; i < count; ++i) {
    texts.push_back(prefix + std::to_string(i));
    EXPECT_TRUE(cluster.append(server, texts.back()));
    cluster.settle();
    EXPECT_TRUE(cluster.acknowledged(texts.back()));
  }
  return texts;
}

template <class Message>
std::size_t count_to(Cluster& cluster, const std::string& to) {
  std::size_t count = 0;
  for (const Event& event : cluster.events())
    if (std::holds_alternative<Message>(event.what) && event.to.server == to) ++count;
  return count;
}

// Delivers, oldest first, until a message of that kind to `to` is the next.
template <class Message>
void settle_until(Cluster& cluster, const std::string& to) {
  for (int steps = 0; steps < 1'000 && count_to<Message>(cluster, to) == 0; ++steps) {
    if (cluster.events().empty()) {
      cluster.pass(10);
    } else {
      cluster.deliver(0);
    }
  }
}

TEST(ReplicaJoining, NewMemberGetsTheLogAndThenBelongsToTheSet) {
  Cluster cluster = started(2);
  const Texts texts = append_many(cluster, "s1", 20, "a");
  const MemberName third = cluster.start("s3");
  cluster.run_for(300);
  EXPECT_TRUE(cluster.record().config.has(third));
  EXPECT_EQ(cluster.record().config.epoch, Epoch(1));
  EXPECT_EQ(cluster["s3"].role(), Role::backup);
  EXPECT_EQ(cluster.applied("s3"), texts);
  EXPECT_EQ(cluster.snapshots(), 0U);
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, MemberThatWasAwayGetsOnlyWhatItLacks) {
  Cluster cluster = started(3);
  append_many(cluster, "s1", 3, "a");
  cluster.run_for(200);
  cluster.cut_both("s1", "s3");
  cluster.run_for(1'500);
  append_many(cluster, "s1", 3, "b");
  const LogIndex had = cluster["s3"].last_index();
  cluster.heal();
  bool only_the_rest = true;
  for (int i = 0; i < 3'000 && !cluster.record().config.has(cluster.name("s3")); ++i) {
    cluster.pass(1);
    for (const Event& event : cluster.events())
      if (const auto* append = std::get_if<Append>(&event.what); append && append->to == cluster.name("s3"))
        for (const Batch& batch : append->batches) only_the_rest = only_the_rest && batch.index > had;
    cluster.settle();
  }
  EXPECT_TRUE(only_the_rest);
  EXPECT_EQ(cluster.applied("s3"), cluster.applied("s1"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, MemberFarBehindGetsASnapshotWhileBatchesFlow) {
  Cluster cluster = started(2, short_log());
  append_many(cluster, "s1", 30, "a");
  const MemberName third = cluster.start("s3");
  int i = 0;
  for (; i < 200 && !cluster.record().config.has(third); ++i) {
    const std::string text = "b" + std::to_string(i);
    ASSERT_TRUE(cluster.append("s1", text)) << "a snapshot never stalls the group";
    for (int steps = 0; steps < 20 && !cluster.acknowledged(text); ++steps) {
      if (cluster.events().empty()) break;
      cluster.deliver(0);
    }
    ASSERT_TRUE(cluster.acknowledged(text)) << cluster.describe();
    cluster.pass(1);
  }
  cluster.run_for(500);
  EXPECT_EQ(cluster.snapshots(), 1U);
  EXPECT_TRUE(cluster.record().config.has(third));
  EXPECT_EQ(cluster.applied("s3"), cluster.applied("s1"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, SeveralJoinAtOnceOneSnapshotAtATime) {
  Cluster cluster = started(2, short_log());
  append_many(cluster, "s1", 30, "a");
  for (const char* server : {"s3", "s4", "s5"}) cluster.start(server);
  cluster.run_for(1'000);
  EXPECT_EQ(cluster.record().config.in_sync.size(), 5U) << cluster.describe();
  EXPECT_EQ(cluster.snapshots(), 3U);
  for (const char* server : {"s3", "s4", "s5"}) EXPECT_EQ(cluster.applied(server), cluster.applied("s1"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, MemberWhoseNextBatchIsTrimmedAwayGetsAnotherSnapshot) {
  ReplicaOptions options;
  options.log_bytes_max = 1;  // nothing committed is kept
  Cluster cluster = started(2, options);
  append_many(cluster, "s1", 3, "a");
  const std::size_t snapshots_before = cluster.snapshots();
  const MemberName third = cluster.start("s3");
  settle_until<Install>(cluster, "s3");
  ASSERT_TRUE(cluster.append("s1", "b"));
  for (int steps = 0; steps < 100 && !cluster.acknowledged("b"); ++steps) {
    const std::vector<Event>& events = cluster.events();
    const auto next = std::find_if(events.begin(), events.end(), [](const Event& event) {
      return !std::holds_alternative<Install>(event.what);
    });
    ASSERT_NE(next, events.end());
    cluster.deliver(static_cast<std::size_t>(next - events.begin()));
  }
  cluster.run_for(5'000);
  EXPECT_EQ(cluster.snapshots(), snapshots_before + 2);
  EXPECT_TRUE(cluster.record().config.has(third)) << cluster.describe();
  EXPECT_EQ(cluster.applied("s3"), cluster.applied("s1"));
  EXPECT_EQ(cluster.violation(), "");
}

// The state is many times what the log may keep, and grows by a batch with every chunk.
TEST(ReplicaJoining, LargeStateArrivesWhileTheGroupIsBusy) {
  Cluster cluster = started(2, short_log());
  append_many(cluster, "s1", 300, std::string(100, 'a'));
  for (const char* server : {"s3", "s4"}) cluster.start(server);
  for (int batch = 0; batch < 600 && cluster.record().config.in_sync.size() < 4; ++batch) {
    const std::string text = "b" + std::to_string(batch);
    ASSERT_TRUE(cluster.append("s1", text));
    for (int steps = 0; steps < 1'000 && !cluster.acknowledged(text); ++steps)
      cluster.events().empty() ? cluster.pass(10) : cluster.deliver(0);
  }
  EXPECT_EQ(cluster.record().config.in_sync.size(), 4U) << cluster.describe();
  EXPECT_EQ(cluster.snapshots(), 2U);
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, SnapshotWhoseChunkIsLostBeginsAnew) {
  Cluster cluster = started(2, short_log());
  append_many(cluster, "s1", 30, "a");
  cluster.start("s3");
  settle_until<Install>(cluster, "s3");
  ASSERT_EQ(count_to<Install>(cluster, "s3"), 1U);
  for (std::size_t i = 0; i < cluster.events().size(); ++i)
    if (std::holds_alternative<Install>(cluster.events()[i].what)) {
      cluster.drop(i, true);
      break;
    }
  cluster.run_for(1'000);
  EXPECT_EQ(cluster.applied("s3"), cluster.applied("s1"));
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U);
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, RepeatedChunksDoNoHarm) {
  Cluster cluster = started(2, short_log());
  append_many(cluster, "s1", 30, "a");
  cluster.start("s3");
  std::vector<Event> late;
  for (int steps = 0; steps < 2'000; ++steps) {
    if (cluster.events().empty()) {
      cluster.pass(10);
      continue;
    }
    const Event event = cluster.events().front();
    const bool again = std::holds_alternative<Install>(event.what) && late.size() < 50;
    cluster.deliver(0);
    if (again) {
      late.push_back(event);
      cluster.events().insert(cluster.events().begin(), event);  // at once
      cluster.events().push_back(late[late.size() / 2]);         // an older one, later
    }
  }
  cluster.run_for(500);
  EXPECT_EQ(cluster.applied("s3"), cluster.applied("s1"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, RefusedSnapshotIsTriedAgainLater) {
  Cluster cluster = started(2, short_log());
  append_many(cluster, "s1", 30, "a");
  const MemberName third = cluster.start("s3");
  settle_until<Install>(cluster, "s3");
  for (std::size_t i = 0; i < cluster.events().size(); ++i)
    if (auto* install = std::get_if<Install>(&cluster.events()[i].what)) {
      cluster.events().push_back(
          {third, cluster.name("s1"), AppendReply{third, install->epoch, install->round, false, LogIndex()}});
      cluster.events().erase(cluster.events().begin() + static_cast<std::ptrdiff_t>(i));
      break;
    }
  cluster.settle();
  EXPECT_EQ(count_to<Install>(cluster, "s3"), 0U);
  cluster.run_for(2'000);
  EXPECT_TRUE(cluster.record().config.has(third));
  EXPECT_EQ(cluster.applied("s3"), cluster.applied("s1"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, MemberThatDiesBeforeItCountsCostsNothing) {
  Cluster cluster = started(2, short_log());
  append_many(cluster, "s1", 30, "a");
  const MemberName third = cluster.start("s3");
  settle_until<Install>(cluster, "s3");
  cluster.kill("s3");
  append_many(cluster, "s1", 3, "b");
  cluster.unregister(third);
  cluster.start("s3");
  cluster.run_for(1'000);
  EXPECT_EQ(cluster.applied("s3"), cluster.applied("s1"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, CountedMemberIsNeededUntilItsAdditionIsKnownNotToBeInForce) {
  Cluster cluster = started(2);
  cluster.cut("zk", "s1");
  cluster.events().clear();
  const MemberName third = cluster.start("s3");
  // The primary hears of s3, and is then told nothing but the answer to its touch.
  cluster.heal();
  for (int steps = 0; steps < 200 && !cluster.record().config.has(third); ++steps) {
    if (cluster.events().empty()) cluster.pass(10);
    if (!cluster.events().empty()) cluster.deliver(0);
  }
  ASSERT_TRUE(cluster.record().config.has(third)) << "in force, and the primary does not know yet";
  cluster.cut("zk", "s1");
  cluster.kill("s3");
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.run_for(3'000);
  EXPECT_FALSE(cluster.acknowledged("a")) << "s3 might have taken over";
  cluster.heal();
  cluster.run_for(100);
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_FALSE(cluster.record().config.has(third));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, NoBarrierPassesWithoutACountedMemberThatMayHaveTakenOver) {
  Cluster cluster = started(1);
  const MemberName second = cluster.start("s2");
  for (int steps = 0; steps < 200 && !cluster.record().config.has(second); ++steps) {
    if (cluster.events().empty()) cluster.pass(10);
    if (!cluster.events().empty()) cluster.deliver(0);
  }
  cluster.cut("zk", "s1");  // it is not told that s2 belongs to the set now
  cluster.cut_both("s1", "s2");
  cluster.events().push_back({{}, second, LinkDown{cluster.name("s1"), true}});
  cluster.run_for(100);
  ASSERT_EQ(cluster.serving(), "s2");
  ASSERT_TRUE(cluster.append("s2", "b"));
  ASSERT_TRUE(cluster.acknowledged("b"));
  const std::uint64_t barrier = cluster.barrier("s1");
  ASSERT_NE(barrier, 0U);
  cluster.run_for(100);
  EXPECT_FALSE(cluster.passed("s1", barrier));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, AdditionThatWasNotWrittenIsSettledByANewVersion) {
  Cluster cluster = started(2);
  const MemberName third = cluster.start("s3");
  std::size_t at = SIZE_MAX;
  for (int steps = 0; steps < 200 && at == SIZE_MAX; ++steps) {
    if (cluster.events().empty()) cluster.pass(10);
    if (!cluster.events().empty()) cluster.deliver(0);
    for (std::size_t i = 0; i < cluster.events().size(); ++i)
      if (std::holds_alternative<Proposal>(cluster.events()[i].what)) at = i;
  }
  ASSERT_NE(at, SIZE_MAX);
  cluster.events().erase(cluster.events().begin() +
                         static_cast<std::ptrdiff_t>(at));  // the addition never arrives
  cluster.kill("s3");
  cluster.unregister(third);
  cluster.settle();
  const std::int64_t version = cluster.record().version;
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.settle();
  EXPECT_FALSE(cluster.acknowledged("a"));
  cluster.events().push_back({{}, cluster.name("s1"), ProposalResult{false}});
  cluster.run_for(200);
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.record().version, version + 1);
  EXPECT_EQ(cluster.record().config.in_sync.size(), 2U);
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, NobodyIsCountedWhileTheCoordinatorIsAway) {
  Cluster cluster = started(2);
  cluster.run_for(1'500);
  cluster.start("s3");
  for (int steps = 0; steps < 10; ++steps) {  // s1 sees s3, nothing more
    bool found = false;
    for (std::size_t i = 0; i < cluster.events().size() && !found; ++i)
      if (std::holds_alternative<View>(cluster.events()[i].what)) {
        cluster.deliver(i);
        found = true;
      }
  }
  cluster.cut("s1", "zk");
  cluster.run_for(2'000);
  EXPECT_NE(cluster["s1"].describe().find("[s3#1 tailing"), std::string::npos) << cluster["s1"].describe();
  cluster.kill("s3");
  ASSERT_TRUE(cluster.append("s1", "a"));
  cluster.settle();
  EXPECT_TRUE(cluster.acknowledged("a"));
  EXPECT_EQ(cluster.violation(), "");
}

TEST(ReplicaJoining, SlowJoinerHoldsTheLogBackOnlyWithinABound) {
  Cluster cluster = started(2, short_log());
  cluster.start("s3");
  cluster.run_for(300);
  cluster.freeze("s3");
  cluster.run_for(1'500);
  cluster.thaw("s3");
  cluster.cut_both("s1", "s3");
  append_many(cluster, "s1", 200, "a");
  cluster.heal();
  cluster.run_for(3'000);
  EXPECT_EQ(cluster.record().config.in_sync.size(), 3U) << cluster.describe();
  EXPECT_EQ(cluster.snapshots(), 1U);
  EXPECT_EQ(cluster.applied("s3"), cluster.applied("s1"));
  EXPECT_EQ(cluster.violation(), "");
}

}  // namespace
}  // namespace dlm::server::test
