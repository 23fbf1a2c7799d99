// Where operations go, what leaves together, what is refused at the door.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core_driver.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Routing, AnOperationGoesToTheGroupOfItsResource) {
  CoreDriver d;
  d.start(2);
  ConnectionId c = d.client(1);
  const std::string in1 = d.name_in(1);
  const std::string in2 = d.name_in(2);
  d.send(c, {acquire(1, in1), acquire(2, in2)});
  d.turn();
  auto sent = d.take_sent();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].group, GroupId(1));
  EXPECT_EQ(sent[0].server, d.servers["s1#1"]);
  EXPECT_EQ(CoreDriver::text(sent[0]), "open 65536 client-1, acquire 65536/1");
  EXPECT_EQ(sent[1].group, GroupId(2));
  EXPECT_EQ(CoreDriver::text(sent[1]), "open 65536 client-1, acquire 65536/2");
  EXPECT_EQ(sent[1].operations[1].view().resource, in2);
}

TEST(Routing, EverythingOfATurnLeavesInOneSubmitPerGroup) {
  CoreDriver d;
  d.start();
  ConnectionId a = d.client(1);
  ConnectionId b = d.client(2);
  d.send(a, {acquire(1, "x"), acquire(2, "y")});
  d.send(b, {acquire(1, "z")});
  Sent first = d.only_sent();
  EXPECT_EQ(CoreDriver::text(first),
            "open 65536 client-1, acquire 65536/1, acquire 65536/2, open 131072 client-2, acquire 131072/1");
  // While it is out, the next one collects.
  d.send(a, {release(3, "x")});
  d.turn();
  d.send(b, {release(2, "z")});
  d.turn();
  EXPECT_THAT(d.sent, IsEmpty());
  d.answer(first);
  Sent second = d.only_sent();
  EXPECT_EQ(CoreDriver::text(second), "release 65536/3, release 131072/2");
  EXPECT_THAT(d.told(), ElementsAre("c1: opened g1/0 ttl 10000 cause 1, ok 1 token 101, ok 2 token 102",
                                    "c2: opened g1/0 ttl 10000 cause 1, ok 1 token 101"));
}

TEST(Routing, TwoCallsMayBeOutWhenTheOptionSaysSo) {
  RouterOptions options;
  options.calls_per_group_max = 2;
  CoreDriver d(options);
  d.start();
  ConnectionId c = d.client(1);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    d.send(c, {acquire(i, "x")});
    d.turn();
  }
  EXPECT_EQ(d.sent.size(), 2U);
}

TEST(Routing, ASubmitIsBoundedAndTheRestFollowsInOrder) {
  RouterOptions options;
  options.submit_operations_max = 3;
  CoreDriver d(options);
  d.start();
  ConnectionId c = d.client(1, {{GroupId(1), 0, true}});
  std::vector<Operation> many;
  for (std::uint64_t i = 1; i <= 5; ++i) many.push_back(acquire(i, "x"));
  d.send(c, many);
  Sent first = d.only_sent();
  EXPECT_EQ(CoreDriver::text(first), "acquire 65536/1, acquire 65536/2, acquire 65536/3");
  d.answer(first);
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 65536/4, acquire 65536/5");
}

TEST(Routing, CarriesWhatTheClientAcknowledged) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(9, "x")}, 7);
  Sent sent = d.only_sent();
  EXPECT_EQ(sent.operations[0].view().acked_below, Sequence(7));
  EXPECT_EQ(sent.operations[1].view().acked_below, Sequence(7));
}

TEST(Routing, AnswersMayComeInAnyOrder) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "x"), acquire(2, "y"), acquire(3, "z")});
  Sent sent = d.only_sent();
  auto answers = CoreDriver::answers_to(sent);
  std::reverse(answers.begin(), answers.end());
  d.core.submitted(sent.call, std::move(answers), d.now);
  d.turn();
  EXPECT_THAT(
      d.told(),
      ElementsAre("c1: opened g1/0 ttl 10000 cause 1, ok 3 token 103, ok 2 token 102, ok 1 token 101"));
  EXPECT_EQ(d.core.stats().pending, 0U);
}

TEST(Routing, AnOperationThatGetsNoAnswerIsSentAgain) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "x"), acquire(2, "y")});
  Sent sent = d.only_sent();
  auto answers = CoreDriver::answers_to(sent);
  answers.pop_back();
  d.core.submitted(sent.call, std::move(answers), d.now);
  d.pass(100);
  ASSERT_EQ(d.sent.size(), 1U);
  EXPECT_EQ(CoreDriver::text(d.sent[0]), "acquire 65536/2");
}

