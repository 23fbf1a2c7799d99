// Operations that a group which is well puts off: they wait alone, and are asked again until their deadlines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core_driver.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PutOff : public ::testing::Test {
 protected:
  PutOff() { d.start(); }

  static Answer refusal(const Operation& op, std::uint32_t retry_ms) {
    Answer answer;
    answer.session = op.session;
    answer.sequence = op.sequence;
    answer.status = Status::unavailable;
    answer.ttl_ms = retry_ms;
    answer.message = "g1 is recovering";
    return answer;
  }
  // Puts off the acquires of a submit, and does the rest.
  void put_off_acquires(const Sent& sent, std::uint32_t retry_ms) {
    auto answers = CoreDriver::answers_to(sent);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const Operation op = sent.operations[i].view();
      if (op.kind == OperationKind::acquire) answers[i] = refusal(op, retry_ms);
    }
    d.core.submitted(sent.call, std::move(answers), d.now);
    d.turn();
  }

  CoreDriver d;
};

TEST_F(PutOff, AnAcquireIsAskedAgainAfterTheTimeThatItsGroupTells) {
  const ConnectionId c = d.client(1, {{GroupId(1), 0, true}});
  d.send(c, {acquire(1, "a")});
  put_off_acquires(d.only_sent(), 40);
  d.pass(39);
  EXPECT_THAT(d.take_sent(), IsEmpty());
  EXPECT_THAT(d.told(), IsEmpty());
  d.pass(1);
  const std::vector<Sent> again = d.take_sent();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(CoreDriver::text(again[0]), "acquire 65536/1");
  d.answer(again[0]);
  d.turn();
  EXPECT_EQ(d.told().size(), 1U);
}

TEST_F(PutOff, ALongTimeIsNotWaitedForAsTheNextPrimaryMayThinkOtherwise) {
  const ConnectionId c = d.client(1, {{GroupId(1), 0, true}});
  d.send(c, {acquire(1, "a")});
  put_off_acquires(d.only_sent(), 3'600'000);
  d.pass(RouterOptions().put_off_max_ms);
  EXPECT_EQ(d.take_sent().size(), 1U);
}

TEST_F(PutOff, OthersOfTheGroupAreNotKeptWaiting) {
  const ConnectionId c = d.client(1, {{GroupId(1), 0, true}});
  d.send(c, {acquire(1, "a")});
  put_off_acquires(d.only_sent(), 10'000);
  d.send(c, {release(2, "b")});
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "release 65536/2");
}

TEST_F(PutOff, ItsDeadlineTellsTheReason) {
  const ConnectionId c = d.client(1, {{GroupId(1), 0, true}});
  d.send(c, {acquire(1, "a", 300)});
  put_off_acquires(d.only_sent(), 10'000);
  for (int i = 0; i < 3; ++i) {
    d.pass(100);
    for (const Sent& sent : d.take_sent()) put_off_acquires(sent, 10'000);
  }
  EXPECT_THAT(d.told(), ElementsAre(HasSubstr("unavailable 1 (g1 is recovering; ")));
}

TEST_F(PutOff, WhatFollowsASessionThatIsPutOffWaitsWithIt) {
  const ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "a")});
  const Sent sent = d.only_sent();
  ASSERT_EQ(CoreDriver::text(sent), "open 65536 client-1, acquire 65536/1");
  Answer unknown;
  unknown.session = sent.operations[1].view().session;
  unknown.sequence = Sequence(1);
  unknown.status = Status::session_unknown;
  d.core.submitted(sent.call, {refusal(sent.operations[0].view(), 10), unknown}, d.now);
  d.turn();
  EXPECT_THAT(d.take_sent(), IsEmpty());
  EXPECT_THAT(d.told(), IsEmpty());
  d.pass(10);
  const std::vector<Sent> again = d.take_sent();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(CoreDriver::text(again[0]), "open 65536 client-1, acquire 65536/1");
}

TEST_F(PutOff, WhatWasSentInASessionThatEndedSinceIsNotDoneUnderTheNext) {
  // The client has taken it as over with its session, and nothing would give the grant back.
  const ConnectionId c = d.client(1, {{GroupId(1), 0, true}});
  d.send(c, {acquire(1, "a")});
  put_off_acquires(d.only_sent(), 10);
  d.core.heartbeat(c, 1, std::vector<GroupListing>{{GroupId(1), 1, false}}, d.now);
  d.send(c, {acquire(2, "b")});
  const Sent next = d.only_sent();
  EXPECT_EQ(CoreDriver::text(next), "open 65537 client-1, acquire 65537/2");
  d.answer(next);
  d.pass(10);
  const std::vector<Sent> again = d.take_sent();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(CoreDriver::text(again[0]), "acquire 65536/1");
}

TEST_F(PutOff, AGroupThatLostAllItsReplicasNamesWhoMustComeBack) {
  const ConnectionId c = d.client(1, {{GroupId(1), 0, true}});
  d.view.servers.erase("s1");
  d.publish();
  d.down("s1#1", true, "connection refused");
  d.send(c, {acquire(1, "a", 200)});
  Query status;
  d.core.query(c, 7, 0, status, d.now);
  d.turn();
  d.pass(RouterOptions().status_patience_ms);
  EXPECT_THAT(d.told(), ElementsAre(HasSubstr("all replicas were lost (s1#1), s1 must come back")));
  ASSERT_EQ(d.reports.size(), 1U);
  const auto& cluster = std::get<ClusterReport>(d.reports[0].report.content);
  EXPECT_EQ(cluster.groups[0].problem, "all replicas were lost (s1#1), s1 must come back");
}

}  // namespace
}  // namespace dlm::router
