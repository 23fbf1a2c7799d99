// What a change makes of the ring's record, what it is refused for, and when it is over.
#include "coordinator/core/ring_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace dlm::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = RingChange::Kind;

class Change : public ::testing::Test {
 protected:
  // g1 to g3 have primaries, g4 has a record alone; the ring is g1 (1.0) and g2 (0.5), version 7.
  Change() {
    for (std::uint32_t id = 1; id <= 4; ++id) {
      configs[GroupId(id)].version = 1;
      configs[GroupId(id)].config.epoch = Epoch(1);
      if (id != 4) configs[GroupId(id)].config.primary = {"s1", 1};
    }
  }

  static RingChange change(Kind kind, std::uint32_t group = 0, double weight = 1) {
    RingChange change;
    change.kind = kind;
    change.group = GroupId(group);
    change.weight = weight;
    return change;
  }
  RingPlan planned(const RingChange& asked) const { return plan(ring, asked, configs); }
  // The reason why it is refused; fails the test when it is not.
  std::string refusal(const RingChange& asked) const {
    const RingPlan refused = planned(asked);
    EXPECT_EQ(refused.status, Status::invalid_argument);
    return refused.message;
  }
  void begin(const RingChange& asked) {
    const RingPlan begun = planned(asked);
    ASSERT_TRUE(begun.ok()) << begun.message;
    ring = begun.record;
    ring.version = 8;
  }

  RingRecord ring{7, {{GroupId(1), 1}, {GroupId(2), 0.5}}};
  std::map<GroupId, VersionedConfig> configs;
};

TEST_F(Change, ThatAddsAGroupKeepsTheRingBefore) {
  RingChange asked = change(Kind::add, 3, 2);
  asked.locks_per_s_max = 100;
  asked.expected_version = 7;
  const RingPlan added = planned(asked);
  ASSERT_TRUE(added.ok()) << added.message;
  RingRecord expected{7, {{GroupId(1), 1}, {GroupId(2), 0.5}, {GroupId(3), 2}}};
  expected.before = ring.groups;
  expected.locks_per_s_max = 100;
  EXPECT_EQ(added.record, expected);
}

TEST_F(Change, ThatRemovesAGroupLeavesTheOthers) {
  const RingPlan removed = planned(change(Kind::remove, 1));
  ASSERT_TRUE(removed.ok()) << removed.message;
  EXPECT_EQ(removed.record.groups, (std::vector<RingGroup>{{GroupId(2), 0.5}}));
  EXPECT_EQ(removed.record.before, ring.groups);
}

TEST_F(Change, OfAWeightChangesThatAlone) {
  const RingPlan heavier = planned(change(Kind::weight, 2, 4));
  ASSERT_TRUE(heavier.ok()) << heavier.message;
  EXPECT_EQ(heavier.record.groups, (std::vector<RingGroup>{{GroupId(1), 1}, {GroupId(2), 4}}));
}

TEST_F(Change, KeepsTheGroupsInOrder) {
  ring.groups = {{GroupId(2), 1}, {GroupId(3), 1}};
  const RingPlan added = planned(change(Kind::add, 1));
  ASSERT_TRUE(added.ok()) << added.message;
  EXPECT_EQ(added.record.groups, (std::vector<RingGroup>{{GroupId(1), 1}, {GroupId(2), 1}, {GroupId(3), 1}}));
}