TEST(Routing, AnswersThatNobodyWaitsForAreIgnored) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "x")});
  Sent sent = d.only_sent();
  auto answers = CoreDriver::answers_to(sent);
  Answer stray = answers[1];
  stray.sequence = Sequence(99);
  answers.push_back(stray);
  stray.session = SessionId(99 << 16);
  answers.push_back(stray);
  stray.sequence = Sequence();
  answers.push_back(stray);
  answers.push_back(answers[1]);
  d.core.submitted(sent.call, std::move(answers), d.now);
  d.core.submitted(sent.call, CoreDriver::answers_to(sent), d.now);
  d.core.submitted(CallId(12345), {}, d.now);
  d.core.submitted(CallId(12345 << 16), {}, d.now);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: opened g1/0 ttl 10000 cause 1, ok 1 token 101"));
}

TEST(Routing, ARepeatOfAnUnansweredOperationChangesNothing) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "x"), acquire(1, "x")});
  Sent sent = d.only_sent();
  d.send(c, {acquire(1, "x")});
  EXPECT_EQ(CoreDriver::text(sent), "open 65536 client-1, acquire 65536/1");
  d.answer(sent);
  d.turn();
  EXPECT_THAT(d.sent, IsEmpty());
  EXPECT_THAT(d.told(), ElementsAre("c1: opened g1/0 ttl 10000 cause 1, ok 1 token 101"));
}

TEST(Door, RefusesWhatIsOutsideOfTheLimitsWithTheLimitInTheMessage) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  const std::string long_name(kResourceBytesMax + 1, 'n');
  const std::string longest_name(kResourceBytesMax, 'n');
  const std::string long_tag(kOwnerTagBytesMax + 1, 't');
  Operation tagged = acquire(3, "x");
  tagged.owner_tag = long_tag;
  Operation other = release(4, "x");
  other.client_id = long_tag;
  Operation heartbeat = acquire(5, "x");
  heartbeat.kind = OperationKind::heartbeat;
  Operation internal = acquire(6, "x");
  internal.kind = OperationKind::start_epoch;
  Operation unknown = acquire(7, "x");
  unknown.mode = static_cast<LockMode>(2);
  d.send(c, {acquire(1, long_name), acquire(2, longest_name), tagged, other, heartbeat, internal, unknown,
             acquire(0, "x"), acquire(8, "")});
  Sent sent = d.only_sent();
  EXPECT_EQ(CoreDriver::text(sent), "open 65536 client-1, acquire 65536/2, acquire 65536/8");
  auto told = d.told();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_THAT(told[0], HasSubstr("invalid argument 1 (a resource name has at most 4096 bytes, not 4097)"));
  EXPECT_THAT(told[0], HasSubstr("invalid argument 3 (an owner tag has at most 128 bytes, not 129)"));
  EXPECT_THAT(told[0], HasSubstr("invalid argument 4 (a client id has at most 128 bytes, not 129)"));
  for (const char* other_one :
       {"invalid argument 5 (", "invalid argument 6 (", "invalid argument 7 (", "invalid argument 0 ("}) {
    EXPECT_THAT(told[0], HasSubstr(other_one));
  }
}

TEST(Door, SaysOverloadedWhenTooMuchIsUnanswered) {
  RouterOptions options;
  options.pending_per_connection_max = 2;
  options.pending_max = 3;
  CoreDriver d(options);
  d.start();
  ConnectionId a = d.client(1);
  ConnectionId b = d.client(2);
  d.send(a, {acquire(1, "x"), acquire(2, "x"), acquire(3, "x"), acquire(1, "x")});
  d.send(b, {acquire(1, "x"), acquire(2, "x")});
  Sent sent = d.only_sent();
  EXPECT_EQ(sent.operations.size(), 5U) << "two sessions, three operations";
  auto told = d.told();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_THAT(told[0], HasSubstr("overloaded 3 (this connection has its limit of 2"));
  EXPECT_THAT(told[1], HasSubstr("overloaded 2 (this router has its limit of 3"));
  d.answer(sent);
  d.send(b, {acquire(3, "x")});
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 131072/3");
}

}  // namespace
}  // namespace dlm::router
