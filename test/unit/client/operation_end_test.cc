// SessionCore: what becomes of operations that are cancelled, and of those whose session ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/client/core_driver.h"

namespace dlm::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(OperationEnd, CancelThatIsRefusedForTheClientIdIsAskedAgainUntilItDecides) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.take();
  d.core.cancel(sequence, d.now, d.out);
  EXPECT_THAT(d.sent(d.take()), ElementsAre("cancel a #2"));
  d.answer(Sequence(2), Status::client_id_in_use);
  EXPECT_THAT(statuses(d.take()), IsEmpty()) << "the acquire may still be on its way";
  d.pass(500);
  EXPECT_THAT(d.sent(d.take()), ElementsAre("cancel a #2"));
  d.answer(Sequence(2), Status::ok, kToken);
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::cancelled));
  EXPECT_THAT(d.sent(out), ElementsAre("release a #3"));
}

TEST(OperationEnd, NothingIsDoneAnyMoreUnderASessionThatWasRefused) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.take();
  d.answer(sequence, Status::client_id_in_use);
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::client_id_in_use));
  EXPECT_THAT(out.ended, IsEmpty()) << "there was none";
  ASSERT_TRUE(out.heartbeat.has_value())
      << "a copy may come late and be granted: the next one is another session";
  EXPECT_THAT(out.heartbeat->groups, ElementsAre(SessionInUse{kGroup, 1, false}));
}

TEST(OperationEnd, ARefusedSessionIsLeftOnceForAllThatItsRefusalAnswers) {
  CoreDriver d;
  d.connect();
  Sequence first = d.acquire("a");
  Sequence second = d.acquire("b");
  d.answer_of(0, first, Status::client_id_in_use);
  d.answer_of(0, second, Status::client_id_in_use);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::client_id_in_use, Status::client_id_in_use));
  EXPECT_THAT(d.core.sessions().in_use(), ElementsAre(SessionInUse{kGroup, 1, false}));
}

TEST(OperationEnd, LateGrantThatComesBeforeTheCancelsAnswerIsGivenBackOnce) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a", 500);
  d.opened(sequence);
  d.answer(sequence, Status::queued);
  d.pass(1'500);
  d.take();
  d.answer(sequence, Status::ok, kToken);
  EXPECT_THAT(d.sent(d.take()), ElementsAre("release a #3"));
  d.answer(Sequence(2), Status::ok, kToken);
  EXPECT_THAT(d.sent(d.take()), IsEmpty());
}

TEST(OperationEnd, WithdrawnAcquireThatIsRefusedAtADoorMayHaveBeenGrantedBefore) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a", 500);
  d.take();
  d.core.cancel(sequence, d.now, d.out);
  EXPECT_THAT(d.sent(d.take()), ElementsAre("cancel a #2"));
  d.answer(sequence, Status::overloaded);
  EXPECT_THAT(d.sent(d.take()), IsEmpty());
  d.answer(Sequence(2), Status::ok, kToken);
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::cancelled));
  EXPECT_THAT(d.sent(out), ElementsAre("release a #3"));
}

TEST(OperationEnd, WaitForEverLastsWhileItsGroupConfirmsTheSession) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.opened(sequence);
  d.answer(sequence, Status::queued);
  for (int i = 0; i < 1'000; ++i) {
    d.pass(500);
    Output out = d.take();
    EXPECT_THAT(statuses(out), IsEmpty());
    if (out.heartbeat) d.renewed(out.heartbeat->number);
  }
}

TEST(OperationEnd, LateGrantOfAnotherOwnersHoldIsGivenBackInItsName) {
  CoreDriver d;
  d.connect();
  Request request;
  request.resource = "a";
  request.wait_ms = 500;
  request.lease = LeaseKind::detached;
  request.lease_ms = 60'000;
  request.client_id = "w7";
  Sequence sequence = d.submit(std::move(request));
  d.answer(sequence, Status::queued);
  d.pass(1'500);
  Output out = d.take();
  EXPECT_EQ(d.core.operation(d.last_sent(out, OperationKind::cancel), d.now)->client_id, "w7");
  d.answer(sequence, Status::ok, kToken);
  out = d.take();
  EXPECT_EQ(d.core.operation(d.last_sent(out, OperationKind::release), d.now)->client_id, "w7");
}

TEST(OperationEnd, CancelCompletesWhenItIsConfirmed) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.opened(sequence);
  d.answer(sequence, Status::queued);
  d.take();
  d.core.cancel(sequence, d.now, d.out);
  Output out = d.take();
  EXPECT_THAT(statuses(out), IsEmpty());
  EXPECT_THAT(d.sent(out), ElementsAre("cancel a #2"));
  d.answer(sequence, Status::cancelled);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::cancelled));
  d.answer(Sequence(2), Status::ok);
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST(OperationEnd, CancelThatCrossesTheGrantGivesItBack) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.opened(sequence);
  d.take();
  d.core.cancel(sequence, d.now, d.out);
  d.take();
  d.answer(sequence, Status::ok, kToken);
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::cancelled));
  EXPECT_THAT(d.sent(out), ElementsAre("release a #3"));
  EXPECT_EQ(d.core.holds(), 0u);
}

TEST(OperationEnd, CancelWithoutAWordCompletesAfterASecond) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.take();
  d.core.cancel(sequence, d.now, d.out);
  d.pass(999);
  EXPECT_THAT(statuses(d.take()), IsEmpty());
  d.pass(1);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::cancelled));
  EXPECT_EQ(d.core.operations_under_way(), 2u) << "it goes on in the background";
}

