// What a client makes of holds and waits that go from one group to another while it has them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/client/core_driver.h"

namespace dlm::client {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr GroupId kOther{2};
constexpr GroupId kThird{3};

class Moves : public ::testing::Test {
 protected:
  void SetUp() override { d.connect(); }

  // Passes time until the next heartbeat, whose number it gives.
  std::uint64_t beat() {
    for (int i = 0; i < 10'000; ++i) {
      d.pass(1);
      if (!d.out.heartbeat) continue;
      std::uint64_t number = d.out.heartbeat->number;
      d.out.heartbeat.reset();
      return number;
    }
    ADD_FAILURE() << "no heartbeat";
    return 0;
  }
  void renewed(std::uint64_t number, GroupId group, std::vector<GroupId> moved_to = {},
               std::uint32_t generation = 0) {
    d.notice(SessionNotice::Kind::renewed, group, generation, number, 10'000, std::move(moved_to));
  }
  // kGroup says that holds went to `to`, which confirms at once.
  void move_to(GroupId to) {
    renewed(beat(), kGroup, {to});
    renewed(d.take().heartbeat->number, to);
    d.take();
  }
  std::uint64_t deadline_of(GroupId group) const {
    return d.core.sessions().deadline_ms(d.core.sessions().find(group)->term);
  }
  void answer_release(const Output& out, GroupId group, Status status = Status::not_held) {
    d.answer(d.last_sent(out, OperationKind::release), status, {}, group);
  }

  CoreDriver d;
};

TEST_F(Moves, ATermLivesAsLongAsTheFirstOfItsGroups) {
  d.held("a");
  move_to(kOther);
  std::uint64_t other = d.core.sessions().find(kOther)->deadline_ms;
  std::uint64_t number = beat();
  renewed(number, kGroup, {kOther});
  EXPECT_EQ(deadline_of(kGroup), other) << "the other has not confirmed this heartbeat";
  renewed(number, kOther);
  EXPECT_GT(deadline_of(kGroup), other);
}

TEST_F(Moves, FollowAChainOfGroups) {
  d.held("a");
  move_to(kOther);
  std::uint64_t number = beat();
  renewed(number, kGroup, {kOther});
  renewed(number, kOther, {kThird});
  std::uint64_t third = d.core.sessions().find(kThird)->deadline_ms;
  EXPECT_EQ(deadline_of(kGroup), third) << "it may be at the third by now";
  number = d.take().heartbeat->number;
  for (GroupId group : {kGroup, kOther}) renewed(number, group, {group == kGroup ? kOther : kThird});
  EXPECT_EQ(deadline_of(kGroup), third);
  renewed(number, kThird);
  EXPECT_GT(deadline_of(kGroup), third);
}

TEST_F(Moves, AGroupThatHasNotGotTheHoldsYetTakesNothingByDenyingTheSession) {
  d.held("a");
  std::uint64_t before = deadline_of(kGroup);
  renewed(beat(), kGroup, {kOther});
  d.take();
  d.ended(kOther);
  Output out = d.take();
  EXPECT_THAT(losses(out), IsEmpty());
  EXPECT_EQ(deadline_of(kGroup), before) << "as sure as it was";
  d.pass(1);
  out = d.take();
  ASSERT_THAT(d.sent(out), ElementsAre("renew a #2")) << "where is it?";
  Sequence search = d.last_sent(out, OperationKind::renew);
  std::uint64_t asked = d.now;
  d.pass(100);
  d.opened(search, kOther, 1);
  d.answer(search, Status::ok, kToken, kOther);
  EXPECT_EQ(d.core.sessions().find(kOther)->deadline_ms, asked + 9'800);
  EXPECT_GT(deadline_of(kOther), before);
  EXPECT_EQ(d.core.holds(), 1u);
}

TEST_F(Moves, AHoldThatNeverArrivesIsLostAtTheOldDeadlineAndGivenBack) {
  d.held("a");
  std::uint64_t before = deadline_of(kGroup);
  renewed(beat(), kGroup, {kOther});
  d.take();
  d.pass(before - d.now - 1);
  EXPECT_THAT(losses(d.take()), IsEmpty());
  d.pass(1);
  Output out = d.take();
  EXPECT_THAT(losses(out), ElementsAre(LostCause::deadline_passed));
  EXPECT_TRUE(d.last_sent(out, OperationKind::release));
}

TEST_F(Moves, TheGroupThatGotThemLosesAllWhenItEndsTheSession) {
  d.held("a");
  move_to(kOther);
  d.ended(kOther);
  Output out = d.take();
  EXPECT_THAT(losses(out), ElementsAre(LostCause::session_expired));
  EXPECT_THAT(d.sent(out), ElementsAre("release a #2")) << "it may have stayed where it was";
}

TEST_F(Moves, TheNextTermOutlivesAGroupThatIsStillNamedAndKnowsNothing) {
  d.held("a");
  move_to(kOther);
  d.ended(kOther);
  answer_release(d.take(), kGroup, Status::ok);
  renewed(beat(), kGroup, {kOther});
  Sequence next = d.acquire("b");
  d.answer(next, Status::ok, kToken);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok));
  for (int i = 0; i < 10; ++i) {
    renewed(beat(), kGroup, {kOther});
    Output out = d.take();
    EXPECT_THAT(losses(out), IsEmpty());
    if (Sequence search = d.last_sent(out, OperationKind::renew)) d.answer(search, Status::ok, kToken);
  }
  EXPECT_EQ(d.core.holds(), 1u);
  EXPECT_GT(deadline_of(kGroup), d.now);
}

TEST_F(Moves, HoldsOutliveTheGroupThatGaveThemAway) {
  HoldId hold = d.held("a");
  move_to(kOther);
  std::uint64_t old_deadline = deadline_of(kGroup);
  Sequence search;
  while (d.now < old_deadline + 20'000) {
    d.pass(100);
    Output out = d.take();
    EXPECT_THAT(losses(out), IsEmpty());
    EXPECT_EQ(jeopardies(out), 0u) << "found in good time";
    if (out.heartbeat) renewed(out.heartbeat->number, kOther);
    if (Sequence asked = d.last_sent(out, OperationKind::renew)) {
      EXPECT_FALSE(search) << "once is enough";
      search = asked;
      d.answer(search, Status::ok, kToken, kOther);
    }
  }
  EXPECT_TRUE(search);
  d.ended(kGroup);
  EXPECT_THAT(losses(d.take()), IsEmpty()) << "nothing of it was there";
  Sequence release = d.release(hold);
  d.answer(release, Status::ok, kToken, kOther);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok));
}

