// What is refused as overloaded: asked again later and at different times, within the time of its caller.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core_driver.h"

namespace dlm::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Passes time until the operation is sent again; how long that took, or `max_ms`.
std::uint64_t until_sent(CoreDriver& d, std::uint64_t max_ms) {
  d.take();
  for (std::uint64_t ms = 1; ms <= max_ms; ++ms) {
    d.pass(1);
    if (!d.out.send.empty()) return ms;
  }
  return max_ms;
}

// The router refuses the operation as often as it comes.
bool of_kind(CoreDriver& d, OperationKind kind) {
  return d.core.operation(d.out.send.back(), d.now)->kind == kind;
}
void refuse_for(CoreDriver& d, OperationKind kind, std::uint64_t ms, std::uint32_t retry_after_ms) {
  for (std::uint64_t i = 0; i < ms; ++i) {
    const std::size_t sent = d.out.send.size();
    d.pass(1);
    if (d.out.send.size() > sent && of_kind(d, kind)) d.overloaded(d.out.send.back(), retry_after_ms);
  }
}

TEST(Overload, ATryHearsOfItAtOnceWithTheTimeToComeBack) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a", 0);
  d.take();
  d.overloaded(sequence, 700);
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::overloaded));
  EXPECT_EQ(out.completions[0].answer.retry_after_ms, 700U);
  EXPECT_FALSE(out.completions[0].outcome_unknown);
  EXPECT_EQ(d.core.operations_under_way(), 0U);
}

