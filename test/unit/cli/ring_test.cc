// What `dlm ring` makes of reports and of what is typed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <boost/json/parse.hpp>

#include "client/cli/json_output.h"
#include "client/cli/ring_arguments.h"
#include "client/cli/ring_progress.h"
#include "client/cli/ring_text.h"

namespace dlm::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

RingReport::Group group_of(std::uint32_t number, double share, double share_before) {
  RingReport::Group group;
  group.weight = share == 0 ? 0 : 1;
  group.weight_before = share_before == 0 ? 0 : 1;
  group.share = share;
  group.share_before = share_before;
  group.state.group = GroupId(number);
  group.state.primary = "s" + std::to_string(number) + "#7";
  group.state.ring_version = 8;
  group.state.share_owned = share_before;
  group.state.locks_held = 12'000;
  return group;
}

// g3 joins two groups of a half each, and nothing has moved yet.
RingReport joining() {
  RingReport ring;
  ring.version = 8;
  ring.changing = true;
  ring.groups = {group_of(1, 0.3, 0.5), group_of(2, 0.3, 0.5), group_of(3, 0.4, 0)};
  ring.groups[2].state.locks_held = 0;
  ring.flows = {{GroupId(1), GroupId(3), 40, 0.2, 4'800, 3}, {GroupId(2), GroupId(3), 41, 0.2, 4'800, 0}};
  for (int i : {0, 1}) {
    ring.groups[i].state.move.arcs_left = ring.flows[i].arcs;
    ring.groups[i].state.move.share_left = 0.2;
  }
  return ring;
}

RingReport settled() {
  RingReport ring = joining();
  ring.version = 9;
  ring.changing = false;
  ring.flows.clear();
  for (RingReport::Group& group : ring.groups) {
    group.share_before = group.state.share_owned = group.share;
    group.weight_before = group.weight;
    group.state.ring_version = 9;
    group.state.move = MoveReport();
  }
  return ring;
}