TEST_F(Moves, AHoldThatIsNotFoundElsewhereIsLostWithItsGroup) {
  d.held("a");
  move_to(kOther);
  std::uint64_t deadline = deadline_of(kGroup);
  while (d.now + 3'400 < deadline) renewed(beat(), kOther);
  EXPECT_TRUE(d.last_sent(d.take(), OperationKind::renew)) << "asked for, and never answered";
  d.pass(deadline - d.now);
  EXPECT_THAT(losses(d.take()), ElementsAre(LostCause::deadline_passed));
}

TEST_F(Moves, AHoldThatNoGroupHasIsLost) {
  d.held("a");
  move_to(kOther);
  Output out;
  while (!d.last_sent(out, OperationKind::renew)) {
    renewed(beat(), kOther);
    out = d.take();
  }
  d.answer(d.last_sent(out, OperationKind::renew), Status::not_held, {}, kOther);
  EXPECT_THAT(losses(d.take()), ElementsAre(LostCause::not_held));
}

TEST_F(Moves, AGroupToWhichSomethingWentOnceMayFallSilentForEver) {
  d.held("a");
  d.held("b", FencingToken(kToken.value + 1));
  move_to(kOther);
  for (int i = 0; i < 20; ++i) {
    renewed(beat(), kGroup, {kOther});
    Output out = d.take();
    EXPECT_THAT(losses(out), IsEmpty());
    for (Sequence sequence : out.send) d.answer(sequence, Status::ok, kToken, kGroup);
  }
  Sequence fresh = d.acquire("c");
  d.answer(fresh, Status::ok, kToken);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok)) << "and what stayed is in use all the while";
  EXPECT_EQ(d.core.holds(), 3u);
}

