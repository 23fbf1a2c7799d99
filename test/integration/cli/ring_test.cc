// `dlm ring` against routers that tell of a made-up ring: what it prints, how it ends, what it asks for.
#include <gmock/gmock.h>

#include <csignal>
#include <sstream>

#include "test/integration/cli/service.h"
#include "test/support/fake_router.h"

namespace dlm::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class RingCommand : public ::testing::Test {
 protected:
  std::vector<std::string> environment() const {
    std::string list;
    for (const std::string& address : routers_.addresses()) list += (list.empty() ? "" : ",") + address;
    return {"DLM_ROUTERS=" + list};
  }
  Ended ring(std::vector<std::string> words) const {
    words.insert(words.begin(), "ring");
    return run(words, environment());
  }
  std::vector<RingChange> changes() {
    std::vector<RingChange> list;
    routers_.with_ring([&](FakeRing& ring) { list = ring.changes(); });
    return list;
  }
  void set_steps(std::uint32_t steps) {
    routers_.with_ring([&](FakeRing& ring) { ring.steps = steps; });
  }

  FakeRouters routers_{2};
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST_F(RingCommand, ShowsTheGroupsAndAPicture) {
  Ended shown = ring({"show"});
  ASSERT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.out, StartsWith("ring version 1: 2 groups, the fullest has 1.000 times its due\n"));
  EXPECT_THAT(shown.out, HasSubstr("g1     s1       1       50.0%  50.0%  60    3,000  50.0%"));
  EXPECT_THAT(shown.out, HasSubstr("#####"));
  auto told = json_of(ring({"show", "--json"}).out);
  EXPECT_EQ(told.at("version").as_int64(), 1);
  EXPECT_EQ(told.at("groups").as_array().size(), 2U);
}

TEST_F(RingCommand, LocatesAName) {
  Ended located = ring({"locate", "orders/42"});
  ASSERT_EQ(located.code, 0) << located.err;
  EXPECT_THAT(located.out, StartsWith("orders/42: g1 (primary s1)\n  hash fedcba9876543210"));
  EXPECT_EQ(json_of(ring({"locate", "--name-hex", "00ff", "--json"}).out).at("resource_hex").as_string(),
            "00ff");
}