TEST_F(Change, ThatMakesNoSenseIsRefusedWithWhatToDo) {
  EXPECT_THAT(refusal(change(Kind::add, 2)), HasSubstr("g2 is in the ring already"));
  EXPECT_EQ(refusal(change(Kind::add, 9)), "there is no group g9 yet: start servers with --groups g9 first");
  EXPECT_EQ(refusal(change(Kind::add, 4)), "g4 has no primary: start servers with --groups g4 first");
  EXPECT_EQ(refusal(change(Kind::add)), "a group such as g1 must be named");
  EXPECT_EQ(refusal(change(Kind::remove, 3)), "g3 is not in the ring");
  EXPECT_EQ(refusal(change(Kind::weight, 3, 2)), "g3 is not in the ring: add it");
  EXPECT_EQ(refusal(change(Kind::weight, 2, 0.5)), "g2 has the weight 0.5 already");
  EXPECT_EQ(refusal(change(static_cast<Kind>(99), 2)), "there is no such change of the ring");
  ring.groups.pop_back();
  EXPECT_EQ(refusal(change(Kind::remove, 1)), "g1 is the last group of the ring: add another one first");
}

TEST_F(Change, OutsideOfTheLimitsOfWeightsIsRefusedWithThem) {
  for (double weight : {0.0, -1.0, 0.009, 64.1, std::nan(""), HUGE_VAL}) {
    EXPECT_EQ(refusal(change(Kind::add, 3, weight)), "a weight is a number from 0.01 to 64.0") << weight;
    EXPECT_EQ(refusal(change(Kind::weight, 1, weight)), "a weight is a number from 0.01 to 64.0") << weight;
  }
  for (std::uint32_t id = 10; id < 26; ++id) ring.groups.push_back({GroupId(id), 63.9});
  EXPECT_THAT(refusal(change(Kind::add, 3, 1)), HasSubstr("a sum of 1024.0 at most"));
}

// Boost.JSON reads no more digits exactly.
TEST_F(Change, ToAWeightOfManyDigitsIsReadAsItWasWritten) {
  const RingPlan begun = planned(change(Kind::weight, 2, 0.42500000000089766));
  ASSERT_TRUE(begun.ok()) << begun.message;
  RingRecord written;
  written.version = begun.record.version;
  std::string error;
  ASSERT_TRUE(parse_json(to_json(begun.record), written, error)) << error;
  EXPECT_EQ(written, begun.record);
  ring = written;
  ring.before.clear();
  EXPECT_THAT(refusal(change(Kind::weight, 2, 0.42500000000089766)), HasSubstr("already"));
}

// What is added up in another order may differ in its last digit.
TEST_F(Change, ToTheLargestSumOfWeightsCanBeRead) {
  for (std::uint32_t id = 1; id <= 16; ++id) configs[GroupId(id)] = configs[GroupId(1)];
  int accepted = 0;
  for (int i = 0; i < 2'000; ++i) {
    ring.groups.clear();
    for (std::uint32_t id = 2; id <= 16; ++id)
      ring.groups.push_back({GroupId(id), 64 - (i * id % 101) / 1e3});
    double others = 0;
    for (const RingGroup& group : ring.groups) others += group.weight;
    configs[GroupId(17)] = configs[GroupId(1)];
    ring.groups.push_back({GroupId(17), 63});
    const RingPlan begun = planned(change(Kind::add, 1, kRingWeightSumMax - others - 63));
    if (!begun.ok()) continue;
    ++accepted;
    RingRecord written;
    std::string error;
    EXPECT_TRUE(parse_json(to_json(begun.record), written, error)) << error;
  }
  EXPECT_GT(accepted, 500);
}

TEST_F(Change, OfARingThatIsAnotherByNowIsRefused) {
  RingChange asked = change(Kind::remove, 1);
  asked.expected_version = 6;
  EXPECT_EQ(refusal(asked), "the ring has version 7 by now, not 6: look at it again");
}

TEST_F(Change, WithoutARingIsRefused) {
  ring = {};
  EXPECT_EQ(refusal(change(Kind::add, 3)), "there is no ring yet: start a server with --init-ring");
}

TEST_F(Change, WaitsForTheOneThatIsUnderWay) {
  begin(change(Kind::add, 3));
  for (const RingChange& asked :
       {change(Kind::add, 3), change(Kind::remove, 1), change(Kind::weight, 1, 2)}) {
    EXPECT_EQ(refusal(asked), "a change of the ring is under way (version 8): wait for its end, or abort it");
  }
}

