// What of the library's answers goes into a history: only what the service promised counts as an answer.
#include <gtest/gtest.h>

#include "test/chaos/workload/recorder.h"

namespace dlm::chaos {
namespace {

Error error(Status status, bool outcome_unknown = false, EndCause cause = EndCause::none) {
  Error made;
  made.status = status;
  made.outcome_unknown = outcome_unknown;
  made.cause = cause;
  return made;
}

TEST(HistoryOutcome, OfAnAcquireIsFailedOnlyWhenNothingCanHappenAnyMore) {
  EXPECT_EQ(outcome_of_acquire(error(Status::timed_out)), Outcome::timeout);
  EXPECT_EQ(outcome_of_acquire(error(Status::timed_out, true)), Outcome::unknown);
  EXPECT_EQ(outcome_of_acquire(error(Status::unavailable)), Outcome::failed);
  EXPECT_EQ(outcome_of_acquire(error(Status::unavailable, true)), Outcome::unknown);
  EXPECT_EQ(outcome_of_acquire(error(Status::overloaded)), Outcome::failed);
  EXPECT_EQ(outcome_of_acquire(error(Status::cancelled)), Outcome::unknown)
      << "it may have been granted for a moment";
  EXPECT_EQ(outcome_of_acquire(error(Status::session_expired)), Outcome::unknown);
}

TEST(HistoryOutcome, OfADetachedHoldIsTheGroupsWord) {
  EXPECT_EQ(outcome_of_detached(error(Status::not_held, false, EndCause::expired)), Outcome::expired);
  EXPECT_EQ(outcome_of_detached(error(Status::not_held, false, EndCause::released)), Outcome::not_held);
  EXPECT_EQ(outcome_of_detached(error(Status::unavailable)), Outcome::unknown) << "it goes on trying";
}

TEST(HistoryOutcome, OfAHandleIsExpiredOnlyWhenTheGroupEndedTheSession) {
  EXPECT_EQ(outcome_of_handle(error(Status::session_expired), LostCause::session_expired), Outcome::expired);
  EXPECT_EQ(outcome_of_handle(error(Status::session_expired), LostCause::deadline_passed), Outcome::unknown);
  EXPECT_EQ(outcome_of_handle(error(Status::unavailable, true), LostCause::none), Outcome::unknown);
}

}  // namespace
}  // namespace dlm::chaos