TEST_F(Moves, OldNewsOfAGrantIsCheckedWhileAGroupIsSilent) {
  d.held("a");
  Sequence waiting = d.acquire("b");
  d.answer(waiting, Status::queued);
  move_to(kOther);
  for (int i = 0; i < 5; ++i) {
    renewed(beat(), kGroup, {kOther});
    for (Sequence sequence : d.take().send) d.answer(sequence, Status::ok, kToken, kGroup);
  }
  d.take();
  d.answer(waiting, Status::ok, FencingToken(kToken.value + 1));
  Output out = d.take();
  EXPECT_THAT(statuses(out), IsEmpty()) << "granted at an unknown time, perhaps gone to the silent one";
  ASSERT_THAT(d.sent(out), ElementsAre(testing::StartsWith("renew b")));
  d.answer(d.last_sent(out, OperationKind::renew), Status::ok, FencingToken(kToken.value + 1));
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok));
}

TEST_F(Moves, HoldsOfAnEndedSessionAreGivenBackWhereverTheyAre) {
  d.held("a");
  d.held("b", FencingToken(kToken.value + 1), kThird);
  d.take();
  d.ended(kGroup);
  Output out = d.take();
  EXPECT_THAT(losses(out), ElementsAre(LostCause::session_expired));
  EXPECT_THAT(d.sent(out), ElementsAre("release a #3"));
  answer_release(out, kOther);
  EXPECT_EQ(d.core.operations_under_way(), 0u) << "not held is fine";
}

TEST_F(Moves, HoldsOfAnEndedSessionAreGivenBackWhereTheClientHasNotHeardOfYet) {
  d.held("a");
  d.take();
  d.ended(kGroup);
  Output out = d.take();
  EXPECT_THAT(d.sent(out), ElementsAre("release a #2"))
      << "it may have gone before the group lost everything";
  answer_release(out, kOther);
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST_F(Moves, AGiveBackThatMeetsTheEndOfAnotherSessionIsMadeOnceMore) {
  d.held("a");
  d.held("b", FencingToken(kToken.value + 1), kThird);
  d.ended(kGroup);
  Sequence first = d.last_sent(d.take(), OperationKind::release);
  d.answer(first, Status::session_expired, {}, kOther);
  Sequence second = d.last_sent(d.take(), OperationKind::release);
  ASSERT_TRUE(second);
  d.answer(second, Status::session_expired, {}, kOther);
  EXPECT_THAT(d.sent(d.take()), IsEmpty()) << "not for ever";
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST_F(Moves, AReleaseUnderWayIsMadeAgainInTheNextSession) {
  HoldId hold = d.held("a");
  d.held("b", FencingToken(kToken.value + 1), kThird);
  Sequence release = d.release(hold);
  d.take();
  d.ended(kGroup);
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::session_expired));
  EXPECT_THAT(d.sent(out), ElementsAre("release a #3")) << "not another one: it takes effect once";
  d.answer(release, Status::session_expired);
  EXPECT_THAT(d.sent(d.take()), ElementsAre("release a #4")) << "the one before was not executed";
}

TEST_F(Moves, AWaitOfAnEndedSessionIsWithdrawnWhereverItIs) {
  d.held("b", kToken, kThird);
  Sequence waiting = d.acquire("a");
  d.opened(waiting);
  d.answer(waiting, Status::queued);
  d.take();
  d.ended(kGroup);
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::session_expired));
  EXPECT_THAT(d.sent(out), ElementsAre("cancel a #3"));
  d.answer(waiting, Status::ok, FencingToken(kToken.value + 1), kOther);
  EXPECT_THAT(d.sent(d.take()), ElementsAre("release a #4")) << "the grant that crossed the cancel";
}