TEST_F(Change, UnderWayIsPausedResumedAndGivenAnotherRate) {
  RingChange rate = change(Kind::rate);
  rate.locks_per_s_max = 50;
  for (const RingChange& asked : {change(Kind::pause), change(Kind::resume), change(Kind::abort), rate}) {
    EXPECT_EQ(refusal(asked), "no change of the ring is under way");
  }
  begin(change(Kind::add, 3));
  EXPECT_EQ(refusal(change(Kind::resume)), "the change of the ring is not paused");
  RingRecord expected = ring;
  expected.paused = true;
  EXPECT_EQ(planned(change(Kind::pause)).record, expected);
  ring.paused = true;
  EXPECT_EQ(refusal(change(Kind::pause)), "the change of the ring is paused already");
  expected.locks_per_s_max = 50;
  EXPECT_EQ(planned(rate).record, expected) << "and stays paused";
  ring.locks_per_s_max = 50;
  EXPECT_EQ(refusal(rate), "the change of the ring has this rate already");
  expected.paused = false;
  EXPECT_EQ(planned(change(Kind::resume)).record, expected) << "at the rate that it had";
}

TEST_F(Change, ThatIsAbortedIsTheChangeBackAndMayBeAbortedInTurn) {
  begin(change(Kind::add, 3));
  ring.paused = true;
  const RingPlan aborted = planned(change(Kind::abort));
  ASSERT_TRUE(aborted.ok()) << aborted.message;
  EXPECT_EQ(aborted.record.groups, ring.before);
  EXPECT_EQ(aborted.record.before, ring.groups);
  EXPECT_FALSE(aborted.record.paused) << "what moved is to come back";
  const RingRecord before = ring;
  ring = aborted.record;
  EXPECT_EQ(planned(change(Kind::abort)).record.groups, before.groups);
}

TEST_F(Change, IsOverWhenEveryGroupOfBothRingsIsThrough) {
  begin(change(Kind::remove, 2));
  EXPECT_THAT(groups_of(ring), ElementsAre(GroupId(1), GroupId(2)));
  EXPECT_FALSE(all_done(ring, configs));
  configs[GroupId(1)].config.ring_done = 8;
  configs[GroupId(2)].config.ring_done = 7;
  EXPECT_FALSE(all_done(ring, configs)) << "through with the version before";
  configs[GroupId(2)].config.ring_done = 8;
  EXPECT_TRUE(all_done(ring, configs)) << "g3 has nothing to do with it";
  configs.erase(GroupId(1));
  EXPECT_FALSE(all_done(ring, configs));
}

TEST_F(Change, ThatIsOverLeavesNothingOfItself) {
  begin(change(Kind::add, 3));
  ring.paused = true;
  ring.locks_per_s_max = 5;
  EXPECT_EQ(settled(ring), (RingRecord{8, ring.groups}));
}

TEST_F(Change, MovesAreSummedUpByWhereFromAndWhereTo) {
  begin(change(Kind::add, 3, 1.5));
  const std::vector<ArcMove> moves = difference(Ring(ring.before), Ring(ring.groups));
  const std::vector<RingFlow> flows = flows_of(moves);
  ASSERT_EQ(flows.size(), 2U);
  EXPECT_EQ(flows[0].from, GroupId(1));
  EXPECT_EQ(flows[1].from, GroupId(2));
  EXPECT_EQ(flows[0].to, GroupId(3));
  EXPECT_EQ(flows[0].arcs + flows[1].arcs, moves.size());
  EXPECT_NEAR(flows[0].share, 1.0 / 3, 0.02);
  EXPECT_NEAR(flows[0].share + flows[1].share, 0.5, 0.025);
  EXPECT_TRUE(flows_of({}).empty());
}

}  // namespace
}  // namespace dlm::coordinator
