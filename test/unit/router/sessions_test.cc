// Sessions: opened with the first operation, renewed by merged heartbeats, ended by their groups, closed on
// bye.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core_driver.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const GroupListing kOpenInG1{GroupId(1), 0, true};

// Answers a submit with one status for what is internal, another for the operations.
void answer_with(CoreDriver& d, const Sent& sent, Status internal, Status operations,
                 const std::string& message = "") {
  auto answers = CoreDriver::answers_to(sent);
  for (Answer& answer : answers) {
    answer.status = answer.sequence ? operations : internal;
    answer.message = message;
    answer.token = FencingToken();
    answer.ttl_ms = 0;
  }
  d.core.submitted(sent.call, std::move(answers), d.now);
  d.turn();
}

TEST(Opening, HappensOnceForAConnectionAndGroup) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "x")});
  Sent first = d.only_sent();
  const Operation open = first.operations[0].view();
  EXPECT_EQ(open.kind, OperationKind::open_session);
  EXPECT_EQ(open.lease_ms, 10'000U);
  EXPECT_EQ(open.client_id, "client-1");
  d.answer(first);
  d.send(c, {release(2, "x")});
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "release 65536/2");
}

TEST(Opening, IsLeftOutForSessionsThatTheClientKnowsToBeOpen) {
  CoreDriver d;
  d.start(2);
  ConnectionId c = d.client(1, {{GroupId(1), 3, true}, {GroupId(2), 5, false}});
  d.send(c, {acquire(1, d.name_in(1)), acquire(2, d.name_in(2))});
  d.turn();
  ASSERT_EQ(d.sent.size(), 2U);
  EXPECT_EQ(CoreDriver::text(d.sent[0]), "acquire 65539/1");
  EXPECT_EQ(CoreDriver::text(d.sent[1]), "open 65541 client-1, acquire 65541/2");
}

TEST(Opening, ThatIsRefusedRefusesTheOperationsThatWaitForIt) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "x"), acquire(2, "y")});
  Sent sent = d.only_sent();
  auto answers = CoreDriver::answers_to(sent, Status::session_unknown);
  answers[0].status = Status::client_id_in_use;
  answers[0].message = "taken by another";
  answers[0].holder.client_id = "client-1";
  d.core.submitted(sent.call, std::move(answers), d.now);
  d.turn();
  EXPECT_THAT(
      d.told(),
      ElementsAre("c1: client id in use 1 (taken by another), client id in use 2 (taken by another)"));
  // The next operation tries again.
  d.send(c, {acquire(3, "x")});
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "open 65536 client-1, acquire 65536/3");
}

TEST(Opening, IsTriedAgainWhenTheGroupHasNotHeardOfTheSession) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "x")});
  Sent first = d.only_sent();
  auto answers = CoreDriver::answers_to(first, Status::not_primary);
  answers[1].status = Status::session_unknown;
  d.core.submitted(first.call, std::move(answers), d.now);
  d.pass(10);
  ASSERT_EQ(d.sent.size(), 1U);
  EXPECT_EQ(CoreDriver::text(d.sent[0]), "open 65536 client-1, acquire 65536/1");
  d.answer(d.sent[0]);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: opened g1/0 ttl 10000 cause 1, ok 1 token 101"));
}

TEST(Ending, ASessionThatTheClientCountsOnIsNeverOpenedAgainBehindItsBack) {
  // After a total loss the group knows nothing of the session, nor of the holds in it.
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1, {kOpenInG1});
  d.send(c, {acquire(1, "x")});
  answer_with(d, d.only_sent(), Status::ok, Status::session_unknown);
  EXPECT_THAT(
      d.told(),
      ElementsAre("c1: ended g1/0 cause 1, session expired 1 (g1 does not know the session any more)"));
  EXPECT_THAT(d.sent, IsEmpty());
}

