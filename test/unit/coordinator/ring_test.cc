#include "coordinator/core/ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace dlm::coordinator {
namespace {

constexpr std::uint64_t kHashMax = std::numeric_limits<std::uint64_t>::max();

RingRecord equal_groups(std::uint32_t count) {
  RingRecord record{1, {}};
  for (std::uint32_t id = 1; id <= count; ++id) record.groups.push_back({GroupId(id), 1});
  return record;
}

double share(const ArcMove& move) {
  return std::ldexp(static_cast<double>(move.end - move.begin) + 1, -64);
}

// Hashes where something may go wrong: ends of arcs and their neighbours, and some in between.
std::vector<std::uint64_t> probes(const Ring& ring) {
  std::vector<std::uint64_t> out = {0, 1, kHashMax - 1, kHashMax};
  for (const Arc& arc : ring.arcs())
    out.insert(out.end(), {arc.begin, arc.end, arc.begin + (arc.end - arc.begin) / 2});
  return out;
}

TEST(Ring, EmptyRingOwnsNothing) {
  Ring ring;
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.group_of(0), GroupId());
  EXPECT_EQ(ring.group_of(kHashMax), GroupId());
  EXPECT_TRUE(Ring(RingRecord{5, {}}).empty());
  EXPECT_EQ(Ring(RingRecord{5, {}}).version(), 5U);
}

TEST(Ring, OneGroupOwnsEverything) {
  Ring ring(equal_groups(1));
  ASSERT_EQ(ring.arcs().size(), 1U);
  EXPECT_EQ(ring.arcs()[0], (Arc{0, kHashMax, GroupId(1)}));
  EXPECT_EQ(ring.group_of(0), GroupId(1));
  EXPECT_EQ(ring.group_of(kHashMax), GroupId(1));
  EXPECT_DOUBLE_EQ(ring.share_of(GroupId(1)), 1);
  EXPECT_EQ(ring.share_of(GroupId(2)), 0);
}

TEST(Ring, ArcsCoverTheSpaceWithoutGapsAndNeighboursDiffer) {
  for (std::uint32_t count : {2U, 3U, 7U, 64U}) {
    Ring ring(equal_groups(count));
    const std::vector<Arc>& arcs = ring.arcs();
    EXPECT_EQ(arcs.front().begin, 0U);
    EXPECT_EQ(arcs.back().end, kHashMax);
    for (std::size_t i = 1; i < arcs.size(); ++i) {
      ASSERT_EQ(arcs[i].begin, arcs[i - 1].end + 1);
      ASSERT_NE(arcs[i].group, arcs[i - 1].group);
      ASSERT_LE(arcs[i].begin, arcs[i].end);
    }
    std::size_t listed = 0;
    for (std::uint32_t id = 1; id <= count; ++id) listed += ring.arcs_of(GroupId(id)).size();
    EXPECT_EQ(listed, arcs.size());
  }
}

TEST(Ring, LookupAgreesWithTheArcs) {
  for (std::uint32_t count : {1U, 2U, 5U, 64U}) {
    Ring ring(equal_groups(count));
    for (const Arc& arc : ring.arcs()) {
      ASSERT_EQ(ring.group_of(arc.begin), arc.group);
      ASSERT_EQ(ring.group_of(arc.end), arc.group);
      ASSERT_EQ(ring.group_of(arc.begin + (arc.end - arc.begin) / 2), arc.group);
    }
  }
}

TEST(Ring, IsTheSameEverywhereAndInAnyOrder) {
  RingRecord record = equal_groups(5);
  Ring ring(record);
  std::reverse(record.groups.begin(), record.groups.end());
  EXPECT_EQ(Ring(record).arcs(), ring.arcs());
  // Written down, so that a change of the construction, which would strand every lock of a running cluster,
  // is noticed.
  EXPECT_EQ(hash_of(""), 0x2d06800538d394c2U);
  EXPECT_EQ(hash_of("orders/42"), 14673142057997236565U);
  EXPECT_EQ(to_string(ring.group_of(hash_of("orders/42"))), "g3");
  EXPECT_EQ(to_string(ring.group_of(hash_of("orders/43"))), "g1");
  EXPECT_EQ(ring.arcs().size(), 8237U);
  EXPECT_EQ(ring.arcs()[7].end, 15106610578609266U);
}

