// SessionCore: how long a hold may be trusted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/client/core_driver.h"

namespace dlm::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Hold, GrantCompletesWithTermAndToken) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  EXPECT_THAT(d.sent(d.out), ElementsAre("acquire a #1"));
  d.opened(sequence);
  d.answer(sequence, Status::ok, kToken);
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::ok));
  EXPECT_EQ(out.completions[0].answer.token, kToken);
  EXPECT_TRUE(out.completions[0].term);
  EXPECT_EQ(out.completions[0].lease_deadline_ms, 0u);
  EXPECT_EQ(d.core.holds(), 1u);
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST(Hold, DeadlineCountsFromTheSendingOfTheOpeningOperationLessTwoPercent) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  std::uint64_t sent = d.now;
  d.pass(700);
  d.opened(sequence);
  d.answer(sequence, Status::ok, kToken);
  Output out = d.take();
  ASSERT_EQ(out.terms.size(), 1u);
  EXPECT_EQ(out.terms[0].deadline_ms, sent + 9'800);
  EXPECT_EQ(out.terms[0].jeopardy_ms, sent + 6'666);
}

TEST(Hold, DeadlineCountsFromTheFirstSendingWhenTheOpeningOperationWasSentTwice) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  std::uint64_t first = d.now;
  d.lose_connection();
  d.pass(2'000);
  d.connect();
  d.take();
  d.opened(sequence);
  Output out = d.take();
  ASSERT_FALSE(out.terms.empty());
  EXPECT_EQ(out.terms[0].deadline_ms, first + 9'800);
}

TEST(Hold, RenewalCountsFromTheSendingOfItsHeartbeat) {
  CoreDriver d;
  d.connect();
  d.held("a");
  d.take();
  d.pass(3'333);
  Output beat = d.take();
  ASSERT_TRUE(beat.heartbeat);
  std::uint64_t sent = d.now;
  EXPECT_THAT(beat.heartbeat->groups, ElementsAre(SessionInUse{kGroup, 0, true}));
  d.pass(500);
  d.renewed(beat.heartbeat->number);
  Output out = d.take();
  ASSERT_EQ(out.terms.size(), 1u);
  EXPECT_EQ(out.terms[0].deadline_ms, sent + 9'800);
}

TEST(Hold, HeartbeatsComeEachThirdOfTheTtlWhateverIsHeld) {
  CoreDriver d;
  d.connect();
  for (int i = 0; i < 50; ++i) d.held("r" + std::to_string(i));
  d.take();
  int beats = 0;
  for (int ms = 0; ms < 20'000; ms += 10) {
    d.pass(10);
    Output out = d.take();
    if (!out.heartbeat) continue;
    ++beats;
    d.renewed(out.heartbeat->number);
  }
  EXPECT_GE(beats, 5);
  EXPECT_LE(beats, 6);
}

TEST(Hold, JeopardyComesAtTwoThirdsAndLostAtTheDeadlineWithoutAnyMessage) {
  CoreDriver d;
  d.connect();
  d.held("a");
  std::uint64_t start = d.now;
  d.take();
  d.lose_connection();
  d.now = start + 6'665;
  d.core.advance(d.now, d.out);
  EXPECT_EQ(jeopardies(d.take()), 0u);
  d.pass(1);
  EXPECT_EQ(jeopardies(d.take()), 1u);
  d.now = start + 9'799;
  d.core.advance(d.now, d.out);
  EXPECT_THAT(losses(d.take()), IsEmpty());
  EXPECT_EQ(d.core.next_wake_ms(), start + 9'800);
  d.pass(1);
  EXPECT_THAT(losses(d.take()), ElementsAre(LostCause::deadline_passed));
  EXPECT_EQ(d.core.holds(), 0u);
}

TEST(Hold, RenewalThatComesAfterTheDeadlineSavesNothing) {
  CoreDriver d;
  d.connect();
  d.held("a");
  d.take();
  d.pass(3'400);
  std::uint64_t number = d.take().heartbeat->number;
  d.pass(9'900);
  d.renewed(number);
  Output out = d.take();
  EXPECT_THAT(losses(out), ElementsAre(LostCause::deadline_passed));
  EXPECT_THAT(out.terms, IsEmpty());
}

TEST(Hold, OneThatWakesFromAFreezeIsLostBeforeAnythingIsSent) {
  CoreDriver d;
  d.connect();
  HoldId hold = d.held("a");
  d.take();
  d.now += 60'000;
  Sequence release = d.release(hold);
  Output out = d.take();
  EXPECT_THAT(losses(out), ElementsAre(LostCause::deadline_passed));
  ASSERT_THAT(statuses(out), ElementsAre(Status::not_held));
  EXPECT_EQ(out.completions[0].sequence, release);
}

TEST(Hold, LostAtTheDeadlineIsGivenBackToTheGroup) {
  CoreDriver d;
  d.connect();
  d.held("a");
  d.take();
  d.lose_connection();
  d.pass(9'800);
  EXPECT_THAT(losses(d.take()), ElementsAre(LostCause::deadline_passed));
  d.connect();
  Output out = d.take();
  EXPECT_THAT(d.sent(out), ElementsAre("release a #2"));
  EXPECT_EQ(d.core.operation(Sequence(2), d.now)->token, kToken);
  d.answer(Sequence(2), Status::not_held);
  EXPECT_EQ(d.core.operations_under_way(), 0u);
  EXPECT_THAT(statuses(d.take()), IsEmpty());
}

TEST(Hold, SessionConfirmedAfterItsDeadlineIsANewTerm) {
  CoreDriver d;
  d.connect();
  d.held("a");
  Term first = d.take().completions[0].term;
  d.lose_connection();
  d.pass(9'800);
  d.connect();
  std::uint64_t number = d.take().heartbeat->number;
  d.renewed(number);
  Sequence sequence = d.acquire("b");
  d.answer(sequence, Status::ok, kToken);
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::ok));
  EXPECT_NE(out.completions[0].term, first);
}

TEST(Hold, GrantInAnUnconfirmedSessionWaitsForItsRenewal) {
  CoreDriver d;
  d.connect();
  d.held("a");
  d.take();
  Sequence sequence = d.acquire("b");
  d.answer(sequence, Status::queued);
  d.lose_connection();
  d.pass(9'800);
  d.connect();
  std::uint64_t number = d.take().heartbeat->number;
  d.answer(sequence, Status::ok, kToken);
  EXPECT_THAT(statuses(d.take()), IsEmpty());
  d.renewed(number);
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::ok));
  EXPECT_TRUE(out.completions[0].term);
}

TEST(Hold, ReaderThatFoundTheTermOverEndsItForGood) {
  CoreDriver d;
  d.connect();
  d.held("a");
  Term term = d.take().completions[0].term;
  d.core.end_term(term, d.now, d.out);
  EXPECT_THAT(losses(d.take()), ElementsAre(LostCause::deadline_passed));
}

TEST(Hold, CappedHoldEndsAtTheEarlierOfSessionAndLease) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire_leased("a", LeaseKind::capped, 5'000);
  std::uint64_t sent = d.now;
  d.pass(100);
  d.opened(sequence);
  d.answer(sequence, Status::ok, kToken, kGroup, 5'000);
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::ok));
  EXPECT_EQ(out.completions[0].lease_deadline_ms, sent + 4'900);
  d.pass(3'400);
  d.renewed(d.take().heartbeat->number);
  d.take();
  d.now = sent + 4'899;
  d.core.advance(d.now, d.out);
  EXPECT_THAT(losses(d.take()), IsEmpty());
  d.pass(1);
  EXPECT_THAT(losses(d.take()), ElementsAre(LostCause::lease_ended));
}

TEST(Hold, LeaseOfAGrantThatWaitedIsRenewedBeforeItIsTrusted) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire_leased("a", LeaseKind::capped, 60'000);
  d.opened(sequence);
  d.answer(sequence, Status::queued);
  for (int i = 0; i < 30; ++i) {
    d.pass(3'334);
    Output out = d.take();
    if (out.heartbeat) d.renewed(out.heartbeat->number);
  }
  d.take();
  d.answer(sequence, Status::ok, kToken, kGroup, 60'000);
  Output out = d.take();
  EXPECT_THAT(statuses(out), IsEmpty());
  Sequence renewal = d.last_sent(out, OperationKind::renew);
  ASSERT_TRUE(renewal);
  EXPECT_EQ(d.core.operation(renewal, d.now)->token, kToken);
  std::uint64_t sent = d.now;
  d.pass(50);
  d.take();
  d.answer(renewal, Status::ok, kToken, kGroup, 60'000);
  out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::ok));
  EXPECT_EQ(out.completions[0].lease_deadline_ms, sent + 58'800);
}

TEST(Hold, DetachedHandleOutlivesTheSession) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire_leased("a", LeaseKind::detached, 60'000);
  d.opened(sequence);
  d.answer(sequence, Status::ok, kToken, kGroup, 60'000);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok));
  d.ended();
  EXPECT_THAT(losses(d.take()), IsEmpty());
  EXPECT_EQ(d.core.holds(), 1u);
}

TEST(Hold, RenewedLeaseCountsFromTheSendingOfTheRenewal) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire_leased("a", LeaseKind::detached, 10'000);
  d.opened(sequence);
  d.answer(sequence, Status::ok, kToken, kGroup, 10'000);
  d.pass(2'000);
  d.take();
  std::uint64_t sent = d.now;
  Sequence renewal = d.renew(HoldId(sequence.value), 20'000);
  d.pass(300);
  d.take();
  d.answer(renewal, Status::ok, kToken, kGroup, 20'000);
  Output out = d.take();
  ASSERT_EQ(out.holds.size(), 1u);
  EXPECT_EQ(out.holds[0].kind, HoldEvent::Kind::lease);
  EXPECT_EQ(out.holds[0].deadline_ms, sent + 19'600);
}

TEST(Hold, ShorterLeaseIsAssumedFromTheMomentItIsAskedFor) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire_leased("a", LeaseKind::detached, 60'000);
  d.opened(sequence);
  d.answer(sequence, Status::ok, kToken, kGroup, 60'000);
  d.take();
  std::uint64_t sent = d.now;
  d.renew(HoldId(sequence.value), 2'000);
  Output out = d.take();
  ASSERT_EQ(out.holds.size(), 1u);
  EXPECT_EQ(out.holds[0].deadline_ms, sent + 1'960);
  d.lose_connection();
  d.pass(1'960);
  EXPECT_THAT(losses(d.take()), ElementsAre(LostCause::lease_ended));
}

TEST(Hold, RefusedRenewalLeavesTheLeaseAsItWas) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire_leased("a", LeaseKind::detached, 60'000);
  std::uint64_t sent = d.now;
  d.opened(sequence);
  d.answer(sequence, Status::ok, kToken, kGroup, 60'000);
  Sequence renewal = d.renew(HoldId(sequence.value), 500);
  d.take();
  d.answer(renewal, Status::invalid_argument);
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::invalid_argument));
  ASSERT_EQ(out.holds.size(), 1u);
  EXPECT_EQ(out.holds[0].deadline_ms, sent + 58'800);
}

TEST(Hold, RenewalAnsweredNotHeldLosesTheHold) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire_leased("a", LeaseKind::detached, 60'000);
  d.opened(sequence);
  d.answer(sequence, Status::ok, kToken, kGroup, 60'000);
  Sequence renewal = d.renew(HoldId(sequence.value));
  d.take();
  d.answer(renewal, Status::not_held);
  Output out = d.take();
  EXPECT_THAT(losses(out), ElementsAre(LostCause::not_held));
  EXPECT_THAT(statuses(out), ElementsAre(Status::not_held));
}

TEST(Hold, SessionBoundHoldRefusesRenewal) {
  CoreDriver d;
  d.connect();
  HoldId hold = d.held("a");
  d.take();
  d.renew(hold);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::invalid_argument));
}

TEST(Hold, UpgradeRaisesTheTokenOfTheOwnersOtherHolds) {
  CoreDriver d;
  d.connect();
  HoldId reader = d.held("a");
  Sequence upgrade = d.acquire("a");
  d.take();
  FencingToken higher(kToken.value + 5);
  d.answer(upgrade, Status::ok, higher, kGroup, 0, 2);
  Output out = d.take();
  ASSERT_EQ(out.holds.size(), 1u);
  EXPECT_EQ(out.holds[0].kind, HoldEvent::Kind::token);
  EXPECT_EQ(out.holds[0].hold, reader);
  Sequence release = d.release(reader);
  EXPECT_EQ(d.core.operation(release, d.now)->token, higher);
}

TEST(Hold, SessionThatTheGroupEndedLosesItsHoldsAndRaisesTheGeneration) {
  CoreDriver d;
  d.connect();
  d.held("a", kToken, GroupId(1));
  d.held("b", kToken, GroupId(2));
  d.take();
  d.ended(GroupId(1));
  Output out = d.take();
  EXPECT_THAT(losses(out), ElementsAre(LostCause::session_expired));
  EXPECT_THAT(out.ended, ElementsAre(GroupId(1)));
  ASSERT_TRUE(out.heartbeat) << "the router has to learn of the generation before the next operation";
  EXPECT_THAT(out.heartbeat->groups,
              ElementsAre(SessionInUse{GroupId(1), 1, false}, SessionInUse{GroupId(2), 0, true}));
  EXPECT_THAT(d.sent(out), ElementsAre("release a #3")) << "it may have moved to the other one";
  EXPECT_EQ(d.core.holds(), 1u);
}

TEST(Hold, NoticeOfAnEarlierGenerationChangesNothing) {
  CoreDriver d;
  d.connect();
  d.held("a");
  d.ended();
  Sequence sequence = d.acquire("b");
  d.opened(sequence, kGroup, 1);
  d.answer(sequence, Status::ok, kToken);
  d.take();
  d.ended(kGroup, 0);
  EXPECT_THAT(losses(d.take()), IsEmpty());
  EXPECT_EQ(d.core.holds(), 1u);
}

TEST(Hold, MovedHoldsLiveWhileBothGroupsConfirm) {
  CoreDriver d;
  d.connect();
  d.held("a");
  std::uint64_t start = d.now;
  d.take();
  d.pass(3'400);
  d.notice(SessionNotice::Kind::renewed, kGroup, 0, d.take().heartbeat->number, 10'000, {GroupId(2)});
  Output out = d.take();
  ASSERT_FALSE(out.terms.empty());
  EXPECT_EQ(out.terms.back().deadline_ms, start + 9'800)
      << "no more than before until the new group confirms";
  ASSERT_TRUE(out.heartbeat) << "the new group is asked at once";
  EXPECT_THAT(out.heartbeat->groups,
              ElementsAre(SessionInUse{kGroup, 0, true}, SessionInUse{GroupId(2), 0, true}));
  std::uint64_t sent = d.now;
  d.renewed(out.heartbeat->number, GroupId(2));
  d.notice(SessionNotice::Kind::renewed, kGroup, 0, out.heartbeat->number, 10'000, {GroupId(2)});
  EXPECT_EQ(d.take().terms.back().deadline_ms, sent + 9'800);
}

TEST(Hold, CloseGivesEverythingBack) {
  CoreDriver d;
  d.connect();
  d.held("a");
  d.held("b");
  Sequence waiting = d.acquire("c");
  d.take();
  d.core.close(d.now, d.out);
  Output out = d.take();
  EXPECT_THAT(losses(out), ElementsAre(LostCause::client_closed, LostCause::client_closed));
  EXPECT_THAT(statuses(out), ElementsAre(Status::unavailable));
  EXPECT_THAT(d.sent(out), ElementsAre("cancel c #4", "release a #5", "release b #6"));
  d.answer(waiting, Status::ok, kToken);
  EXPECT_THAT(d.sent(d.out), ElementsAre("release c #7")) << "a grant that crosses the cancel";
}

}  // namespace
}  // namespace dlm::client
