// The checker is checked: histories of good services pass, and each rule, broken once, is caught.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/chaos/history_rig.h"

namespace dlm::chaos::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

class Checker : public testing::Test, protected HistoryRig {};

// --- good services ----------------------------------------------------------------------------------------

TEST_F(Checker, AcceptsHoldsThatFollowOneAnother) {
  granted("a", 0, 10, 1);
  granted("b", 5, 110, 2);
  release("a", 100, 120, 1);  // b was granted before a heard that its release was done
  release("b", 200, 210, 2);
  granted("a", 220, 230, 3);
  EXPECT_THAT(broken(), IsEmpty());
  EXPECT_EQ(verdict().holds, 3u);
}

TEST_F(Checker, AcceptsAGrantAfterALeaseEnded) {
  granted("a", 0, 10, 1, 1, 1000);
  granted("b", 20, 1010, 2);
  release("a", 1500, 1510, 1, Outcome::expired);
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(Checker, AcceptsReentrantHolds) {
  granted("a", 0, 10, 1, 1);
  granted("a", 20, 30, 1, 2);
  held(40, 50, "a", 1, 2);
  release("a", 60, 70, 1, Outcome::released, 1);
  held(80, 90, "a", 1, 1);
  release("a", 100, 110, 1, Outcome::released, 0);
  free(120, 130);
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(Checker, AcceptsARenewedLease) {
  granted("a", 0, 10, 1, 1, 1000);
  renew("a", 900, 910, 1);
  granted("b", 20, 1905, 2);
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(Checker, KnowsNothingOfAnUnknownAcquire) {
  acquire("a", 0, 100, Outcome::unknown);
  held(110, 120, "a", 1);
  granted("b", 130, 140, 2);
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(Checker, NoLongerTrustsAHoldWhoseReleaseIsUnknown) {
  granted("a", 0, 10, 1, 2);
  records.back().count = 1;
  granted("a", 15, 18, 1, 2);
  release("a", 20, 30, 1, Outcome::unknown);
  held(31, 32, "a", 1, 1);
  granted("b", 25, 40, 2);
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(Checker, AcceptsReadersTogetherAndAWriterAfterThem) {
  granted("a", 0, 10, 1).mode = LockMode::shared;
  granted("b", 20, 30, 2).mode = LockMode::shared;
  granted("w", 40, 110, 3);
  release("a", 50, 60, 1);
  release("b", 100, 120, 2);
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(Checker, LetsAQueryShowAnyMomentOfItsTime) {
  granted("a", 0, 50, 1);
  free(10, 60);
  held(10, 60, "a", 1).client = "another observer";
  release("a", 100, 150, 1);
  free(110, 120);
  free(145, 160);
  EXPECT_THAT(broken(), IsEmpty());
}

// --- broken services --------------------------------------------------------------------------------------

TEST_F(Checker, CatchesTwoHoldersAtATime) {
  granted("a", 0, 10, 1);
  granted("b", 20, 30, 2);
  release("a", 40, 50, 1);
  release("b", 60, 70, 2);
  EXPECT_THAT(broken(), ElementsAre("overlap"));
}

TEST_F(Checker, CatchesTwoHoldersWhoseTokensAreInTheOtherOrder) {
  granted("a", 0, 10, 2);
  granted("b", 20, 30, 1);
  release("a", 40, 50, 2);
  release("b", 60, 70, 1);
  EXPECT_THAT(broken(), Contains("overlap"));
}

TEST_F(Checker, CatchesAReaderBesideAWriter) {
  granted("w", 0, 10, 1);
  granted("r", 20, 30, 2).mode = LockMode::shared;
  EXPECT_THAT(broken(), ElementsAre("overlap"));
}

TEST_F(Checker, CatchesAWriterBesideTheEarlierOfTwoReaders) {
  granted("a", 0, 10, 1).mode = LockMode::shared;
  granted("b", 20, 30, 2).mode = LockMode::shared;
  release("b", 40, 50, 2).mode = LockMode::shared;
  granted("w", 60, 70, 3);
  EXPECT_THAT(broken(), ElementsAre("overlap"));
}

TEST_F(Checker, CatchesALeaseThatEndedEarly) {
  granted("a", 0, 10, 1, 1, 1000);
  granted("b", 20, 900, 2);
  EXPECT_THAT(broken(), ElementsAre("overlap"));
}

TEST_F(Checker, CatchesAnEarlyEndThatNobodyUsed) {
  granted("a", 0, 10, 1, 1, 1000);
  release("a", 500, 510, 1, Outcome::expired);
  EXPECT_THAT(broken(), ElementsAre("lost hold"));
}

TEST_F(Checker, CatchesALostRenewal) {
  granted("a", 0, 10, 1, 1, 1000);
  renew("a", 900, 910, 1, Outcome::renewed, 1000);
  granted("b", 20, 1050, 2);
  EXPECT_THAT(broken(), ElementsAre("overlap"));
}

TEST_F(Checker, CatchesAnEndBeforeWhatTheLibraryClaimed) {
  granted("a", 0, 10, 1, 1, 1000);
  granted("b", 20, 2500, 2);
  EXPECT_THAT(broken(), IsEmpty());
  context.claims = {{"a", "r", 1, 3000 * kMs}};
  EXPECT_THAT(broken(), ElementsAre("overlap"));
}

TEST_F(Checker, CatchesATokenThatDoesNotGrow) {
  granted("a", 0, 10, 5);
  release("a", 20, 30, 5);
  granted("b", 40, 50, 4);
  EXPECT_THAT(broken(), Contains("token order"));
}

TEST_F(Checker, CatchesATokenGivenTwice) {
  granted("a", 0, 10, 5);
  release("a", 20, 30, 5);
  granted("b", 40, 50, 5);
  EXPECT_THAT(broken(), Contains("token order"));
}

TEST_F(Checker, CatchesATokenBelowOneThatOnlyAQuerySaw) {
  acquire("a", 0, 10, Outcome::unknown);
  held(20, 30, "a", 7);
  granted("b", 40, 50, 6);
  EXPECT_THAT(broken(), ElementsAre("token order"));
}

TEST_F(Checker, CatchesARetryThatWasCountedTwice) {
  granted("a", 0, 10, 1, 1);
  granted("a", 20, 30, 1, 3);
  EXPECT_THAT(broken(), ElementsAre("count"));
}

TEST_F(Checker, CatchesAReleaseThatWasDoneTwice) {
  granted("a", 0, 10, 1, 1);
  granted("a", 20, 30, 1, 2);
  release("a", 40, 50, 1, Outcome::released, 0);
  EXPECT_THAT(broken(), ElementsAre("count"));
}

TEST_F(Checker, CatchesAHoldThatCanBeReleasedAgain) {
  granted("a", 0, 10, 1);
  release("a", 20, 30, 1);
  release("a", 40, 50, 1);
  EXPECT_THAT(broken(), ElementsAre("exactly once"));
}

TEST_F(Checker, CatchesARenewalOfWhatWasReleased) {
  granted("a", 0, 10, 1);
  release("a", 20, 30, 1);
  renew("a", 40, 50, 1);
  EXPECT_THAT(broken(), ElementsAre("exactly once"));
}

TEST_F(Checker, CatchesAFreshHoldInTheMiddleOfAHold) {
  granted("a", 0, 10, 1);
  granted("a", 20, 30, 2);
  EXPECT_THAT(broken(), ElementsAre("lost hold"));
}

TEST_F(Checker, CatchesAnOwnerWhoIsRefusedItsOwnLock) {
  granted("a", 0, 10, 1);
  acquire("a", 20, 30, Outcome::timeout);
  EXPECT_THAT(broken(), ElementsAre("count"));
}

TEST_F(Checker, CatchesACountThatOnlyAQueryShows) {
  granted("a", 0, 10, 1);
  held(20, 30, "a", 1, 2);
  EXPECT_THAT(broken(), ElementsAre("count"));
}

TEST_F(Checker, CatchesALowerCountWhileTheHoldIsTrusted) {
  granted("a", 0, 10, 1, 1);
  granted("a", 20, 30, 1, 2);
  held(40, 50, "a", 1, 1);
  EXPECT_THAT(broken(), ElementsAre("count"));
}

// A lost hold is given back by the library, one acquisition at a time.
TEST_F(Checker, AcceptsALowerCountWhenTheHoldIsNotTrustedAnyMore) {
  granted("a", 0, 10, 1, 1);
  granted("a", 20, 30, 1, 2);
  held(60'040, 60'050, "a", 1, 1);
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(Checker, AcceptsALowerCountWhenOneAcquisitionOfTheHoldIsLost) {
  granted("a", 0, 10, 1, 1);
  granted("a", 20, 1'500, 1, 2, 5'000);
  context.claims.push_back({"a", "r", 1, 1'000'000'000});
  context.claims.push_back({"a", "r", 1, 5'000'000'000});
  held(1'600, 1'610, "a", 1, 1);
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(Checker, CatchesAGrantAfterATimeout) {
  acquire("a", 0, 100, Outcome::timeout);
  held(110, 120, "a", 1);
  EXPECT_THAT(broken(), ElementsAre("phantom hold"));
}

TEST_F(Checker, CatchesAGrantAfterAFailure) {
  acquire("a", 0, 100, Outcome::failed);
  held(110, 120, "a", 1);
  EXPECT_THAT(broken(), ElementsAre("phantom hold"));
}

TEST_F(Checker, CatchesAReadThatShowsAnEndedHold) {
  granted("a", 0, 10, 1);
  release("a", 20, 30, 1);
  held(40, 50, "a", 1);
  EXPECT_THAT(broken(), ElementsAre("stale read"));
}

TEST_F(Checker, CatchesAReadThatDoesNotShowAHold) {
  granted("a", 0, 10, 1);
  free(20, 30);
  release("a", 40, 50, 1);
  EXPECT_THAT(broken(), ElementsAre("stale read"));
}

TEST_F(Checker, CatchesWhoeverOvertakesInTheLine) {
  options.fifo_tolerance_ns = 100 * kMs;
  granted("h", 0, 5, 1);
  release("h", 500, 505, 1);
  granted("b", 200, 510, 2);
  release("b", 520, 525, 2);
  granted("a", 10, 530, 3);
  EXPECT_THAT(broken(), ElementsAre("order"));
}

TEST_F(Checker, DoesNotCallItOvertakingWhenTheRequestMayHaveBeenLate) {
  options.fifo_tolerance_ns = 100 * kMs;
  granted("b", 200, 210, 2);
  release("b", 220, 225, 2);
  granted("a", 110, 230, 3);
  EXPECT_THAT(broken(), IsEmpty()) << "within the tolerance";
  records[2].call_ns = 10 * kMs;
  EXPECT_THAT(broken(), ElementsAre("order"));
  context.faults = {{"freeze", "r1", "", 50 * kMs, 60 * kMs}};
  EXPECT_THAT(broken(), IsEmpty()) << "a fault was in its way";
}

// --- a group that lost everything
// ---------------------------------------------------------------------------

TEST_F(Checker, LetsAGroupForgetItsHoldsWhenAllItsReplicasWereLost) {
  granted("a", 0, 10, 1, 1, 1000);
  free(200, 210);
  release("a", 500, 510, 1, Outcome::not_held);
  EXPECT_THAT(broken(), ElementsAre("lost hold", "stale read"));
  context.faults = {{kGroupForgot, "s1,s2,s3", "g1", 100 * kMs, 300 * kMs}};
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(Checker, CatchesAGrantBeforeTheLeasesOfAGroupThatLostEverythingAreOver) {
  granted("a", 0, 10, 1, 1, 1000);
  granted("b", 320, 900, 2);
  context.faults = {{kGroupForgot, "s1,s2,s3", "g1", 100 * kMs, 300 * kMs}};
  EXPECT_THAT(broken(), ElementsAre("overlap"));
}

// --- the file itself --------------------------------------------------------------------------------------

TEST_F(Checker, RefusesAClientThatDoesTwoThingsAtATime) {
  granted("a", 0, 50, 1);
  acquire("a", 20, 30, Outcome::failed);
  EXPECT_THAT(broken(), ElementsAre("history"));
}

TEST_F(Checker, RefusesAClientThatGoesOnAfterAnUnknownOutcome) {
  acquire("a", 0, 50, Outcome::unknown);
  acquire("a", 60, 70, Outcome::failed);
  EXPECT_THAT(broken(), ElementsAre("history"));
}

// --- gaps -------------------------------------------------------------------------------------------------

TEST_F(Checker, MeasuresTheLongestGapThatTouchesAFault) {
  free(0, 10);
  free(20, 100);
  free(110, 700);
  acquire("a", 150, 300, Outcome::failed);  // no success
  free(800, 2000);
  EXPECT_EQ(longest_gap_ns(records, context, {"kill", "s1", "", 120 * kMs, 150 * kMs}), 600 * kMs);
  EXPECT_EQ(longest_gap_ns(records, context, {"kill", "s1", "", 30 * kMs, 50 * kMs}), 90 * kMs);
}

TEST_F(Checker, MeasuresTheGapOfTheGroupThatAFaultHits) {
  free(0, 10);
  free(20, 500);
  free(0, 100).resource = "of another group";
  context.groups = {{"r", "g1"}, {"of another group", "g2"}};
  EXPECT_EQ(longest_gap_ns(records, context, {"kill", "s1", "g1", 50 * kMs, 150 * kMs}), 490 * kMs);
  EXPECT_EQ(longest_gap_ns(records, context, {"kill", "s1", "", 50 * kMs, 60 * kMs}), 90 * kMs);
}

}  // namespace
}  // namespace dlm::chaos::test
