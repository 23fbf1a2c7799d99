// Schedules of faults: the same for a seed, within what was asked for.
#include "test/chaos/run/schedule.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace dlm::chaos {
namespace {

ScheduleOptions options(std::uint64_t seed) {
  ScheduleOptions options;
  options.seed = seed;
  options.total_ms = 600'000;
  options.kinds = all_fault_kinds();
  return options;
}

TEST(Schedule, IsTheSameForTheSameSeed) {
  EXPECT_EQ(make_schedule(options(7)), make_schedule(options(7)));
  EXPECT_NE(make_schedule(options(7)), make_schedule(options(8)));
}

TEST(Schedule, FitsInItsTime) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    std::uint32_t used_ms = 0;
    for (const Fault& fault : make_schedule(options(seed))) used_ms += fault.pause_ms + fault.lasts_ms;
    EXPECT_LE(used_ms, 600'000u) << "seed " << seed;
    EXPECT_GT(used_ms, 500'000u) << "seed " << seed;
  }
}

TEST(Schedule, HasOnlyTheKindsThatWereAskedFor) {
  ScheduleOptions some = options(3);
  some.kinds = {FaultKind::freeze, FaultKind::loss};
  std::set<FaultKind> seen;
  for (const Fault& fault : make_schedule(some)) seen.insert(fault.kind);
  EXPECT_EQ(seen, (std::set<FaultKind>{FaultKind::freeze, FaultKind::loss}));
  some.kinds.clear();
  EXPECT_TRUE(make_schedule(some).empty());
}

TEST(Schedule, ComesToEveryKindAndEveryFailpointInTime) {
  std::set<FaultKind> kinds;
  std::set<std::string> points;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    for (const Fault& fault : make_schedule(options(seed))) {
      kinds.insert(fault.kind);
      if (fault.kind == FaultKind::failpoint) points.insert(fault.point);
    }
  }
  EXPECT_EQ(kinds.size(), all_fault_kinds().size());
  EXPECT_EQ(points.size(), failpoints_of(Role::primary).size() + failpoints_of(Role::backup).size());
}

TEST(Schedule, AimsOnlyAtWhatIsThere) {
  ScheduleOptions small = options(5);
  small.groups = small.routers = small.workers = small.zookeepers = 1;
  for (const Fault& fault : make_schedule(small)) EXPECT_EQ(fault.number, 0u) << describe(fault);
}

TEST(Schedule, KindsHaveNames) {
  for (FaultKind kind : all_fault_kinds()) EXPECT_EQ(parse_fault_kind(to_string(kind)), kind);
  EXPECT_FALSE(parse_fault_kind("plague"));
}

}  // namespace
}  // namespace dlm::chaos