TEST(OperationEnd, CancelOfWhatWasNeverSentCompletesAtOnce) {
  CoreDriver d;
  d.lose_connection();
  Sequence sequence = d.acquire("a");
  d.core.cancel(sequence, d.now, d.out);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::cancelled));
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST(OperationEnd, CancelAfterCompletionDoesNothing) {
  CoreDriver d;
  d.connect();
  HoldId hold = d.held("a");
  d.take();
  d.core.cancel(Sequence(hold.value), d.now, d.out);
  Output out = d.take();
  EXPECT_THAT(statuses(out), IsEmpty());
  EXPECT_THAT(out.send, IsEmpty());
  EXPECT_EQ(d.core.holds(), 1u);
}

TEST(OperationEnd, UnconfirmedCancelIsRepeatedOverTheNextConnections) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.core.cancel(sequence, d.now, d.out);
  d.pass(1'000);
  d.take();
  for (int i = 0; i < 3; ++i) {
    d.lose_connection();
    d.connect();
    EXPECT_THAT(d.sent(d.take()), ElementsAre("cancel a #2"));
  }
  d.answer(Sequence(2), Status::cancelled);
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST(OperationEnd, AcquireAnsweredUnavailableIsWithdrawn) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.take();
  d.answer(sequence, Status::unavailable);
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::unavailable));
  EXPECT_TRUE(out.completions[0].outcome_unknown);
  EXPECT_THAT(d.sent(out), ElementsAre("cancel a #2"));
}

TEST(OperationEnd, QueuedAcquireOfAnEndedSessionFails) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.opened(sequence);
  d.answer(sequence, Status::queued);
  d.take();
  d.ended();
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::session_expired));
  EXPECT_FALSE(out.completions[0].outcome_unknown);
}

TEST(OperationEnd, UnansweredOnesOfAnEndedSessionAreNeverSentUnderTheNext) {
  CoreDriver d;
  d.connect();
  d.held("a");
  d.acquire("b");
  d.take();
  d.ended();
  EXPECT_THAT(statuses(d.take()), IsEmpty()) << "it may be for another group: the answer may still come";
  d.lose_connection();
  d.connect();
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::session_expired));
  EXPECT_TRUE(out.completions[0].outcome_unknown);
  EXPECT_THAT(d.sent(out), testing::UnorderedElementsAre("release a #3", "cancel b #4"));
}

TEST(OperationEnd, UnansweredOneOfAnEndedSessionFailsAfterTwoSeconds) {
  CoreDriver d;
  d.connect();
  d.held("a");
  d.acquire("b");
  d.ended();
  d.take();
  d.pass(2'000);
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::session_expired));
  EXPECT_TRUE(out.completions[0].outcome_unknown);
}

TEST(OperationEnd, UnansweredOneThatWasForAnotherGroupSurvivesTheEndOfASession) {
  CoreDriver d;
  d.connect();
  d.held("a");
  Sequence other = d.acquire("b");
  d.ended();
  d.opened(other, GroupId(2));
  d.answer(other, Status::ok, kToken, GroupId(2));
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok, Status::ok));
  EXPECT_EQ(d.core.holds(), 1u);
}

TEST(OperationEnd, QueuedThatIsHeardAfterTheSessionsEndFails) {
  CoreDriver d;
  d.connect();
  d.held("a");
  Sequence sequence = d.acquire("b");
  d.take();
  d.ended();
  d.answer_of(0, sequence, Status::queued);
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::session_expired));
  EXPECT_THAT(d.sent(out), ElementsAre("release a #3", "cancel b #4"))
      << "they may be in a group that was not heard of yet";
  d.answer(Sequence(3), Status::not_held);
  d.answer(Sequence(4), Status::ok, kToken, GroupId(2));
  EXPECT_THAT(d.sent(d.take()), ElementsAre("release b #5"));
  d.answer(Sequence(5), Status::ok, kToken, GroupId(2));
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST(OperationEnd, ReleaseIsGoneOnWithWhenTheSessionEndsAsTheHoldMayHaveMoved) {
  CoreDriver d;
  d.connect();
  const HoldId hold = d.held("a");
  const Sequence release = d.release(hold);
  d.take();
  d.ended();
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::session_expired));
  EXPECT_THAT(d.sent(out), ElementsAre("release a #2")) << "the same one, wherever the hold is";
  d.answer(release, Status::not_held, {}, GroupId(2));
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST(OperationEnd, ReleaseOfADetachedHoldIsNotMadeAgainInTheNextSession) {
  CoreDriver d;
  d.connect();
  d.held("a");
  Request request;
  request.kind = OperationKind::release;
  request.lease = LeaseKind::detached;
  request.resource = "b";
  request.token = kToken;
  request.background = true;
  d.submit(request);
  d.lose_connection();
  d.connect();
  EXPECT_THAT(d.sent(d.take()), testing::Contains(testing::StartsWith("release b"))) << "in the same session";
  d.ended();
  d.take();
  d.lose_connection();
  d.connect();
  EXPECT_THAT(d.sent(d.take()), testing::Not(testing::Contains(testing::StartsWith("release b"))))
      << "of two acquisitions it might take off both";
}

TEST(OperationEnd, GrantThatIsHeardAfterTheSessionsEndIsNeverTrusted) {
  CoreDriver d;
  d.connect();
  d.held("a");
  Sequence sequence = d.acquire("b");
  d.ended();
  Sequence next = d.acquire("c");
  d.opened(next, kGroup, 1);
  d.take();
  d.answer_of(0, sequence, Status::ok, kToken);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::session_expired));
  EXPECT_EQ(d.core.holds(), 0u);
}

}  // namespace
}  // namespace dlm::client