// One group more at a time, from 1 to 64: rings of that size are built once each, as they take their time.
TEST(Ring, EqualGroupsHaveEqualPartsAndOneMoreTakesJustItsOwn) {
  Ring before(equal_groups(1));
  for (std::uint32_t count = 2; count <= 64; ++count) {
    Ring after(equal_groups(count));
    std::vector<double> shares(count + 1, 0);
    for (const Arc& arc : after.arcs()) {
      shares[arc.group.value] += std::ldexp(static_cast<double>(arc.end - arc.begin) + 1, -64);
    }
    const double largest = *std::max_element(shares.begin(), shares.end());
    const double smallest = *std::min_element(shares.begin() + 1, shares.end());
    EXPECT_LE(largest * count, 1.10) << count << " groups";
    EXPECT_GE(smallest * count, 0.90) << count << " groups";
    double moved = 0;
    for (const ArcMove& move : difference(before, after)) {
      ASSERT_EQ(move.to, GroupId(count)) << "an arc whose owner need not change";
      moved += share(move);
    }
    EXPECT_NEAR(moved * count, 1, 0.05) << "the last of " << count << " groups";
    before = std::move(after);
  }
}

TEST(Ring, SharesFollowTheWeightsWithinTenPercent) {
  const std::vector<std::vector<double>> cases = {{1, 2},        {1, 3},        {1, 2, 3, 4},
                                                  {0.5, 1, 1.5}, {0.5, 0.5, 4}, {1, 1, 1, 1, 8},
                                                  {10, 20, 30},  {1, 1, 1, 0.5}};
  for (const std::vector<double>& weights : cases) {
    RingRecord record{1, {}};
    double sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      record.groups.push_back({GroupId(static_cast<std::uint32_t>(i + 1)), weights[i]});
      sum += weights[i];
    }
    Ring ring(record);
    for (const RingGroup& group : record.groups) {
      double due = group.weight / sum;
      EXPECT_NEAR(ring.share_of(group.group) / due, 1, 0.10)
          << to_string(group.group) << " in " << to_json(record);
    }
  }
}

TEST(Ring, AGroupThatGoesOnlyGives) {
  RingRecord record = equal_groups(6);
  Ring before(record);
  record.groups.erase(record.groups.begin() + 2);
  std::vector<ArcMove> moves = difference(before, Ring(record));
  double moved = 0;
  for (const ArcMove& move : moves) {
    ASSERT_EQ(move.from, GroupId(3));
    moved += share(move);
  }
  EXPECT_NEAR(moved, before.share_of(GroupId(3)), 1e-12);
}

TEST(Ring, MoreWeightOnlyTakesAndLessOnlyGives) {
  RingRecord record = equal_groups(4);
  Ring before(record);
  record.groups[1].weight = 2;
  Ring after(record);
  for (const ArcMove& move : difference(before, after)) ASSERT_EQ(move.to, GroupId(2));
  for (const ArcMove& move : difference(after, before)) ASSERT_EQ(move.from, GroupId(2));
}

TEST(Ring, WeightsOutsideOfTheLimitsCountAsTheLimit) {
  auto arcs_with = [](double weight) {
    RingRecord record = equal_groups(2);
    record.groups[1].weight = weight;
    return Ring(record).arcs();
  };
  EXPECT_EQ(arcs_with(0), arcs_with(kRingWeightMin));
  EXPECT_EQ(arcs_with(-3), arcs_with(kRingWeightMin));
  EXPECT_EQ(arcs_with(std::nan("")), arcs_with(kRingWeightMin));
  EXPECT_EQ(arcs_with(1e300), arcs_with(kRingWeightMax));
}

TEST(RingDifference, IsExactlyWhatChangesHandsInAsFewMovesAsPossible) {
  RingRecord record = equal_groups(5);
  Ring before(record);
  record.groups = {{GroupId(1), 0.5}, {GroupId(3), 2}, {GroupId(4), 1}, {GroupId(9), 1}};
  Ring after(record);
  std::vector<ArcMove> moves = difference(before, after);
  for (std::size_t i = 1; i < moves.size(); ++i) {
    ASSERT_LT(moves[i - 1].end, moves[i].begin);
    bool could_be_one = moves[i - 1].end + 1 == moves[i].begin && moves[i - 1].from == moves[i].from &&
                        moves[i - 1].to == moves[i].to;
    ASSERT_FALSE(could_be_one);
  }
  auto find = [&](std::uint64_t hash) -> const ArcMove* {
    auto move = std::lower_bound(moves.begin(), moves.end(), hash,
                                 [](const ArcMove& m, std::uint64_t h) { return m.end < h; });
    return move != moves.end() && move->begin <= hash ? &*move : nullptr;
  };
  for (const Ring* ring : {&before, &after}) {
    for (std::uint64_t hash : probes(*ring)) {
      const ArcMove* move = find(hash);
      GroupId from = before.group_of(hash);
      GroupId to = after.group_of(hash);
      ASSERT_EQ(move != nullptr, from != to) << hash;
      if (move == nullptr) continue;
      ASSERT_EQ(move->from, from);
      ASSERT_EQ(move->to, to);
    }
  }
}