TEST(Ending, IsToldBeforeTheAnswerAndOnce) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1, {kOpenInG1});
  d.send(c, {acquire(1, "x"), acquire(2, "y")});
  answer_with(d, d.only_sent(), Status::ok, Status::session_expired, "expired");
  EXPECT_THAT(
      d.told(),
      ElementsAre("c1: ended g1/0 cause 1, session expired 1 (expired), session expired 2 (expired)"));
  // What the client sends before it has heard is of the dead session.
  d.send(c, {acquire(3, "x")});
  d.turn();
  EXPECT_THAT(d.sent, IsEmpty());
  EXPECT_THAT(d.told(), ElementsAre("c1: session expired 3 (the session in g1 has ended)"));
  // A heartbeat that still lists it is not sent on.
  d.core.heartbeat(c, 1, std::vector{kOpenInG1}, d.now);
  d.pass(100);
  EXPECT_THAT(d.sent, IsEmpty());
  // With the next generation all begins anew.
  d.core.heartbeat(c, 2, std::vector{GroupListing{GroupId(1), 1, false}}, d.now);
  d.send(c, {acquire(4, "x")});
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "open 65537 client-1, acquire 65537/4");
}

TEST(Ending, AsksWhatBecameOfQueuedOperations) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1, {kOpenInG1});
  d.send(c, {acquire(1, "x")});
  answer_with(d, d.only_sent(), Status::ok, Status::queued);
  EXPECT_THAT(d.told(), ElementsAre("c1: queued 1"));
  d.core.heartbeat(c, 1, std::vector{kOpenInG1}, d.now);
  answer_with(d, d.only_sent(), Status::session_expired, Status::ok);
  EXPECT_THAT(d.told(), ElementsAre("c1: ended g1/0 cause 1"));
  Sent again = d.only_sent();
  EXPECT_EQ(CoreDriver::text(again), "acquire 65536/1");
  answer_with(d, again, Status::ok, Status::session_expired);
  EXPECT_THAT(d.told(), ElementsAre("c1: session expired 1"));
}

TEST(Heartbeats, OfAllClientsGoInOneSubmitPerGroupAndTick) {
  CoreDriver d;
  d.start(2);
  std::vector<ConnectionId> clients;
  const std::vector<GroupListing> both{{GroupId(1), 0, true}, {GroupId(2), 0, true}};
  for (std::uint64_t i = 1; i <= 3; ++i) clients.push_back(d.client(i, both));
  d.core.heartbeat(clients[0], 1, both, d.now);
  d.turn();
  auto first = d.take_sent();
  ASSERT_EQ(first.size(), 2U) << "the first leaves at once";
  EXPECT_EQ(CoreDriver::text(first[0]), "beat 65536");
  d.answer(first[0]);
  d.answer(first[1]);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: renewed g1/0 ttl 10000 cause 1, renewed g2/0 ttl 10000 cause 1"));

  // 100 ms with a heartbeat of each client in every millisecond.
  std::size_t submits = 0;
  for (int ms = 0; ms < 100; ++ms) {
    for (ConnectionId c : clients) d.core.heartbeat(c, static_cast<std::uint64_t>(ms) + 2, both, d.now);
    d.pass(1);
    for (const Sent& sent : d.take_sent()) {
      EXPECT_EQ(sent.operations.size(), 3U);
      d.answer(sent);
      ++submits;
    }
  }
  EXPECT_EQ(submits, 2U * 100 / 20);
}

TEST(Heartbeats, GoAlongWithOperationsThatLeaveAnyway) {
  CoreDriver d;
  d.start();
  ConnectionId a = d.client(1, {kOpenInG1});
  ConnectionId b = d.client(2, {kOpenInG1});
  d.core.heartbeat(a, 1, std::vector{kOpenInG1}, d.now);
  d.answer(d.only_sent());
  d.core.heartbeat(a, 2, std::vector{kOpenInG1}, d.now);
  d.turn();
  EXPECT_THAT(d.sent, IsEmpty()) << "within the tick of the first";
  d.send(b, {acquire(1, "x")});
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 131072/1, beat 65536");
}