TEST(Overload, AnAcquireThatWaitsIsAskedAgainAboutWhenItIsTold) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a", 60'000);
  d.overloaded(sequence, 1'000);
  const std::uint64_t pause = until_sent(d, 5'000);
  EXPECT_GE(pause, 750U);
  EXPECT_LE(pause, 1'251U);
  EXPECT_THAT(d.sent(d.take()), ElementsAre("acquire a #2"));
  EXPECT_EQ(d.core.operation(Sequence(2), d.now)->wait_ms, 60'000 - pause) << "what is left of its wait";
  d.opened(Sequence(2));
  d.answer(Sequence(2), Status::ok, kToken);
  Output out = d.take();
  ASSERT_THAT(statuses(out), ElementsAre(Status::ok));
  EXPECT_EQ(out.completions[0].sequence, sequence) << "its caller knows nothing of that";
}

TEST(Overload, WhatIsAskedAgainDoesNotKeepTheAnswersOfOthersFromBeingForgotten) {
  CoreDriver d;
  d.connect();
  Sequence refused = d.acquire("a");
  Sequence other = d.acquire("b");
  d.overloaded(refused, 10'000);
  d.opened(other);
  d.answer(other, Status::ok, kToken);
  EXPECT_EQ(d.core.acked_below(), Sequence(3));
}

TEST(Overload, AWaitCanBeWithdrawnByTheNameThatItsCallerKnows) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.overloaded(sequence, 100);
  until_sent(d, 200);
  d.take();
  d.core.cancel(sequence, d.now, d.out);
  Output out = d.take();
  const Sequence cancel = d.last_sent(out, OperationKind::cancel);
  ASSERT_TRUE(cancel);
  EXPECT_EQ(d.core.operation(cancel, d.now)->target, Sequence(2)) << "that was sent last";
}

TEST(Overload, ManyAreNotAskedAgainAtOneTime) {
  CoreDriver d;
  d.connect();
  std::vector<Sequence> sequences;
  for (int i = 0; i < 100; ++i) sequences.push_back(d.acquire("a"));
  for (Sequence sequence : sequences) d.overloaded(sequence, 1'000);
  d.take();
  std::set<std::uint64_t> times;
  for (int ms = 0; ms < 1'300; ++ms) {
    d.pass(1);
    if (!d.take().send.empty()) times.insert(d.now);
  }
  EXPECT_GT(times.size(), 60U);
}

TEST(Overload, OneWhoWaitsForEverIsAskedAgainForEverAndMoreAndMoreRarely) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  std::uint64_t last = 0;
  for (int i = 0; i < 20; ++i) {
    d.overloaded(sequence, 0);
    last = until_sent(d, 10'000);
    sequence = d.out.send.back();
  }
  EXPECT_GE(last, 1'500U);
  EXPECT_LE(last, 2'501U);
  EXPECT_THAT(statuses(d.take()), IsEmpty());
}

TEST(Overload, AtTheCallersDeadlineTheRefusalIsTheAnswer) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a", 500);
  d.overloaded(sequence, 5'000);
  refuse_for(d, OperationKind::acquire, 500, 5'000);
  Output out = d.take();
  EXPECT_GE(out.send.size(), 2U) << "once more, before it is too late";
  EXPECT_LE(out.send.size(), 6U);
  ASSERT_EQ(out.completions.size(), 1U);
  EXPECT_EQ(out.completions[0].answer.status, Status::overloaded);
  EXPECT_EQ(out.completions[0].answer.message, "g1 is asked for more than it can do");
  EXPECT_EQ(d.core.operations_under_way(), 0U);
}

TEST(Overload, AWaitThatIsWithdrawnMeanwhileLeavesNothingBehind) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.overloaded(sequence, 5'000);
  d.take();
  d.core.cancel(sequence, d.now, d.out);
  Output out = d.take();
  EXPECT_THAT(statuses(out), ElementsAre(Status::cancelled));
  EXPECT_THAT(d.sent(out), IsEmpty()) << "nothing was done that could be cancelled";
  EXPECT_EQ(d.core.operations_under_way(), 0U);
}

TEST(Overload, WhatMayHaveBeenDoneIsNotTakenForRefused) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a", 0);
  d.lose_connection();
  d.connect();
  d.overloaded(sequence, 100);
  EXPECT_THAT(statuses(d.take()), IsEmpty()) << "also a try is asked again, until its answer is known";
  refuse_for(d, OperationKind::acquire, 10'000, 100);
  Output out = d.take();
  ASSERT_EQ(out.completions.size(), 1U);
  EXPECT_EQ(out.completions[0].answer.status, Status::overloaded);
  EXPECT_TRUE(out.completions[0].outcome_unknown);
  EXPECT_TRUE(d.last_sent(out, OperationKind::cancel)) << "what it may hold is given back";
}

TEST(Overload, AReleaseIsRepeatedUntilItIsDone) {
  CoreDriver d;
  d.connect();
  HoldId hold = d.held("a");
  Sequence release = d.release(hold);
  d.overloaded(release, 100);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok)) << "of the acquire alone";
  EXPECT_LE(until_sent(d, 200), 130U);
  d.answer(d.last_sent(d.out, OperationKind::release), Status::ok);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::ok));
}

TEST(Overload, AReleaseWhoseCallerIsToldGoesOnInTheBackground) {
  CoreDriver d;
  d.connect();
  HoldId hold = d.held("a");
  Sequence release = d.release(hold);
  d.take();
  d.overloaded(release, 1'000);
  refuse_for(d, OperationKind::release, 10'000, 1'000);
  EXPECT_THAT(statuses(d.take()), ElementsAre(Status::overloaded));
  refuse_for(d, OperationKind::release, 60'000, 1'000);
  d.take();
  EXPECT_LE(until_sent(d, 5'000), 2'501U);
  EXPECT_TRUE(d.last_sent(d.take(), OperationKind::release));
}

TEST(Overload, ARefusalOnTheOldConnectionDoesNotHurryTheNext) {
  CoreDriver d;
  d.connect();
  Sequence sequence = d.acquire("a");
  d.overloaded(sequence, 4'000);
  d.take();
  d.lose_connection();
  d.connect();
  EXPECT_THAT(d.sent(d.take()), IsEmpty());
  EXPECT_GE(until_sent(d, 6'000), 2'900U);
}

}  // namespace
}  // namespace dlm::client