TEST_F(RingCommand, FollowsAChangeUntilItIsThrough) {
  Ended added = ring({"add", "g3", "--max-rate", "50000/s"});
  ASSERT_EQ(added.code, 0) << added.err;
  EXPECT_EQ(added.err, "");
  EXPECT_THAT(added.out, StartsWith("moving: 40 of 40 arcs left (33.3% of the names, about 2,000 locks)"));
  EXPECT_THAT(added.out, HasSubstr("done: ring version 3, g3 owns 33.3% of the names"));
  ASSERT_EQ(changes().size(), 1U);
  EXPECT_EQ(changes()[0].kind, RingChange::Kind::add);
  EXPECT_EQ(changes()[0].group, GroupId(3));
  EXPECT_DOUBLE_EQ(changes()[0].weight, 1);
  EXPECT_EQ(changes()[0].locks_per_s_max, 50'000U);
  EXPECT_EQ(changes()[0].expected_version, 1U) << "the one that was read";
}

TEST_F(RingCommand, TellsProgressAndThenTheRingInJson) {
  Ended weighted = ring({"weight", "g1", "2.0", "--json"});
  ASSERT_EQ(weighted.code, 0) << weighted.err;
  auto lines = lines_of(weighted.out);
  ASSERT_GE(lines.size(), 2U);
  EXPECT_GT(json_of(lines[0] + "\n").at("progress").at("arcs_left").as_int64(), 0);
  auto last = json_of(lines.back() + "\n");
  EXPECT_FALSE(last.at("changing").as_bool());
  EXPECT_DOUBLE_EQ(last.at("groups").as_array()[0].at("weight").as_double(), 2);
}

TEST_F(RingCommand, PlansWithoutDoingAnything) {
  Ended planned = ring({"add", "g3", "--weight", "2", "--dry-run"});
  ASSERT_EQ(planned.code, 0) << planned.err;
  EXPECT_THAT(planned.out, StartsWith("A plan, nothing was done: add g3 with weight 2\n"));
  EXPECT_THAT(planned.out, HasSubstr("g3     0 > 2   0.0%   50.0%"));
  auto told = json_of(ring({"add", "g3", "--weight", "2", "--dry-run", "--json"}).out);
  EXPECT_EQ(told.at("plan").at("arcs").as_int64(), 60);
  EXPECT_TRUE(changes().empty());
}

TEST_F(RingCommand, LeavesAChangeToTheServersWithNoWait) {
  set_steps(0);
  Ended begun = ring({"remove", "g2", "--no-wait"});
  ASSERT_EQ(begun.code, 0) << begun.err;
  EXPECT_THAT(begun.out, HasSubstr("begun: remove g2; `dlm ring watch` follows it"));
  EXPECT_THAT(begun.out, HasSubstr("must run until it owns nothing"));
  EXPECT_THAT(ring({"show"}).out, HasSubstr("The whole change moves"));
  Ended status = ring({"status"});
  EXPECT_THAT(status.out, StartsWith("moving: 60 of 60 arcs left"));
  EXPECT_THAT(status.out, HasSubstr("locks/s")) << "it takes two reports for that";
}

TEST_F(RingCommand, SaysThatAGroupMayBeStoppedWhenItOwnsNothing) {
  Ended removed = ring({"remove", "g2"});
  ASSERT_EQ(removed.code, 0) << removed.err;
  EXPECT_THAT(removed.out,
              EndsWith("done: g2 has left the ring (version 3) and owns nothing now; its servers "
                       "may be stopped\n"));
}

TEST_F(RingCommand, NeverSaysSoOfAGroupThatStillOwnsSomething) {
  routers_.with_ring([](FakeRing& ring) { ring.arcs_kept = 2; });
  Ended removed = ring({"remove", "g2"});
  EXPECT_EQ(removed.code, 69);
  EXPECT_THAT(removed.err, HasSubstr("dlm: g2 has left the ring (version 3), but it still owns 2 arcs"));
  EXPECT_THAT(removed.out, Not(HasSubstr("stopped")));
}

TEST_F(RingCommand, NeverSaysSoOfAGroupThatCanNotBeAsked) {
  routers_.with_ring([](FakeRing& ring) { ring.problems[GroupId(2)] = "no primary"; });
  Ended removed = ring({"remove", "g2"});
  EXPECT_EQ(removed.code, 69);
  EXPECT_THAT(removed.err, HasSubstr("can't be asked whether it owns nothing (no primary)"));
}

TEST_F(RingCommand, OfTwoOperatorsRefusesTheSecond) {
  routers_.with_ring([](FakeRing& ring) { ring.other_is_faster = true; });
  Ended second = ring({"add", "g3"});
  EXPECT_EQ(second.code, 64);
  expect_one_error_line(second);
  EXPECT_THAT(second.err, HasSubstr("the ring has version 2, not 1: look at it again"));
  EXPECT_TRUE(changes().empty());
}

TEST_F(RingCommand, PassesARefusalOnInOneLine) {
  Ended refused = ring({"add", "g1"});
  EXPECT_EQ(refused.code, 64);
  expect_one_error_line(refused);
  EXPECT_THAT(refused.err, HasSubstr("it is in the ring already"));
  Ended json = ring({"add", "g1", "--json"});
  EXPECT_EQ(json_of(json.err).at("error").at("status").as_string(), "invalid_argument");
}

TEST_F(RingCommand, FindsAChangeWhoseAnswerWasLostInTheRing) {
  routers_.drop_next_change(true);
  Ended added = ring({"add", "g3"});
  ASSERT_EQ(added.code, 0) << added.err;
  EXPECT_THAT(added.out, HasSubstr("done: ring version 3"));
  EXPECT_EQ(changes().size(), 1U) << "made once";
}

TEST_F(RingCommand, SaysThatAChangeThatWasLostIsNotThere) {
  routers_.drop_next_change(false);
  Ended added = ring({"add", "g3"});
  EXPECT_EQ(added.code, 69);
  expect_one_error_line(added);
  EXPECT_THAT(added.err, HasSubstr("the change was not made"));
  EXPECT_THAT(added.err, HasSubstr("the ring still has version 1; give the command again"));
  EXPECT_TRUE(changes().empty());
}

TEST_F(RingCommand, GoesOnFollowingWithAnotherRouter) {
  set_steps(0);
  Program add({"ring", "add", "g3"}, environment());
  ASSERT_TRUE(eventually([&] { return add.out().find("moving: ") != std::string::npos; })) << add.err();
  routers_.stop(routers_.clients(0) > 0 ? 0 : 1);
  set_steps(2);
  Ended ended = add.wait();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("done: ring version 3"));
}