TEST(Heartbeats, AreConfirmedByTheNumberThatWasSentNotByALaterOne) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1, {kOpenInG1});
  d.core.heartbeat(c, 1, std::vector{kOpenInG1}, d.now);
  Sent first = d.only_sent();
  d.core.heartbeat(c, 2, std::vector{kOpenInG1}, d.now);  // while the first is out
  d.core.heartbeat(c, 3, std::vector{kOpenInG1}, d.now);
  d.answer(first);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: renewed g1/0 ttl 10000 cause 1"));
  d.pass(20);
  ASSERT_EQ(d.sent.size(), 1U);
  d.answer(d.sent[0]);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: renewed g1/0 ttl 10000 cause 3"));
}

TEST(Heartbeats, GetNoAnswerWhileTheGroupIsUnreachableAndOneAfterwards) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1, {kOpenInG1});
  d.core.heartbeat(c, 1, std::vector{kOpenInG1}, d.now);
  d.only_sent();
  d.down("s1#1");
  d.core.heartbeat(c, 2, std::vector{kOpenInG1}, d.now);
  d.pass(60'000);
  EXPECT_THAT(d.told(), IsEmpty());
  d.up("s1#1");
  Sent again = d.only_sent();
  EXPECT_EQ(CoreDriver::text(again), "beat 65536");
  d.answer(again);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: renewed g1/0 ttl 10000 cause 2"));
}

TEST(Heartbeats, ToAGroupThatHasNeverSeenTheSessionEndIt) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1, {kOpenInG1});
  d.core.heartbeat(c, 4, std::vector{kOpenInG1}, d.now);
  answer_with(d, d.only_sent(), Status::session_unknown, Status::ok);
  EXPECT_THAT(d.told(), ElementsAre("c1: ended g1/0 cause 4"));
}

TEST(Heartbeats, ForGroupsThatAreNotThereAreIgnored) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1, {{GroupId(77), 0, true}});
  d.core.heartbeat(c, 1, std::vector{GroupListing{GroupId(77), 0, true}, GroupListing{GroupId(), 0, true}},
                   d.now);
  d.pass(1'000);
  EXPECT_THAT(d.sent, IsEmpty());
  EXPECT_THAT(d.told(), IsEmpty());
}

TEST(Bye, ClosesTheOpenSessionsAfterWhatWasSentBefore) {
  CoreDriver d;
  d.start(2);
  ConnectionId c = d.client(1, {{GroupId(1), 0, true}});
  d.send(c, {release(1, d.name_in(1))});
  d.core.bye(c, d.now);
  Sent sent = d.only_sent();
  EXPECT_EQ(CoreDriver::text(sent), "release 65536/1, close 65536");
  d.answer(sent);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: ok 1", "c1: closed ok (bye)"));
  EXPECT_EQ(d.core.stats().pending, 0U);
}

TEST(Bye, WaitsNoLongerThanItsTime) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1, {kOpenInG1});
  d.core.bye(c, d.now);
  d.only_sent();
  d.pass(1'999);
  EXPECT_THAT(d.told(), IsEmpty());
  d.pass(1);
  EXPECT_THAT(d.told(), ElementsAre("c1: closed ok (bye)"));
  d.core.operations(c, Sequence(1), std::vector{acquire(1, "x")}, d.now);
  d.turn();
  EXPECT_THAT(d.told(), IsEmpty());
}

TEST(Bye, WithoutSessionsClosesAtOnce) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.core.bye(c, d.now);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: closed ok (bye)"));
}

TEST(Bye, FollowsTheGroupToItsNextPrimary) {
  CoreDriver d;
  d.start();
  d.add_server("s9");
  d.publish();
  d.turn();
  d.up("s9#1");
  ConnectionId c = d.client(1, {kOpenInG1});
  d.core.bye(c, d.now);
  Sent lost = d.only_sent();
  d.elect(1, "s9");
  d.publish();
  Sent again = d.only_sent();
  EXPECT_EQ(CoreDriver::text(again), "close 65536");
  EXPECT_EQ(again.server, d.servers["s9#1"]);
  d.answer(lost);
  d.turn();
  EXPECT_THAT(d.told(), IsEmpty()) << "the answer of a call that was given up counts no more";
  d.answer(again);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: closed ok (bye)"));
}

}  // namespace
}  // namespace dlm::router
