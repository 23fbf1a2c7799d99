#include "client/cli/text_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schema/limits.h"

namespace dlm::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ShellQuoted, ReadsBackAsTheSameBytes) {
  EXPECT_EQ(shell_quoted("orders/42"), "orders/42");
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("a b"), "'a b'");
  EXPECT_EQ(shell_quoted("it's"), R"('it'\''s')");
  EXPECT_EQ(shell_quoted("$HOME;*"), "'$HOME;*'");
}

TEST(FollowUpCommands, UseHexForWhatCanNotBeTyped) {
  EXPECT_EQ(name_arguments("orders/42"), "orders/42");
  EXPECT_EQ(name_arguments("a b"), "'a b'");
  EXPECT_EQ(name_arguments(std::string_view("\x00\xff", 2)), "--name-hex 00ff");
  EXPECT_EQ(name_arguments(""), "--name-hex ''");
  EXPECT_EQ(name_arguments("-v"), "--name-hex 2d76");
}

TEST(Shown, IsNeverEmptyAndNeverOddBytes) {
  EXPECT_EQ(shown(""), "\"\"");
  EXPECT_EQ(shown("a\x1b[2J"), R"(a\x1b[2J)");
}

TEST(Age, IsInSecondsAndNeverNegative) {
  EXPECT_EQ(age(1'000, 1'250), "250ms");
  EXPECT_EQ(age(1'000, 13'999), "12s");
  EXPECT_EQ(age(2'000, 1'000), "0");
}

TEST(UtcTime, IsIso8601) {
  EXPECT_EQ(utc_time(1'700'000'000'123), "2023-11-14T22:13:20Z");
}

TEST(Table, PadsToTheWidestCellOfEachColumn) {
  Table table({"A", "LONGER", "Z"});
  table.add({"é", "x", "1"});
  table.add({"wide", "y", "2"});
  EXPECT_EQ(table.text("  "),
            "  A     LONGER  Z\n"
            "  é     x       1\n"
            "  wide  y       2\n");
}

TEST(LockText, SaysWhenTheLockIsFree) {
  LockReport lock;
  lock.resource = "a";
  lock.group = GroupId(1);
  EXPECT_EQ(lock_text(lock, 0), "a  (group g1)\n  free: nobody holds it or waits for it\n");
}

TEST(LockText, ShowsHoldersAndWaitersInOrder) {
  LockReport lock;
  lock.resource = "a";
  lock.group = GroupId(1);
  HoldReport hold;
  hold.client_id = "w7";
  hold.owner_tag = "t";
  hold.token = FencingToken(9);
  hold.count = 2;
  hold.since_unix_ms = 1'700'000'000'000;
  hold.left_ms = 12'345;
  lock.holders.push_back(hold);
  WaitReport wait;
  wait.client_id = "w8";
  wait.since_unix_ms = 1'700'000'001'000;
  wait.left_ms = kWaitForeverMs;
  lock.waiters.push_back(wait);
  lock.waiter_count = 2;
  EXPECT_EQ(lock_text(lock, 1'700'000'005'000),
            "a  (group g1)\n"
            "  held by w7 (tag t), exclusive x2\n"
            "    token 9, since 2023-11-14T22:13:20Z (5s), session lease, 12s left\n"
            "  2 waiting:\n"
            "    1. w8, exclusive, since 2023-11-14T22:13:21Z (4s), waits for ever\n"
            "    ... and 1 more\n");
}

TEST(ListLines, AreOneForEachHolder) {
  LockReport lock;
  lock.resource = "a";
  lock.holders.resize(2);
  std::string out;
  append_list_lines(out, lock);
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 2);
}

TEST(WaitingText, SaysWhoHoldsItAndThePlaceInLine) {
  QueuedInfo queued;
  queued.position = 2;
  queued.holder.client_id = "w7";
  queued.holder.since = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'700'000'000'000));
  EXPECT_EQ(waiting_text("a", queued, 1'700'000'003'000),
            "waiting for a: held by w7 since 2023-11-14T22:13:20Z (3s), position 3 in line");
}

TEST(ClusterText, HasNoProblemWithAGroupThatLeftTheRingAndWasStopped) {
  ClusterReport cluster;
  GroupReport gone;
  gone.group = GroupId(2);
  gone.primary = "s4#1";
  gone.in_sync = {"s4#1"};
  gone.problem = "all replicas were lost";
  cluster.groups.push_back(gone);
  RingReport ring;
  EXPECT_THAT(cluster_text(cluster, &ring), HasSubstr("No problems"));
  EXPECT_THAT(cluster_text(cluster), HasSubstr("all replicas were lost"));
  ring.groups.emplace_back().state.group = GroupId(2);
  EXPECT_THAT(cluster_text(cluster, &ring), HasSubstr("all replicas were lost")) << "it is leaving";
}

TEST(ClusterText, NamesMembersThatKeepLessThanTheOthers) {
  ClusterReport cluster;
  GroupReport& group = cluster.groups.emplace_back();
  group.group = GroupId(1);
  group.primary = "s2#1";
  group.members = group.in_sync = {"s1#3", "s2#1", "s3#4"};
  EXPECT_THAT(cluster_text(cluster), AllOf(HasSubstr(" memory\n"), HasSubstr("No problems")));
  group.durable = {"s2#1"};
  EXPECT_THAT(
      cluster_text(cluster),
      AllOf(HasSubstr(" mixed\n"), HasSubstr("g1: s2 on disk, s1 s3 in memory only: give all servers")));
  group.durable = group.members;
  EXPECT_THAT(cluster_text(cluster), AllOf(HasSubstr(" fsync\n"), HasSubstr("No problems")));
}

TEST(ClusterText, NamesTheProblems) {
  ClusterReport cluster;
  cluster.cluster = "c";
  cluster.ring.push_back({GroupId(1), 1, 0.5});
  cluster.ring.push_back({GroupId(2), 1, 0.5});
  GroupReport group;
  group.group = GroupId(1);
  group.primary = "s1#1";
  group.in_sync = {"s1#1"};
  group.problem = "the primary does not answer";
  cluster.groups.push_back(group);
  std::string text = cluster_text(cluster);
  EXPECT_NE(text.find("g1: the primary does not answer"), std::string::npos) << text;
  EXPECT_NE(text.find("g1: s1#1 is in the in-sync set, but not alive"), std::string::npos) << text;
  EXPECT_NE(text.find("g1: if none of these comes back: dlm admin recover g1 says"), std::string::npos)
      << text;
  EXPECT_NE(text.find("g1: only one replica is in sync"), std::string::npos) << text;
  EXPECT_NE(text.find("g2: in the ring, but no server has registered for it"), std::string::npos) << text;
  cluster.groups.front().in_sync = {"s1#1", "s2#1"};
  cluster.groups.front().members = {"s2#1"};
  EXPECT_THAT(cluster_text(cluster), ::testing::Not(HasSubstr("recover")))
      << "with one of them nothing is lost";
}

}  // namespace
}  // namespace dlm::cli
