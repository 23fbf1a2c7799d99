// SessionCore: what is sent, sent again, cancelled and told to callers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/client/core_driver.h"

namespace dlm::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Operation, EverythingUnansweredIsSentAgainInOrderAfterAReconnect) {
  CoreDriver d;
  d.connect();
  Sequence first = d.acquire("a");
  d.acquire("b");
  d.acquire("c");
  d.opened(first);
  d.answer(first, Status::queued);
  d.answer(Sequence(2), Status::ok, kToken);
  d.take();
  d.lose_connection();
  d.acquire("d");
  EXPECT_THAT(d.sent(d.out), IsEmpty());
  d.connect();
  EXPECT_THAT(d.sent(d.out), ElementsAre("acquire a #1", "acquire c #3", "acquire d #4"));
}

TEST(Operation, RepeatedAnswersAreHeardOnce) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.opened(sequence);
  d.answer(sequence, Status::ok, kToken);
  d.answer(sequence, Status::ok, kToken);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok));
  EXPECT_EQ(d.core.holds(), 1u);
}

TEST(Operation, AcknowledgesBelowTheOldestUnansweredAndCountsQueuedAsAnAnswer) {
  CoreDriver d;
  d.connect();
  d.acquire("a");
  d.acquire("b");
  d.acquire("c");
  d.opened(Sequence(1));
  EXPECT_EQ(d.core.acked_below(), Sequence(1));
  d.answer(Sequence(2), Status::ok, kToken);
  EXPECT_EQ(d.core.acked_below(), Sequence(1));
  d.answer(Sequence(1), Status::queued);
  EXPECT_EQ(d.core.acked_below(), Sequence(3));
  d.answer(Sequence(3), Status::timed_out);
  EXPECT_EQ(d.core.acked_below(), Sequence(4));
}

TEST(Operation, GroupsTimeOutIsTheCallers) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a", 500);
  d.answer(sequence, Status::queued);
  d.answer(sequence, Status::timed_out);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::timed_out));
}

TEST(Operation, WaitWithoutAWordEndsASecondLateAndIsCancelledInTheBackground) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a", 500);
  d.opened(sequence);
  d.answer(sequence, Status::queued);
  d.pass(1'499);
  EXPECT_THAT(statuses(d.take()), IsEmpty());
  d.pass(1);
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::timed_out));
  EXPECT_THAT(d.sent(out), ElementsAre("cancel a #2"));
  EXPECT_EQ(d.core.operation(Sequence(2), d.now)->target, sequence);
  // The cancel came too late: what it found is given back, once.
  d.answer(Sequence(2), Status::ok, kToken);
  d.answer(sequence, Status::ok, kToken);
  EXPECT_THAT(d.sent(d.take()), ElementsAre("release a #3"));
  d.answer(Sequence(3), Status::ok);
  EXPECT_EQ(d.core.operations_under_way(), 0u);
  EXPECT_EQ(d.core.acked_below(), Sequence(4));
}

TEST(Operation, WithoutAnyAnswerItIsUnavailableAfterTheRequestTimeout) {
  CoreDriver d;
  d.connect();
  d.acquire("a", 500);
  d.take();
  std::vector<Status> told;
  for (int i = 0; i < 100 && told.empty(); ++i) {
    d.pass(100);
    Output out = d.take();
    told = statuses(out);
    if (!told.empty()) {
      EXPECT_TRUE(out.completions[0].outcome_unknown);
      EXPECT_THAT(d.sent(out), ElementsAre("cancel a #2"));
    }
  }
  EXPECT_THAT(told, ElementsAre(Status::unavailable));
  EXPECT_EQ(d.now, 110'000u);
}

TEST(Operation, NeverSentItIsUnavailableWithTheReasonAndIsKnownNotToBeDone) {
  CoreDriver d;
  d.lose_connection("no router reachable: r1 refused the connection");
  d.acquire("a", 500);
  d.pass(10'000);
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::unavailable));
  EXPECT_THAT(out.completions[0].answer.message, HasSubstr("refused the connection"));
  EXPECT_FALSE(out.completions[0].outcome_unknown);
  d.connect();
  EXPECT_THAT(d.sent(d.out), IsEmpty());
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST(Operation, WaitForEverEndsWhenNoRouterIsReachableForTheRequestTimeout) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.opened(sequence);
  d.answer(sequence, Status::queued);
  d.pass(3'000);
  d.take();
  d.lose_connection();
  d.pass(9'999);
  EXPECT_THAT(statuses(d.take()), IsEmpty());
  d.pass(1);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::unavailable));
  d.connect();
  EXPECT_THAT(d.sent(d.out), ElementsAre("cancel a #2")) << "the acquire itself is not asked for again";
}

TEST(Operation, WaitForEverEndsWhenItsGroupFallsSilentBehindALiveRouter) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.opened(sequence);
  d.answer(sequence, Status::queued);
  std::vector<Status> told;
  for (int i = 0; i < 200 && told.empty(); ++i) {
    d.pass(100);
    d.core.heard(d.now);
    told = statuses(d.take());
  }
  EXPECT_THAT(told, ElementsAre(Status::unavailable));
}

