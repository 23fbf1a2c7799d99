// Primaries that go, links that break, deadlines that pass.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core_driver.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Failover : public ::testing::Test {
 protected:
  Failover() {
    d.start();
    d.add_server("s2");
    d.publish();
    d.turn();
    d.up("s2#1");
    c = d.client(1, {{GroupId(1), 0, true}});
  }

  // A submit whose acquires are queued.
  void queue(const Sent& sent) {
    auto answers = CoreDriver::answers_to(sent);
    for (Answer& answer : answers) {
      if (answer.sequence) answer.status = Status::queued, answer.token = FencingToken();
    }
    d.core.submitted(sent.call, std::move(answers), d.now);
    d.turn();
  }

  void late(const std::string& member, std::uint64_t sequence, Status status,
            std::uint64_t session = 65'536) {
    Answer answer;
    answer.session = SessionId(session);
    answer.sequence = Sequence(sequence);
    answer.status = status;
    if (status == Status::ok) answer.token = FencingToken(500 + sequence);
    d.core.late_answers(d.servers[member], GroupId(1), {answer}, d.now);
    d.turn();
  }

  CoreDriver d;
  ConnectionId c;
};

TEST_F(Failover, SendsEverythingAgainInOrderToTheNewPrimary) {
  d.send(c, {acquire(1, "a"), acquire(2, "b"), acquire(3, "c")});
  queue(d.only_sent());
  d.send(c, {acquire(4, "d"), cancel(5, 2, "b")});
  Sent out = d.only_sent();
  d.send(c, {release(6, "e")});
  d.turn();
  d.told();

  d.down("s1#1", true, "connection refused");
  d.pass(50);
  EXPECT_THAT(d.sent, IsEmpty());
  d.elect(1, "s2");
  d.publish();
  Sent again = d.only_sent();
  EXPECT_EQ(again.server, d.servers["s2#1"]);
  EXPECT_EQ(CoreDriver::text(again),
            "acquire 65536/1, acquire 65536/2, acquire 65536/3, acquire 65536/4, cancel 65536/5 of 2, "
            "release 65536/6");
  // The late answer to the lost call counts no more.
  d.answer(out);
  d.turn();
  EXPECT_THAT(d.told(), IsEmpty());
}

