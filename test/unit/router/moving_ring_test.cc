// What a router knows of where arcs are while they move.
#include "router/core/moving_ring.h"

#include <gtest/gtest.h>

namespace dlm::router {
namespace {

using coordinator::ArcMove;
using coordinator::Ring;
using coordinator::RingRecord;

constexpr GroupId kG1(1);
constexpr GroupId kG2(2);

const RingRecord kBefore{1, {{kG1, 1}, {kG2, 1}}};

RingRecord without_g1() {
  RingRecord record{2, {{kG2, 1}}};
  record.before = kBefore.groups;
  return record;
}

::testing::AssertionResult asks(const MovingRing& ring, std::uint64_t hash, GroupId first,
                                GroupId other = GroupId()) {
  const Candidates found = ring.candidates(hash);
  if (found.group == first && found.other == other) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << to_string(found.group) << ", then " << to_string(found.other);
}

class AMovingRing : public ::testing::Test {
 protected:
  AMovingRing() {
    EXPECT_TRUE(ring.follow(kBefore));
    EXPECT_TRUE(ring.follow(without_g1()));
    moves = difference(Ring(kBefore), Ring(without_g1()));
  }

  MovingRing ring;
  std::vector<ArcMove> moves;
};

TEST(MovingRingAtRest, KnowsOneOwnerOfEachHash) {
  MovingRing ring;
  EXPECT_TRUE(ring.empty());
  EXPECT_TRUE(asks(ring, 7, GroupId()));
  EXPECT_TRUE(ring.follow(kBefore));
  EXPECT_FALSE(ring.follow(kBefore));
  const Ring same(kBefore);
  for (const auto& arc : same.arcs()) ASSERT_TRUE(asks(ring, arc.end, arc.group));
  EXPECT_EQ(ring.move_of(7), nullptr);
  EXPECT_TRUE(ring.flows().empty());
}

TEST_F(AMovingRing, AsksWhereAnArcComesFromUntilThatSaysMoved) {
  for (const ArcMove& move : moves) {
    ASSERT_TRUE(asks(ring, move.begin, kG1, kG2));
    ASSERT_TRUE(asks(ring, move.end, kG1, kG2));
  }
  ring.moved(moves[3].begin, kG1);
  EXPECT_TRUE(asks(ring, moves[3].end, kG2, kG1)) << "the whole arc";
  EXPECT_TRUE(asks(ring, moves[2].end, kG1, kG2));
  EXPECT_TRUE(asks(ring, moves[4].begin, kG1, kG2));
  ring.moved(moves[3].end, kG2);
  EXPECT_TRUE(asks(ring, moves[3].begin, kG1, kG2)) << "a piece of it is still there";
  ring.moved(moves[3].end, GroupId(9));
  EXPECT_TRUE(asks(ring, moves[3].begin, kG1, kG2));
}

TEST_F(AMovingRing, LeavesWhatDoesNotMoveAlone) {
  const std::uint64_t stays = moves[0].end + 1;
  EXPECT_TRUE(asks(ring, stays, kG2));
  ring.moved(stays, kG2);
  EXPECT_TRUE(asks(ring, stays, kG2));
}

TEST_F(AMovingRing, KeepsWhatItKnowsOverAPauseAndOverAnAbort) {
  ring.moved(moves[3].begin, kG1);
  RingRecord record = without_g1();
  record.version = 3;
  record.paused = true;
  record.locks_per_s_max = 7;
  EXPECT_FALSE(ring.follow(record));
  EXPECT_TRUE(asks(ring, moves[3].begin, kG2, kG1));
  std::swap(record.groups, record.before);
  EXPECT_TRUE(ring.follow(record));
  EXPECT_TRUE(asks(ring, moves[3].begin, kG2, kG1)) << "it went, and is to come back";
  EXPECT_TRUE(asks(ring, moves[2].begin, kG1, kG2)) << "it never went";
  EXPECT_EQ(ring.move_of(moves[3].begin)->to, kG1);
  EXPECT_EQ(ring.flows().at(0).from, kG2);
}

TEST_F(AMovingRing, IsTheNewRingWhenTheChangeIsOver) {
  ring.moved(moves[3].begin, kG1);
  EXPECT_TRUE(ring.follow({3, {{kG2, 1}}}));
  for (const ArcMove& move : moves) ASSERT_TRUE(asks(ring, move.begin, kG2));
  EXPECT_TRUE(ring.before().empty());
}

TEST_F(AMovingRing, BeginsAnewWithAChangeThatItHasNotSeenComing) {
  ring.moved(moves[3].begin, kG1);
  RingRecord record{9, {{kG1, 1}, {GroupId(3), 1}}};
  record.before = {{kG1, 1}, {kG2, 2}};
  EXPECT_TRUE(ring.follow(record));
  const Ring before(record.before);
  const Ring after(record.groups);
  for (const ArcMove& move : difference(before, after))
    ASSERT_TRUE(asks(ring, move.begin, move.from, move.to));
  EXPECT_EQ(ring.ring().arcs(), after.arcs());
  EXPECT_EQ(ring.before().arcs(), before.arcs());
}

}  // namespace
}  // namespace dlm::router