TEST(RingDifference, OfEqualRingsOrWithAnEmptyOneIsNothing) {
  Ring ring(equal_groups(3));
  EXPECT_TRUE(difference(ring, ring).empty());
  EXPECT_TRUE(difference(Ring(), ring).empty());
  EXPECT_TRUE(difference(ring, Ring()).empty());
}

std::string ring_json(const std::string& groups, const std::string& before = "") {
  return "{\"groups\":[" + groups + "],\"before\":[" + before + "],\"paused\":false,\"locksPerSecondMax\":0}";
}

TEST(RingJson, IsReadableByPeopleAndRoundTrips) {
  RingRecord record{7, {{GroupId(1), 1}, {GroupId(2), 0.25}, {GroupId(12), 10}}};
  record.before = {{GroupId(1), 1}};
  record.paused = true;
  record.locks_per_s_max = 5'000;
  EXPECT_EQ(to_json(record), R"({"groups":[{"group":"g1","weight":1.0},{"group":"g2","weight":0.25},)"
                             R"({"group":"g12","weight":10.0}],"before":[{"group":"g1","weight":1.0}],)"
                             R"("paused":true,"locksPerSecondMax":5000})");
  RingRecord read{7, {}};
  std::string error;
  ASSERT_TRUE(parse_json(to_json(record), read, error)) << error;
  EXPECT_EQ(read, record) << "the version is the coordinator's: kept";
  ASSERT_TRUE(parse_json(ring_json(R"({"group":"g1","weight":2})"), read, error)) << error;
  EXPECT_EQ(read.groups[0].weight, 2);
  EXPECT_FALSE(read.changing());
}

TEST(RingJson, OneRingHasOneRecordInWhateverOrderItsGroupsAreGiven) {
  RingRecord record{1, {{GroupId(1), 1}, {GroupId(2), 2}}};
  record.before = {{GroupId(1), 1}, {GroupId(3), 3}};
  RingRecord turned = record;
  std::swap(turned.groups[0], turned.groups[1]);
  std::swap(turned.before[0], turned.before[1]);
  EXPECT_EQ(to_json(turned), to_json(record));
  RingRecord read{1, {}};
  std::string error;
  const std::string by_hand = ring_json(R"({"group":"g2","weight":2},{"group":"g1","weight":1})",
                                        R"({"group":"g3","weight":3},{"group":"g1","weight":1})");
  ASSERT_TRUE(parse_json(by_hand, read, error)) << error;
  EXPECT_EQ(read, record);
}

TEST(RingJson, RefusesWhatIsNotARingAndSaysWhy) {
  struct Bad {
    std::string json;
    std::string error;
  };
  std::string many;
  for (int i = 1; i <= 17; ++i) {
    many += (i > 1 ? "," : "") + std::string(R"({"group":"g)") + std::to_string(i) + R"(","weight":64})";
  }
  const Bad cases[] = {
      {"nonsense", "not JSON: syntax error"},
      {"{}", "groups is missing"},
      {R"({"groups":[]})", "before is missing"},
      {R"({"groups":1,"before":[],"paused":false,"locksPerSecondMax":0})", "groups must be a list"},
      {R"({"groups":[],"before":[],"paused":0,"locksPerSecondMax":0})", "paused must be true or false"},
      {R"({"groups":[],"before":[],"paused":false,"locksPerSecondMax":-1})",
       "locksPerSecondMax must be a whole number from 0 to 4294967295"},
      {ring_json("1"), "not a JSON object"},
      {ring_json("", "1"), "not a JSON object"},
      {ring_json(R"({"group":"g1"})"), "weight is missing"},
      {ring_json(R"({"group":"x","weight":1})"), "group must be a group such as \"g1\""},
      {ring_json(R"({"group":"g1","weight":0})"), "weight must be a number from 0.010000 to 64.000000"},
      {ring_json(R"({"group":"g1","weight":"1"})"), "weight must be a number from 0.010000 to 64.000000"},
      {ring_json(R"({"group":"g1","weight":1},{"group":"g1","weight":1})"), "group g1 is named twice"},
      {ring_json(many), "groups have a sum of weights beyond 1024.0"},
      {ring_json("", many), "before have a sum of weights beyond 1024.0"},
  };
  for (const Bad& bad : cases) {
    RingRecord out{3, {{GroupId(9), 1}}};
    std::string error;
    EXPECT_FALSE(parse_json(bad.json, out, error)) << bad.json;
    EXPECT_EQ(error, bad.error) << bad.json;
    EXPECT_EQ(out, (RingRecord{3, {{GroupId(9), 1}}}));
  }
}

}  // namespace
}  // namespace dlm::coordinator