// Which is how the primary may learn that it is out of reach.
TEST_F(Failover, AsksTheBackupsWhenThePrimaryGivesNoAnswer) {
  d.view.groups[GroupId(1)].config.in_sync.push_back({"s2", 1});
  d.view.groups[GroupId(1)].version += 1;
  d.publish();
  d.send(c, {acquire(1, "a")});
  const Sent out = d.only_sent();  // not answered yet
  d.pass(250);
  EXPECT_THAT(d.take_sent(), IsEmpty());
  d.pass(100);
  const Sent asked = d.only_sent();
  EXPECT_EQ(asked.server, d.servers["s2#1"]);
  EXPECT_EQ(CoreDriver::text(asked), "");
  d.answer(asked);
  d.down("s1#1");
  d.pass(500);
  EXPECT_EQ(d.take_sent().size(), 5U) << "as long as it lasts";
  d.up("s1#1");
  d.answer(d.only_sent());
  d.pass(1'000);
  EXPECT_THAT(d.take_sent(), IsEmpty());
}

TEST_F(Failover, DoesNotWaitForTheOldPrimaryWhenTheViewNamesANewOne) {
  d.send(c, {acquire(1, "a")});
  d.only_sent();  // never answered
  d.elect(1, "s2");
  d.publish();
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 65536/1");
}

TEST_F(Failover, TellsQueuedOnce) {
  d.send(c, {acquire(1, "a")});
  queue(d.only_sent());
  EXPECT_THAT(d.told(), ElementsAre("c1: queued 1"));
  d.elect(1, "s2");
  d.publish();
  queue(d.only_sent());
  EXPECT_THAT(d.told(), IsEmpty());
  late("s2#1", 1, Status::ok);
  EXPECT_THAT(d.told(), ElementsAre("c1: ok 1 token 501"));
}

TEST_F(Failover, QueuedOperationsAreSentAgainWhenTheLinkBreaksAndComesBack) {
  d.send(c, {acquire(1, "a"), acquire(2, "b")});
  queue(d.only_sent());
  d.down("s1#1");
  d.up("s1#1");
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 65536/1, acquire 65536/2");
}

TEST_F(Failover, AGrantThatOvertakesItsQueuedAnswerWins) {
  d.send(c, {acquire(1, "a")});
  Sent out = d.only_sent();
  late("s1#1", 1, Status::ok);
  EXPECT_THAT(d.told(), ElementsAre("c1: ok 1 token 501"));
  queue(out);
  EXPECT_THAT(d.told(), IsEmpty());
  EXPECT_EQ(d.core.stats().pending, 0U);
}

TEST_F(Failover, AFinalAnswerOfTheOldPrimaryHoldsAlsoAfterTheTakeover) {
  d.send(c, {acquire(1, "a")});
  queue(d.only_sent());
  d.told();
  d.elect(1, "s2");
  d.publish();
  Sent again = d.only_sent();
  late("s1#1", 1, Status::ok);
  EXPECT_THAT(d.told(), ElementsAre("c1: ok 1 token 501"));
  d.answer(again);
  d.turn();
  EXPECT_THAT(d.told(), IsEmpty());
}

TEST_F(Failover, ARefusalOfTheOldPrimaryCountsNoMoreAfterTheTakeover) {
  d.send(c, {acquire(1, "a")});
  queue(d.only_sent());
  d.elect(1, "s2");
  d.publish();
  queue(d.only_sent());
  d.told();
  late("s1#1", 1, Status::not_primary);
  EXPECT_THAT(d.sent, IsEmpty());
  // That of the present one does.
  late("s2#1", 1, Status::not_primary);
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 65536/1");
  EXPECT_THAT(d.told(), IsEmpty());
}

TEST_F(Failover, AnswersOfAnotherSessionOrGroupAreNotMixedUp) {
  d.send(c, {acquire(1, "a")});
  queue(d.only_sent());
  d.told();
  late("s1#1", 1, Status::ok, 65'537);
  late("s1#1", 2, Status::ok);
  EXPECT_THAT(d.told(), IsEmpty());
}

TEST_F(Failover, APrimaryThatDoesNotServeYetIsAskedAgainWithPauses) {
  d.send(c, {acquire(1, "a")});
  int tries = 0;
  const TimeMs begin = d.now;
  while (d.now < begin + 1'000) {
    d.turn();
    for (const Sent& sent : d.take_sent()) {
      ++tries;
      d.answer(sent, Status::not_primary);
    }
    d.pass(1);
  }
  EXPECT_GT(tries, 10);
  EXPECT_LT(tries, 30) << "1, 2, 4 … 64 ms";
  EXPECT_THAT(d.told(), IsEmpty());
  // A change of its configuration ends the pause.
  d.take_sent();
  while (d.sent.empty()) d.pass(1);
  d.answer(d.take_sent().front(), Status::unavailable);
  d.view.groups[GroupId(1)].version++;
  d.publish();
  d.answer(d.only_sent());
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: ok 1 token 101"));
}

TEST_F(Failover, ACallThatFailsIsTriedAgain) {
  d.send(c, {acquire(1, "a"), acquire(2, "b")});
  Sent out = d.only_sent();
  d.core.submit_failed(out.call, "an exception", d.now);
  d.turn();
  EXPECT_THAT(d.sent, IsEmpty()) << "after a pause";
  d.pass(5);
  ASSERT_EQ(d.sent.size(), 1U);
  EXPECT_EQ(CoreDriver::text(d.sent[0]), "acquire 65536/1, acquire 65536/2");
}

TEST_F(Failover, APrimaryThatAnswersNothingIsConnectedAnew) {
  d.send(c, {acquire(1, "a")});
  d.only_sent();
  d.links.clear();
  d.pass(5'000);
  ASSERT_EQ(d.links.size(), 1U);
  EXPECT_EQ(d.links[0].kind, LinkChange::Kind::reconnect);
  EXPECT_EQ(d.links[0].server, d.servers["s1#1"]);
  d.down("s1#1");
  d.up("s1#1");
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 65536/1");
}

TEST_F(Failover, AnIncarnationThatComesBackIsAnotherServer) {
  d.links.clear();
  d.view.servers.erase("s1");
  d.elect(1, "s2");
  d.add_server("s1", 2);
  d.publish();
  d.turn();
  ASSERT_EQ(d.links.size(), 2U);
  EXPECT_EQ(d.links[0].kind, LinkChange::Kind::drop);
  EXPECT_EQ(d.links[0].server, d.servers["s1#1"]);
  EXPECT_EQ(to_string(d.links[1].name), "s1#2");
}

TEST_F(Failover, APrimaryWhoseRegistrationEndedIsKeptUntilTheTakeover) {
  d.links.clear();
  d.view.servers.erase("s1");
  d.publish();
  d.send(c, {acquire(1, "a")});
  Sent out = d.only_sent();
  EXPECT_EQ(out.server, d.servers["s1#1"]);
  EXPECT_THAT(d.links, IsEmpty());
  d.elect(1, "s2");
  d.publish();
  d.turn();
  ASSERT_EQ(d.links.size(), 1U);
  EXPECT_EQ(d.links[0].kind, LinkChange::Kind::drop);
}

// --- deadlines ---------------------------------------------------------------

TEST_F(Failover, ADeadlineThatPassesNamesTheGroupAndTheReason) {
  d.down("s1#1", true, "connection refused");
  d.pass(600);
  d.send(c, {acquire(1, "a", 1'500), acquire(2, "b", 5'000)});
  d.pass(1'499);
  EXPECT_THAT(d.told(), IsEmpty());
  d.pass(1);
  EXPECT_THAT(
      d.told(),
      ElementsAre("c1: unavailable 1 (g1: no primary reachable since 2.1 s (s1#1: it is dead: connection "
                  "refused); nothing was done)"));
  d.up("s1#1");
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 65536/2");
}

TEST_F(Failover, ADeadlineOfSomethingThatWasSentSaysThatTheOutcomeIsUnknown) {
  d.send(c, {acquire(1, "a", 300)});
  Sent out = d.only_sent();
  d.pass(300);
  EXPECT_THAT(d.told(),
              ElementsAre("c1: unavailable 1 (g1: no answer in time; whether it was executed is not known)"));
  d.answer(out);
  d.turn();
  EXPECT_THAT(d.told(), IsEmpty());
}

TEST_F(Failover, TheDeadlineDoesNotApplyToQueuedOnes) {
  d.send(c, {acquire(1, "a", 300)});
  queue(d.only_sent());
  d.told();
  d.pass(1'000);
  d.down("s1#1");
  d.pass(10'000);
  EXPECT_THAT(d.told(), IsEmpty());
  d.up("s1#1");
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 65536/1");
}

TEST_F(Failover, WhatEndedByItsDeadlineIsNotSentLater) {
  d.down("s1#1");
  d.send(c, {acquire(1, "a", 100), acquire(2, "b"), acquire(3, "c", 100)});
  d.pass(200);
  d.up("s1#1");
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 65536/2");
}

TEST_F(Failover, AGroupThatIsAwayForLongCollectsNothingOfWhatEnded) {
  d.down("s1#1");
  for (std::uint64_t i = 1; i <= 20'000; ++i) {
    d.send(c, {acquire(i, "a", 1)});
    d.pass(20);
    ASSERT_EQ(d.told().size(), 1U);
  }
  EXPECT_EQ(d.core.stats().pending, 0U);
}

// --- nobody to ask ------------------------------------------------------------

TEST(NoRing, OperationsWaitWithinTheirDeadline) {
  CoreDriver d;
  d.view.cluster = "blue";
  d.publish();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "a", 100), acquire(2, "b", 1'000)});
  d.pass(500);
  EXPECT_THAT(d.told(),
              ElementsAre("c1: unavailable 1 (no ring: the cluster has no groups yet; nothing was done)"));
  d.start();
  ASSERT_EQ(d.sent.size(), 1U);
  EXPECT_EQ(CoreDriver::text(d.sent[0]), "open 65536 client-1, acquire 65536/2");
}

TEST(NoPrimary, OperationsWaitForTheFirstOne) {
  CoreDriver d;
  d.view.cluster = "blue";
  d.view.ring = {1, {{GroupId(1), 1}}};
  d.publish();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "a", 100), acquire(2, "b")});
  d.pass(100);
  auto told = d.told();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_THAT(
      told[0],
      HasSubstr("unavailable 1 (g1: no primary reachable since 0.1 s (it has no primary yet); nothing"));
  d.add_server("s1");
  d.elect(1, "s1");
  d.publish();
  d.turn();
  d.up("s1#1");
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "open 65536 client-1, acquire 65536/2");
}

}  // namespace
}  // namespace dlm::router