TEST(RingProgress, SumsWhatTheGroupsHaveLeft) {
  RingProgress progress = ProgressTracker().take(joining(), 1'000);
  EXPECT_TRUE(progress.changing);
  EXPECT_EQ(progress.arcs_total, 81u);
  EXPECT_EQ(progress.arcs_left, 81u);
  EXPECT_DOUBLE_EQ(progress.share_left, 0.4);
  EXPECT_EQ(progress.locks_left, 9'600u) << "two fifths of what each has";
  EXPECT_FALSE(progress.locks_per_s) << "one report tells no rate";
  EXPECT_FALSE(progress.left_ms);
}

TEST(RingProgress, TellsRateAndTimeLeftFromTwoReports) {
  ProgressTracker tracker;
  RingReport ring = joining();
  tracker.take(ring, 1'000);
  ring.groups[0].state.move = {20, 1, 0.1, 20, 2'400, ""};
  RingProgress progress = tracker.take(ring, 3'000);
  EXPECT_EQ(progress.arcs_left, 61u);
  EXPECT_DOUBLE_EQ(progress.locks_per_s.value(), 1'200);
  EXPECT_EQ(progress.left_ms.value(), 6'000u) << "a tenth of the names in 2 s, three tenths to go";
}

TEST(RingProgress, ForgetsTheRateOfLongAgo) {
  ProgressTracker tracker;
  RingReport ring = joining();
  tracker.take(ring, 0);
  ring.groups[0].state.move.locks_moved = 10'000;
  tracker.take(ring, 1'000);
  for (std::uint64_t at : {3'000, 5'000, 7'000}) tracker.take(ring, at);
  EXPECT_DOUBLE_EQ(tracker.take(ring, 9'000).locks_per_s.value(), 0);
}

TEST(RingProgress, GoesOnCountingWhenAnotherPrimaryLeads) {
  ProgressTracker tracker;
  RingReport ring = joining();
  ring.groups[0].state.move.locks_moved = 9'000;  // of changes before
  tracker.take(ring, 0);
  ring.groups[0].state.move.locks_moved = 0;
  tracker.take(ring, 1'000);
  ring.groups[0].state.move.locks_moved = 500;
  EXPECT_DOUBLE_EQ(tracker.take(ring, 2'000).locks_per_s.value(), 250);
}

TEST(RingProgress, CountsAGroupThatHasNotHeardOfTheChangeWithAllThatItIsToGive) {
  RingReport ring = joining();
  ring.groups[0].state.ring_version = 7;
  ring.groups[0].state.move = MoveReport();
  RingProgress progress = ProgressTracker().take(ring, 0);
  EXPECT_EQ(progress.arcs_left, 81u);
  EXPECT_EQ(progress.locks_left, 9'600u);
}

TEST(RingProgress, CountsAGroupThatFallsSilentWithWhatItToldLast) {
  ProgressTracker tracker;
  RingReport ring = joining();
  ring.groups[0].state.move.arcs_left = 5;
  tracker.take(ring, 0);
  ring.groups[0].state = GroupReport();
  ring.groups[0].state.group = GroupId(1);
  ring.groups[0].state.problem = "no answer";
  RingProgress progress = tracker.take(ring, 1'000);
  EXPECT_EQ(progress.arcs_left, 46u);
  EXPECT_THAT(progress.silent, ElementsAre(Pair(GroupId(1), "no answer")));
}

TEST(RingProgress, HasNoTimeLeftWhilePausedOrWhenNothingMoves) {
  ProgressTracker tracker;
  RingReport ring = joining();
  tracker.take(ring, 0);
  EXPECT_FALSE(tracker.take(ring, 1'000).left_ms);
  ring.groups[0].state.move.share_left = 0.1;
  ring.paused = true;
  EXPECT_FALSE(tracker.take(ring, 2'000).left_ms);
}

TEST(RingProgress, GoesOnWhenAPauseGivesTheRingAnotherVersion) {
  ProgressTracker tracker;
  RingReport ring = joining();
  ring.groups[0].state.move.arcs_left = 5;
  tracker.take(ring, 0);
  ring.version = 9;  // nobody has heard of it yet
  ring.paused = true;
  EXPECT_EQ(tracker.take(ring, 1'000).arcs_left, 46u);
}

TEST(RingProgress, BeginsAnewWithAnotherChange) {
  ProgressTracker tracker;
  RingReport ring = joining();
  tracker.take(ring, 0);
  ring.version = 10;  // taken back: nobody has heard yet
  ring.flows = {{GroupId(3), GroupId(1), 2, 0.01, 100, 0}};
  RingProgress progress = tracker.take(ring, 1'000);
  EXPECT_EQ(progress.arcs_left, 2u);
  EXPECT_FALSE(progress.locks_per_s);
}

TEST(Reflects, KnowsEachChangeInTheRingThatItMade) {
  RingReport before = settled();
  RingReport ring = joining();
  RingChange change;
  change.group = GroupId(3);
  EXPECT_TRUE(reflects(ring, change));
  change.weight = 2;
  EXPECT_FALSE(reflects(ring, change));
  change.kind = RingChange::Kind::weight;
  change.weight = 1;
  EXPECT_TRUE(reflects(ring, change));
  change.kind = RingChange::Kind::remove;
  EXPECT_FALSE(reflects(ring, change));
  change.group = GroupId(4);
  EXPECT_TRUE(reflects(ring, change)) << "it is not there";
  change.kind = RingChange::Kind::pause;
  EXPECT_FALSE(reflects(ring, change, before));
  change.kind = RingChange::Kind::resume;
  EXPECT_TRUE(reflects(ring, change, before));
  change.kind = RingChange::Kind::rate;
  change.locks_per_s_max = 5;
  EXPECT_FALSE(reflects(ring, change, before));
  change.kind = RingChange::Kind::abort;
  EXPECT_FALSE(reflects(ring, change, joining())) << "g3 is still to come";
  ring.groups.pop_back();
  EXPECT_TRUE(reflects(ring, change, joining()));
}

TEST(Balance, IsTheLargestShareForItsWeight) {
  EXPECT_DOUBLE_EQ(balance(joining(), true), 1);
  EXPECT_DOUBLE_EQ(balance(joining(), false), 1.2);
  RingReport ring = settled();
  ring.groups[2].weight = 2;
  EXPECT_DOUBLE_EQ(balance(ring, false), 1.2) << "0.4 of a due of 0.5; 0.3 of one of 0.25 is more";
  EXPECT_DOUBLE_EQ(balance(RingReport(), false), 0);
}

TEST(RingText, ShowsWhoHasWhat) {
  EXPECT_EQ(
      ring_text(settled()),
      "ring version 9: 3 groups, the fullest has 1.200 times its due\n"
      "\n"
      "  GROUP  PRIMARY  WEIGHT  SHARE  OWNED  ARCS  LOCKS   OF LOCKS  WAITING  \n"
      "  g1     s1       1       30.0%  30.0%  0     12,000  50.0%     0        #######################\n"
      "  g2     s2       1       30.0%  30.0%  0     12,000  50.0%     0        #######################\n"
      "  g3     s3       1       40.0%  40.0%  0     0       0.0%      0        "
      "##############################\n");
}

TEST(RingText, ShowsWhatMovesWhileItDoes) {
  RingReport ring = joining();
  ring.groups[0].state.move.waits_for = "g3 does not answer";
  std::string text = ring_text(ring);
  EXPECT_THAT(text, HasSubstr("from    g1 1, g2 1\nto      g1 1, g2 1, g3 1\n"));
  EXPECT_THAT(text, HasSubstr("moving: 81 of 81 arcs left (40.0% of the names, about 9,600 locks)"));
  EXPECT_THAT(text, HasSubstr("g3     s3       0 > 1   40.0%  0.0%"));
  EXPECT_THAT(text, HasSubstr(" ##################------------\n")) << "g1 gives two fifths of its half";
  EXPECT_THAT(text, HasSubstr(" ........................\n")) << "g3 has nothing yet";
  EXPECT_THAT(text, HasSubstr("g2    g3  41    20.0%         ~4,800  ~0"));
  EXPECT_THAT(text, HasSubstr("all       81    40.0%         ~9,600  ~3"));
  EXPECT_THAT(text, HasSubstr("  g1 waits: g3 does not answer\n"));
}

TEST(RingText, HasQuestionMarksForAGroupThatCanNotBeAsked) {
  RingReport ring = settled();
  ring.groups[1].state.problem = "no primary";
  std::string text = ring_text(ring);
  EXPECT_THAT(text, HasSubstr("30.0%  ?      ?     ?       ?         ?"));
  EXPECT_THAT(text, HasSubstr("g2 can't be asked: no primary"));
}

TEST(PlanText, SaysWhatWouldMoveAndHowEvenItWouldBe) {
  RingChange change;
  change.group = GroupId(3);
  change.locks_per_s_max = 50'000;
  std::string text = plan_text(joining(), change);
  EXPECT_THAT(text, StartsWith("A plan, nothing was done: add g3 with weight 1\n"));
  EXPECT_THAT(text, HasSubstr("all       81    40.0%         ~9,600  ~3"));
  EXPECT_THAT(text, HasSubstr("g3     0 > 1   0.0%   40.0%"));
  EXPECT_THAT(text, HasSubstr("has 1.000 times its due, and would have 1.200"));
  EXPECT_THAT(text, HasSubstr("at most 50,000 locks/s from each group"));
  EXPECT_THAT(plan_text(settled(), change), HasSubstr("Nothing would move"));
}

TEST(ProgressText, IsOneLineThatCanBeCut) {
  ProgressTracker tracker;
  RingReport ring = joining();
  tracker.take(ring, 0);
  ring.groups[0].state.move = {20, 1, 0.1, 20, 2'400, "g3 is\nfull"};
  ring.locks_per_s_max = 2'000;
  RingProgress progress = tracker.take(ring, 2'000);
  EXPECT_EQ(
      progress_text(progress),
      "moving: 61 of 81 arcs left (30.0% of the names, about 7,200 locks), 1,200 locks/s, at most 2,000 "
      "locks/s from each group, about 6s left; g1 waits: g3 is\\nfull");
  EXPECT_EQ(progress_text(progress, 20), "moving: 61 of 81 ...");
  ring.paused = true;
  EXPECT_THAT(progress_text(tracker.take(ring, 3'000)), StartsWith("paused: 61 of 81 arcs left"));
  EXPECT_EQ(progress_text(tracker.take(settled(), 4'000)), "ring version 9: nothing moves");
}

TEST(ProgressText, NeverSaysThatNoTimeIsLeft) {
  RingProgress progress;
  progress.changing = true;
  progress.left_ms = 100;
  EXPECT_THAT(progress_text(progress), HasSubstr("about 1s left"));
}

TEST(PlaceText, NamesGroupPrimaryAndArc) {
  PlaceReport place{"orders/42", 0x1f, 0x10, 0x20, GroupId(1), GroupId(3), "s2#7", 8};
  EXPECT_EQ(place_text(place),
            "orders/42: g1 (primary s2), moving to g3\n"
            "  hash 000000000000001f, in arc 0000000000000010 to 0000000000000020 of ring version 8\n");
  place.moving_to = GroupId();
  place.primary = "";
  EXPECT_THAT(place_text(place), StartsWith("orders/42: g1 (no primary now)\n"));
}

TEST(Json, OfARingHasStableFields) {
  RingReport ring = joining();
  ring.groups.resize(1);
  ring.flows.resize(1);
  ring.locks_per_s_max = 5;
  EXPECT_EQ(
      json_line(to_json(ring)),
      R"({"version":8,"changing":true,"paused":false,"locks_per_s_max":5,"groups":[{"group":"g1","weight":1E0,)"
      R"("weight_before":1E0,"share":3E-1,"share_before":5E-1,"epoch":0,"primary":"s1#7","in_sync":[],)"
      R"("members":[],"durable":[],"era":0,"last_index":0,"committed_index":0,"locks_held":12000,"waiters":0,"sessions":0,)"
      R"("durability":"?","ring_version":8,"arcs":0,"share_owned":5E-1,"problem":"","move":{"arcs_left":40,"arcs_under_way":0,)"
      R"("share_left":2E-1,"arcs_moved":0,"locks_moved":0,"waits_for":""}}],"flows":[{"from":"g1","to":"g3",)"
      R"("arcs":40,"share":2E-1,"locks":4800,"waiters":3}]})"
      "\n");
}

TEST(Json, OfAPlaceHasHashesInHex) {
  PlaceReport place{std::string("\0x", 2), 0xfedcba9876543210, 1, 2, GroupId(1), GroupId(), "s2#7", 8};
  EXPECT_EQ(json_line(to_json(place)),
            R"({"resource_hex":"0078","resource":"\\x00x","hash":"fedcba9876543210",)"
            R"("arc_begin":"0000000000000001","arc_end":"0000000000000002","group":"g1","moving_to":null,)"
            R"("primary":"s2#7","ring_version":8})"
            "\n");
}

TEST(Json, OfProgressHasNullForWhatIsNotKnown) {
  auto progress = to_json(ProgressTracker().take(joining(), 0));
  EXPECT_EQ(progress.at("arcs_left").to_number<int>(), 81);
  EXPECT_TRUE(progress.at("locks_per_s").is_null());
  EXPECT_TRUE(progress.at("left_ms").is_null());
  auto plan = plan_json(joining());
  EXPECT_EQ(plan.at("arcs").to_number<int>(), 81);
  EXPECT_EQ(plan.at("waiters").to_number<int>(), 3);
  EXPECT_DOUBLE_EQ(plan.at("balance").as_double(), 1.2);
}

TEST(RingArguments, AreGroupsWeightsAndRates) {
  EXPECT_EQ(parse_group_argument("g3"), GroupId(3));
  EXPECT_DOUBLE_EQ(parse_weight("2.5"), 2.5);
  EXPECT_EQ(parse_rate("50000/s"), 50'000u);
  EXPECT_EQ(parse_rate("50000"), 50'000u);
  EXPECT_EQ(parse_rate("0"), 0u);
  EXPECT_EQ(parse_rate("none"), 0u);
}

TEST(RingArguments, AreRefusedWhenTheyAreNothingLikeIt) {
  for (const char* text : {"", "3", "g", "g0", "s1", "g1,g2"})
    EXPECT_THROW(parse_group_argument(text), CLI::ValidationError) << text;
  for (const char* text : {"", "0", "-1", "x", "1x", "nan", "inf", "1e999"})
    EXPECT_THROW(parse_weight(text), CLI::ValidationError) << text;
  for (const char* text : {"", "/s", "-1", "5/m", "fast", "4294967296", "1.5"})
    EXPECT_THROW(parse_rate(text), CLI::ValidationError) << text;
}

}  // namespace
}  // namespace dlm::cli
