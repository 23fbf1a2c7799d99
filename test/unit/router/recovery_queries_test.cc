// An operator's question about a group that can't recover on its own, and its being begun anew.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core_driver.h"

namespace dlm::router {
namespace {

using coordinator::WriteResult;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RecoveryQuery : public ::testing::Test {
 protected:
  // g1 had s1#1 and s9#4 in sync; only s2#1, from outside the set, is there.
  RecoveryQuery() {
    d.start(1);
    c = d.client(1);
    coordinator::VersionedConfig& record = d.view.groups.at(GroupId(1));
    record.version = 7;
    record.config.in_sync.push_back({"s9", 4});
    record.config.lease_ms_max = 20'000;
    d.view.servers.erase("s1");
    d.view.servers["s2"] = {{"s2", 1}, "host:2", {GroupId(1)}};
    d.publish();
    d.turn();
  }
  void ask(std::uint64_t expected_version = 0, unsigned group = 1) {
    Query query;
    query.kind = Query::Kind::recover;
    query.group = GroupId(group);
    query.expected_version = expected_version;
    d.core.query(c, ++asked, 0, std::move(query), d.now);
    d.turn();
  }
  QueryReport answer() {
    EXPECT_EQ(d.reports.size(), 1U);
    QueryReport report = d.reports.empty() ? QueryReport() : d.reports.back().report;
    d.reports.clear();
    return report;
  }
  RecoveryReport report() {
    QueryReport answered = answer();
    EXPECT_EQ(answered.status, Status::ok) << answered.message;
    EXPECT_TRUE(std::holds_alternative<RecoveryReport>(answered.content));
    return std::get<RecoveryReport>(answered.content);
  }
  std::string refusal(Status status = Status::invalid_argument) {
    QueryReport answered = answer();
    EXPECT_EQ(answered.status, status);
    return answered.message;
  }
  void live(const std::string& server, std::uint64_t incarnation) {
    d.view.servers[server] = {{server, incarnation}, "host:1", {GroupId(1)}};
    d.publish();
  }

  CoreDriver d;
  ConnectionId c;
  std::uint64_t asked = 0;
};

TEST_F(RecoveryQuery, LooksWithoutWriting) {
  ask();
  const RecoveryReport told = report();
  EXPECT_EQ(told.group, GroupId(1));
  EXPECT_EQ(told.version, 7U);
  EXPECT_EQ(told.epoch, Epoch(1));
  EXPECT_EQ(told.era, 1U);
  EXPECT_THAT(told.lost, ElementsAre("s1#1", "s9#4"));
  EXPECT_THAT(told.in_sync_alive, IsEmpty());
  EXPECT_THAT(told.members, ElementsAre("s2#1"));
  EXPECT_EQ(told.lease_ms_max, 20'000U);
  EXPECT_EQ(told.successor, "s2#1");
  EXPECT_EQ(told.first_token.value, std::uint64_t{2} << 40);
  EXPECT_EQ(told.refusal, "");
  EXPECT_FALSE(told.begun);
  EXPECT_THAT(d.group_writes, IsEmpty());
}

TEST_F(RecoveryQuery, WritesTheRecordOnceAndTellsThatItIsDone) {
  ask(7);
  ASSERT_EQ(d.group_writes.size(), 1U);
  const GroupWrite write = d.group_writes[0];
  EXPECT_EQ(write.group, GroupId(1));
  EXPECT_EQ(write.record.version, 7) << "what it is compared with";
  EXPECT_EQ(write.record.config.epoch, Epoch(2));
  EXPECT_EQ(write.record.config.era, 2U);
  EXPECT_EQ(to_string(write.record.config.primary), "s2#1");
  EXPECT_TRUE(write.record.config.recovering);
  d.pass(100);
  EXPECT_THAT(d.reports, IsEmpty());
  d.core.group_written(write.call, WriteResult::accepted);
  d.turn();
  EXPECT_TRUE(report().begun);
  d.core.group_written(write.call, WriteResult::accepted);
  d.pass(6'000);
  EXPECT_THAT(d.reports, IsEmpty());
  EXPECT_EQ(d.group_writes.size(), 1U);
  EXPECT_EQ(d.core.stats().queries, 0U);
}

TEST_F(RecoveryQuery, IsRefusedWhileAMemberInSyncLivesWhateverWasTrueWhenItWasLookedAt) {
  ask();
  EXPECT_EQ(report().refusal, "");
  live("s9", 4);
  ask(7);
  EXPECT_THAT(refusal(), HasSubstr("s9#4 is in sync and lives: nothing is lost"));
  ask();
  const RecoveryReport told = report();
  EXPECT_THAT(told.refusal, HasSubstr("s9#4 is in sync and lives"));
  EXPECT_THAT(told.in_sync_alive, ElementsAre("s9#4"));
  EXPECT_EQ(told.successor, "");
  live("s9", 5);
  ask(7);
  EXPECT_EQ(d.group_writes.size(), 1U) << "another life of it has nothing";
}

TEST_F(RecoveryQuery, IsRefusedWhenTheRecordIsNotTheOneThatWasLookedAt) {
  ask(6);
  EXPECT_THAT(refusal(), HasSubstr("the record of g1 has version 7 by now, not 6"));
  for (std::uint64_t version : {0U, 7U}) {
    ask(version, 5);
    EXPECT_EQ(refusal(), "there is no group g5");
  }
  EXPECT_THAT(d.group_writes, IsEmpty());
}

TEST_F(RecoveryQuery, AWriteThatFailsIsToldAndNotRepeated) {
  struct Case {
    WriteResult result;
    Status status;
    const char* message;
  };
  const Case cases[] = {
      {WriteResult::conflict, Status::invalid_argument, "somebody else changed the record of g1 meanwhile"},
      {WriteResult::unavailable, Status::unavailable, "nothing was done"},
      {WriteResult::unknown, Status::unavailable, "whether g1 was begun anew is not known"},
  };
  for (const Case& each : cases) {
    d.group_writes.clear();
    ask(7);
    ASSERT_EQ(d.group_writes.size(), 1U);
    d.core.group_written(d.group_writes[0].call, each.result);
    d.pass(100);
    EXPECT_THAT(refusal(each.status), HasSubstr(each.message));
    EXPECT_EQ(d.group_writes.size(), 1U);
  }
}

TEST_F(RecoveryQuery, AWriteThatIsNeverAnsweredEndsAtTheDeadlineAsUnknown) {
  ask(7);
  d.pass(RouterOptions().query_timeout_ms);
  EXPECT_THAT(refusal(Status::unavailable), HasSubstr("whether g1 was begun anew is not known"));
  d.core.group_written(d.group_writes.at(0).call, WriteResult::accepted);
  d.pass(100);
  EXPECT_THAT(d.reports, IsEmpty());
}

TEST_F(RecoveryQuery, WhoWentAwayIsNotAnswered) {
  ask(7);
  d.core.disconnect(c);
  d.core.group_written(d.group_writes.at(0).call, WriteResult::accepted);
  d.pass(6'000);
  EXPECT_THAT(d.reports, IsEmpty());
}

}  // namespace
}  // namespace dlm::router