TEST(Operation, ReleaseGoesOnInTheBackgroundAfterItsCallerGaveUp) {
  CoreDriver d;
  d.connect();
  HoldId hold = d.held("a");
  d.take();
  Sequence release = d.release(hold);
  d.take();
  d.answer(release, Status::unavailable);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::unavailable));
  d.pass(500);
  EXPECT_THAT(d.sent(d.take()), ElementsAre("release a #2"));
  d.answer(release, Status::ok);
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST(Operation, SilentRouterIsGivenUpWhileSomethingIsDue) {
  CoreDriver d;
  d.connect();
  d.pass(60'000);
  EXPECT_THAT(d.take().reconnect, IsEmpty()) << "nothing was due";
  d.acquire("a");
  d.pass(3'332);
  EXPECT_THAT(d.take().reconnect, IsEmpty());
  EXPECT_LE(d.core.next_wake_ms(), d.now + 1);
  d.pass(1);
  EXPECT_THAT(d.take().reconnect, HasSubstr("silent"));
}

TEST(Operation, UnansweredHeartbeatGivesTheRouterUp) {
  CoreDriver d;
  d.connect();
  d.held("a");
  d.take();
  d.pass(3'334);
  Output out = d.take();
  EXPECT_TRUE(out.heartbeat);
  EXPECT_THAT(out.reconnect, IsEmpty());
  d.pass(3'334);
  EXPECT_THAT(d.take().reconnect, HasSubstr("silent"));
}

TEST(Operation, BaseIsAbandonedAfterHalfAnHourWithoutContact) {
  CoreDriver d;
  d.connect();
  d.held("a");
  d.acquire("b");
  d.take();
  d.lose_connection();
  d.pass(1'799'999);
  EXPECT_EQ(d.core.hello(0x770000, d.now, d.out).session_base, kBase);
  d.pass(1);
  HelloData hello = d.core.hello(0x770000, d.now, d.out);
  EXPECT_EQ(hello.session_base, 0x770000u);
  EXPECT_THAT(hello.groups, IsEmpty());
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST(Operation, HelloTellsGenerationsAndWhatToRenew) {
  CoreDriver d;
  d.connect();
  d.held("a", kToken, GroupId(1));
  d.held("b", kToken, GroupId(2));
  d.ended(GroupId(2));
  d.lose_connection();
  HelloData hello = d.core.hello(1, d.now, d.out);
  EXPECT_EQ(hello.session_base, kBase);
  EXPECT_THAT(hello.groups,
              ElementsAre(SessionInUse{GroupId(1), 0, true}, SessionInUse{GroupId(2), 1, false}));
}

TEST(Operation, TooManyAreRefusedAsOverloaded) {
  CoreOptions options;
  options.operations_max = 2;
  CoreDriver d(options);
  d.connect();
  d.acquire("a");
  d.acquire("b");
  d.take();
  d.acquire("c");
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::overloaded));
}

TEST(Operation, RefusalByAllRoutersEndsWhatWasNeverSent) {
  CoreDriver d;
  d.lose_connection();
  d.acquire("a");
  d.core.refused(Status::invalid_argument, "the TTL is too long", d.now, d.out);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::invalid_argument));
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST(Operation, DeadlineOnTheWireIsALittleLessThanWhatIsLeft) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  EXPECT_EQ(d.core.operation(sequence, d.now)->deadline_ms, 9'800u);
  EXPECT_EQ(d.core.operation(sequence, d.now + 4'000)->deadline_ms, 5'800u);
}

TEST(Operation, QueriesAreSentAgainAndGivenUpInTime) {
  CoreDriver d;
  d.connect();
  QueryId id = d.core.query(5'000, d.now, d.out);
  EXPECT_THAT(d.take().send_queries, ElementsAre(id));
  d.lose_connection();
  d.connect();
  EXPECT_THAT(d.take().send_queries, ElementsAre(id));
  d.pass(5'000);
  EXPECT_THAT(d.core.take_late_queries(), ElementsAre(id));
  EXPECT_FALSE(d.core.end_query(id));
}

TEST(Operation, QueryThatIsMoreThanAReadIsNeverSentTwice) {
  CoreDriver d;
  QueryId waiting = d.core.query(5'000, d.now, d.out, true);
  d.connect();
  EXPECT_THAT(d.take().send_queries, ElementsAre(waiting)) << "it had not left before";
  d.lose_connection();
  EXPECT_THAT(d.core.take_late_queries(), ElementsAre(waiting));
  d.connect();
  EXPECT_THAT(d.take().send_queries, IsEmpty());
}

TEST(Operation, MillionsOfShortOnesLeaveNothingBehind) {
  CoreDriver d;
  d.connect();
  d.opened(d.acquire("first"));
  d.answer(Sequence(1), Status::ok, kToken);
  d.take();
  for (int i = 0; i < 20'000; ++i) {
    Sequence sequence = d.acquire("a");
    d.answer(sequence, Status::ok, kToken);
    Output out = d.take();
    Sequence release = d.release(out.completions[0].hold);
    d.answer(release, Status::ok);
    d.take();
  }
  EXPECT_EQ(d.core.operations_under_way(), 0u);
  EXPECT_EQ(d.core.holds(), 1u);
  EXPECT_EQ(d.core.acked_below(), Sequence(40'002));
}

}  // namespace
}  // namespace dlm::client
