#include "client/cli/supervisor.h"

#include <gtest/gtest.h>

namespace dlm::cli {
namespace {

using std::chrono::milliseconds;

BoottimeClock::time_point at(int ms) {
  return BoottimeClock::time_point(milliseconds(ms));
}

TEST(KillTimes, LeaveTheHeartbeatsAThirdOfTheTtl) {
  for (int ttl_ms : {1'000, 1'500, 3'000, 10'000, 60'000, 3'600'000}) {
    for (int grace_ms : {0, 100, 1'000, 1'000'000}) {
      auto times = KillTimes::of(milliseconds(ttl_ms), milliseconds(grace_ms));
      EXPECT_LE(times.grace + times.margin, milliseconds(ttl_ms / 3));
      EXPECT_LE(times.grace, milliseconds(grace_ms));
      EXPECT_GE(times.margin, milliseconds(50));
    }
  }
}

TEST(KillTimes, GiveTheGraceThatIsAskedForWhereThereIsRoom) {
  auto times = KillTimes::of(milliseconds(10'000), milliseconds(1'000));
  EXPECT_EQ(times.grace, milliseconds(1'000));
  EXPECT_EQ(times.margin, milliseconds(500));
}

struct StepCase {
  LockState state;
  int now_ms;
  bool terminated;
  KillStep step;
};

TEST(KillStep, EndsTheCommandBeforeTheDeadline) {
  KillTimes times{milliseconds(1'000), milliseconds(500)};
  const StepCase cases[] = {
      {LockState::held, 8'499, false, KillStep::none},
      {LockState::jeopardy, 8'499, false, KillStep::none},
      {LockState::jeopardy, 8'500, false, KillStep::terminate},
      {LockState::jeopardy, 8'500, true, KillStep::none},
      {LockState::jeopardy, 9'499, true, KillStep::none},
      {LockState::jeopardy, 9'500, true, KillStep::kill},
      {LockState::held, 9'500, false, KillStep::kill},
  };
  for (const StepCase& each : cases) {
    EXPECT_EQ(kill_step(each.state, at(10'000), at(each.now_ms), times, each.terminated), each.step)
        << each.now_ms;
  }
}

TEST(KillStep, KillsAtOnceWhenTheLockIsLost) {
  KillTimes times{milliseconds(1'000), milliseconds(500)};
  EXPECT_EQ(kill_step(LockState::lost, at(10'000), at(0), times, false), KillStep::kill);
  // A process that was stopped and wakes: the state may be older than the clock.
  EXPECT_EQ(kill_step(LockState::held, at(10'000), at(60'000), times, false), KillStep::kill);
}

TEST(KillStep, KillsWithoutAWordWhenThereIsNoGrace) {
  KillTimes times{milliseconds(0), milliseconds(50)};
  EXPECT_EQ(kill_step(LockState::held, at(1'000), at(949), times, false), KillStep::none);
  EXPECT_EQ(kill_step(LockState::held, at(1'000), at(950), times, false), KillStep::kill);
}

}  // namespace
}  // namespace dlm::cli