TEST_F(RingCommand, InterruptedLeavesTheChangeGoingOnAndSaysHowToLook) {
  set_steps(0);
  Program add({"ring", "add", "g3"}, environment());
  ASSERT_TRUE(eventually([&] { return add.out().find("moving: ") != std::string::npos; })) << add.err();
  add.signal(SIGINT);
  Ended ended = add.wait();
  EXPECT_EQ(ended.code, 130);
  EXPECT_THAT(ended.err, StartsWith("dlm: the change goes on without this command: `dlm ring watch`"));
  EXPECT_EQ(changes().size(), 1U);
}

TEST_F(RingCommand, EndsWhenAnotherOperatorTakesTheChangeBack) {
  set_steps(0);
  Program add({"ring", "add", "g3"}, environment());
  ASSERT_TRUE(eventually([&] { return add.out().find("moving: ") != std::string::npos; })) << add.err();
  Ended aborted = ring({"abort"});
  EXPECT_EQ(aborted.code, 0) << aborted.err;
  EXPECT_THAT(aborted.out, StartsWith("taken back: "));
  Ended ended = add.wait();
  EXPECT_EQ(ended.code, 75);
  EXPECT_THAT(ended.err, HasSubstr("dlm: the change was taken back or replaced: the ring has version 3 now"));
}

TEST_F(RingCommand, PausesResumesAndLimitsAChange) {
  EXPECT_EQ(ring({"pause"}).code, 64) << "nothing moves";
  set_steps(0);
  ASSERT_EQ(ring({"add", "g3", "--no-wait"}).code, 0);
  EXPECT_THAT(ring({"pause"}).out, StartsWith("paused: "));
  EXPECT_THAT(ring({"status"}).out, StartsWith("paused: 40 of 40 arcs left"));
  EXPECT_THAT(ring({"resume"}).out, StartsWith("goes on; "));
  EXPECT_THAT(ring({"rate", "20000/s"}).out, HasSubstr("at most 20,000 locks/s from each group"));
  EXPECT_THAT(ring({"show"}).out, HasSubstr("at most 20,000 locks/s"));
  EXPECT_THAT(ring({"rate", "none"}).out, HasSubstr("move without a limit"));
  EXPECT_EQ(json_of(ring({"status", "--json"}).out).at("locks_per_s_max").as_int64(), 0);
}

TEST_F(RingCommand, WatchEndsWithTheChange) {
  EXPECT_EQ(ring({"watch"}).out, "ring version 1: nothing moves\n");
  set_steps(0);
  ASSERT_EQ(ring({"add", "g3", "--no-wait"}).code, 0);
  routers_.with_ring([](FakeRing& ring) { ring.waits_for[GroupId(1)] = "g3 does not answer"; });
  Program watch({"ring", "watch"}, environment());
  ASSERT_TRUE(eventually([&] { return watch.out().find("g1 waits: g3") != std::string::npos; }));
  set_steps(2);
  Ended ended = watch.wait();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, EndsWith("ring version 3: nothing moves\n"));
}

TEST_F(RingCommand, RefusesWrongUsageInOneLineWithCode64) {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{}, "subcommand"},
      {{"grow"}, "grow"},
      {{"add"}, "GROUP"},
      {{"add", "3"}, "'3'"},
      {{"add", "g3", "--weight", "0"}, "WEIGHT"},
      {{"add", "g3", "--max-rate", "fast"}, "'fast'"},
      {{"weight", "g3"}, "WEIGHT"},
      {{"rate"}, "RATE"},
      {{"locate"}, "NAME"},
  };
  for (const auto& [words, message] : cases) {
    SCOPED_TRACE(::testing::PrintToString(words));
    Ended ended = ring(words);
    EXPECT_EQ(ended.code, 64) << ended.err;
    expect_one_error_line(ended);
    EXPECT_THAT(ended.err, HasSubstr(message));
  }
}

}  // namespace
}  // namespace dlm::test