TEST_F(Moves, AWithdrawalThatMeetsTheEndOfASessionIsMadeOnceMore) {
  d.held("b", kToken, kThird);
  Sequence waiting = d.acquire("a");
  d.opened(waiting);
  d.answer(waiting, Status::queued);
  d.core.cancel(waiting, d.now, d.out);
  Sequence cancel = d.last_sent(d.take(), OperationKind::cancel);
  d.ended(kGroup);
  Output out = d.take();
  EXPECT_THAT(d.sent(out), ElementsAre("cancel a #4"));
  d.answer(cancel, Status::session_expired);
  d.answer(d.last_sent(out, OperationKind::cancel), Status::session_expired, {}, kOther);
  out = d.take();
  EXPECT_THAT(d.sent(out), ElementsAre("cancel a #5"));
  d.answer(d.last_sent(out, OperationKind::cancel), Status::ok, {}, kOther);
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST_F(Moves, AWithdrawnWaitThatIsToldTheEndOfItsSessionIsStillGivenBackByItsCancel) {
  d.held("b", kToken, kThird);
  Sequence waiting = d.acquire("a");
  d.opened(waiting);
  d.answer(waiting, Status::queued);
  d.core.cancel(waiting, d.now, d.out);
  d.take();
  d.ended(kGroup);
  Output out = d.take();
  EXPECT_THAT(d.sent(out), ElementsAre("cancel a #4"));
  d.answer(waiting, Status::session_expired);
  d.answer(d.last_sent(out, OperationKind::cancel), Status::ok, FencingToken(kToken.value + 1), kOther);
  EXPECT_THAT(d.sent(d.take()), ElementsAre("release a #5"));
}

TEST_F(Moves, AWithdrawnWaitThatComesToAnotherGroupAfterItsCancelIsCancelledThere) {
  Sequence waiting = d.acquire("a");
  d.opened(waiting);
  d.core.cancel(waiting, d.now, d.out);
  Output out = d.take();
  Sequence cancel = d.last_sent(out, OperationKind::cancel);
  d.ended(kGroup);
  d.take();
  d.answer(cancel, Status::session_expired);
  out = d.take();
  EXPECT_EQ(d.core.operations_under_way(), 1u) << "the router has it still";
  d.answer(waiting, Status::queued, {}, kOther);
  out = d.take();
  EXPECT_THAT(d.sent(out), ElementsAre("cancel a #3"));
  d.answer(d.last_sent(out, OperationKind::cancel), Status::cancelled, {}, kOther);
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST_F(Moves, AWaitThatIsToldQueuedByAnotherGroupBelongsToThatOne) {
  Sequence waiting = d.acquire("a");
  d.opened(waiting);
  d.answer(waiting, Status::queued);
  d.take();
  d.answer(waiting, Status::queued, {}, kOther);
  Output out = d.take();
  ASSERT_EQ(out.queued.size(), 1u) << "told again";
  EXPECT_EQ(out.queued[0].group, kOther);
  ASSERT_TRUE(out.heartbeat);
  EXPECT_THAT(out.heartbeat->groups, Contains(SessionInUse{kOther, 0, true}));
  d.ended(kGroup);
  EXPECT_THAT(statuses(d.take()), IsEmpty()) << "it is no longer there";
  renewed(out.heartbeat->number, kOther);
  d.answer(waiting, Status::ok, kToken, kOther);
  out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::ok));
  EXPECT_EQ(out.completions[0].term, d.core.sessions().find(kOther)->term);
}

TEST_F(Moves, ALongWaitThatMovedIsNotGivenUpBeforeItsNewGroupHadTimeToAnswer) {
  Sequence waiting = d.acquire("a");
  d.opened(waiting);
  d.answer(waiting, Status::queued);
  for (int i = 0; i < 20; ++i) renewed(beat(), kGroup);
  d.answer(waiting, Status::queued, {}, kOther);
  d.pass(10'000);
  EXPECT_THAT(statuses(d.take()), IsEmpty());
}

TEST_F(Moves, AnswersOfAnotherGroupThanTheHoldsAreGood) {
  Sequence sequence = d.acquire_leased("a", LeaseKind::capped, 20'000);
  d.opened(sequence);
  d.answer(sequence, Status::ok, kToken, kGroup, 20'000);
  HoldId hold(sequence.value);
  move_to(kOther);
  Sequence renewal = d.renew(hold);
  d.answer(renewal, Status::ok, kToken, kOther, 20'000);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok));
  Sequence release = d.release(hold);
  d.answer(release, Status::ok, kToken, kOther, 0, 0);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok));
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST_F(Moves, AClosingClientGivesBackWhatHasMoved) {
  d.held("a");
  move_to(kOther);
  d.core.close(d.now, d.out);
  Output out = d.take();
  EXPECT_THAT(d.sent(out), ElementsAre("release a #2"));
  answer_release(out, kOther, Status::ok);
  EXPECT_EQ(d.core.operations_under_way(), 0u);
}

TEST_F(Moves, AForgottenHoldIsNotSearchedFor) {
  HoldId hold = d.held("a");
  move_to(kOther);
  d.core.forget(hold);
  for (int i = 0; i < 5; ++i) renewed(beat(), kOther);
  EXPECT_THAT(d.sent(d.take()), IsEmpty());
}

}  // namespace
}  // namespace dlm::client
