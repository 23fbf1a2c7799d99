#include "server/shard_node.h"

#include <gtest/gtest.h>

#include <system_error>

#include "coordinator/core/ring.h"
#include "node_rig.h"

namespace dlm::server {
namespace {

constexpr GroupId kG1(1);
constexpr std::uint64_t kAnn = 1u << 16;
constexpr std::uint64_t kBob = 2u << 16;

// Names that the ring gives to g1.
std::string name_in_g1(int number) {
  coordinator::Ring ring(coordinator::RingRecord{1, {{GroupId(1), 1}, {GroupId(2), 1}}});
  for (int i = 0;; ++i) {
    std::string name = "lock " + std::to_string(i);
    if (ring.group_of(coordinator::hash_of(name)) == kG1 && number-- == 0) return name;
  }
}

class ShardNodeTest : public ::testing::Test {
 protected:
  void begin(int servers) {
    for (int i = 1; i <= servers; ++i) rig_.start("s" + std::to_string(i));
    rig_.await_in_sync(kG1, static_cast<std::size_t>(servers));
  }
  std::string address_of(const std::string& id) { return rig_.nodes.at(id).shard->address(); }
  std::string primary() { return rig_.primary(kG1); }
  std::unique_ptr<FakeRouter> router_to(const std::string& id) {
    auto router = std::make_unique<FakeRouter>(rig_, address_of(id));
    EXPECT_EQ(router->open(kG1), Status::ok);
    return router;
  }

  NodeRig rig_;
  const std::string a_ = name_in_g1(0);
};

TEST_F(ShardNodeTest, ThreeServersFormAGroupAndAnswerThroughRpc) {
  begin(3);
  auto router = router_to(primary());
  std::vector<Answer> answers =
      router->submit({open_session(kAnn, "ann"), acquire(kAnn, 1, a_), heartbeat(kAnn)});
  ASSERT_EQ(answers.size(), 3U);
  for (const Answer& answer : answers) {
    EXPECT_EQ(answer.status, Status::ok) << answer.message;
    EXPECT_EQ(answer.group, kG1);
  }
}

TEST_F(ShardNodeTest, AGrantComesThroughTheListener) {
  begin(2);
  auto ann = router_to(primary());
  auto bob = router_to(primary());
  ann->submit({open_session(kAnn, "ann"), acquire(kAnn, 1, a_)});
  bob->submit({open_session(kBob, "bob")});
  EXPECT_EQ(bob->ask(acquire(kBob, 1, a_, kWaitForeverMs)).status, Status::queued);
  EXPECT_EQ(ann->ask(release(kAnn, 2, a_)).status, Status::ok);
  rig_.await("the grant", [&] { return !bob->later.empty(); });
  EXPECT_EQ(bob->later[0].status, Status::ok);
  EXPECT_EQ(bob->later[0].session, SessionId(kBob));
  EXPECT_TRUE(ann->later.empty());
}

TEST_F(ShardNodeTest, WhenThePrimaryDiesABackupTakesOverWithEveryHold) {
  begin(3);
  auto router = router_to(primary());
  router->submit({open_session(kAnn, "ann"), open_session(kBob, "bob")});
  Answer held = router->ask(acquire(kAnn, 1, a_));
  EXPECT_EQ(router->ask(acquire(kBob, 1, a_, kWaitForeverMs)).status, Status::queued);
  router.reset();
  const std::string old = primary();
  rig_.kill(old);
  rig_.await("takeover", [&] { return !primary().empty(); });

  router = router_to(primary());
  Answer again = router->ask(acquire(kAnn, 1, a_));
  EXPECT_EQ(again.status, Status::ok);
  EXPECT_EQ(again.token, held.token);
  EXPECT_EQ(router->ask(acquire(kBob, 1, a_, kWaitForeverMs)).status, Status::queued);
  EXPECT_EQ(router->ask(release(kAnn, 2, a_)).status, Status::ok);
  rig_.await("the grant", [&] { return !router->later.empty(); });
  EXPECT_GT(router->later[0].token, held.token);
}

TEST_F(ShardNodeTest, ARestartedServerJoinsAgainAndCanTakeOver) {
  begin(2);
  auto router = router_to(primary());
  router->submit({open_session(kAnn, "ann")});
  Answer held = router->ask(acquire(kAnn, 1, a_));
  router.reset();
  const std::string first = primary();
  rig_.kill(first);
  rig_.await("takeover", [&] { return !primary().empty(); });
  rig_.start(first);
  rig_.await_in_sync(kG1, 2);
  const std::string second = primary();
  EXPECT_NE(second, first);
  rig_.kill(second);
  rig_.await("takeover", [&] { return primary() == first; });
  EXPECT_EQ(router_to(first)->ask(acquire(kAnn, 1, a_)).token, held.token);
}

TEST_F(ShardNodeTest, AnOrderlyStopHandsOverBeforeItEnds) {
  begin(3);
  const std::string old = primary();
  bool done = false;
  rig_.nodes.at(old).shard->stop([&] { done = true; });
  rig_.await("the stop", [&] { return done; });
  rig_.await("a successor", [&] { return !primary().empty(); });
  EXPECT_NE(primary(), old);
  EXPECT_EQ(rig_.view.groups.at(kG1).config.in_sync.size(), 2U) << "nobody else has to remove it";
}

TEST_F(ShardNodeTest, ABackupAnswersNotPrimary) {
  begin(2);
  const std::string backup = primary() == "s1" ? "s2" : "s1";
  Answer refused = router_to(backup)->ask(heartbeat(kAnn));
  EXPECT_EQ(refused.status, Status::not_primary);
  EXPECT_NE(refused.message.find(primary() + "#"), std::string::npos) << refused.message;
}

TEST_F(ShardNodeTest, PeersOfAnotherClusterOrProtocolAreRefusedWithTheReason) {
  begin(1);
  std::string message;
  EXPECT_EQ(FakeRouter(rig_, address_of("s1")).greet("other", kShardProtocolVersion, message),
            Status::permission_denied);
  EXPECT_NE(message.find("other"), std::string::npos) << message;
  EXPECT_EQ(FakeRouter(rig_, address_of("s1")).greet("rig", 999, message), Status::invalid_argument);
  EXPECT_NE(message.find("999"), std::string::npos) << message;
  EXPECT_EQ(FakeRouter(rig_, address_of("s1")).greet("rig", kShardProtocolVersion, message), Status::ok);
}

TEST_F(ShardNodeTest, AGroupThatItDoesNotServeIsRefused) {
  begin(1);
  FakeRouter router(rig_, address_of("s1"));
  EXPECT_EQ(router.open(GroupId(7)), Status::unavailable);
  EXPECT_EQ(router.open(kG1), Status::ok) << "the connection is none the worse for it";
}

TEST_F(ShardNodeTest, ASecondProcessWithTheSameIdIsToldWhoIsThere) {
  begin(1);
  auto first = std::move(rig_.nodes.at("s1"));
  NodeRig::Node& second = rig_.begin(rig_.options("s1"));
  rig_.await("the refusal", [&] { return !second.failure.empty(); });
  EXPECT_NE(second.failure.find("s1"), std::string::npos) << second.failure;
  EXPECT_FALSE(second.ready);
  EXPECT_TRUE(first.shard->serves(kG1));
}

TEST_F(ShardNodeTest, APortInUseIsAnErrorAndNoCrash) {
  begin(1);
  ShardNodeOptions options = rig_.options("s2");
  options.listen = *parse_host_port(address_of("s1"));
  EXPECT_THROW(rig_.begin(options), std::system_error);
}

TEST_F(ShardNodeTest, WithoutACoordinatorItGivesUpWithAReason) {
  rig_.hub.cut("s1");
  ShardNodeOptions options = rig_.options("s1");
  options.start_timeout_ms = 100;
  NodeRig::Node& node = rig_.begin(options);
  rig_.await("the failure", [&] { return !node.failure.empty(); });
  EXPECT_NE(node.failure.find("coordinator"), std::string::npos) << node.failure;
}

TEST_F(ShardNodeTest, WhenItsSessionEndsItStopsServingAndSaysSo) {
  begin(1);
  auto router = router_to("s1");
  router->submit({open_session(kAnn, "ann")});
  rig_.hub.expire("s1");
  NodeRig::Node& node = rig_.nodes.at("s1");
  rig_.await("the failure", [&] { return !node.failure.empty(); });
  EXPECT_ANY_THROW(router->ask(acquire(kAnn, 1, a_)));
}

TEST_F(ShardNodeTest, ACallWhoseRouterIsGoneIsExecutedAndHarmsNothing) {
  begin(2);
  auto router = router_to(primary());
  router->submit({open_session(kAnn, "ann"), open_session(kBob, "bob")});
  router->submit_and_forget({acquire(kAnn, 1, a_), acquire(kBob, 1, a_, kWaitForeverMs)});
  rig_.run_ms(1);  // so that it leaves
  router.reset();
  router = router_to(primary());
  EXPECT_EQ(router->ask(acquire(kAnn, 1, a_)).status, Status::ok);
  EXPECT_EQ(router->ask(acquire(kBob, 1, a_, kWaitForeverMs)).status, Status::queued);
  router->ask(release(kAnn, 2, a_));
  rig_.await("the grant", [&] { return !router->later.empty(); });
}

TEST_F(ShardNodeTest, ARouterThatDoesNotTakeItsAnswersIsCutOff) {
  ShardNodeOptions options = rig_.options("s1");
  options.router_timeout_ms = 50;
  rig_.begin(options);
  rig_.await_in_sync(kG1, 1);
  auto stuck = router_to("s1");
  stuck->takes_answers = false;
  stuck->submit({open_session(kAnn, "ann"), open_session(kBob, "bob"), acquire(kAnn, 1, a_)});
  stuck->submit({acquire(kBob, 1, a_, kWaitForeverMs), release(kAnn, 2, a_)});
  rig_.await("the grant", [&] { return !stuck->later.empty(); });
  rig_.run_ms(300);
  EXPECT_ANY_THROW(stuck->ask(heartbeat(kAnn)));
  EXPECT_EQ(router_to("s1")->ask(acquire(kBob, 1, a_, kWaitForeverMs)).status, Status::ok) << "others go on";
}

TEST_F(ShardNodeTest, AServerThatGoesWithCallsOutTakesNobodyAlong) {
  begin(3);
  auto router = router_to(primary());
  router->submit({open_session(kAnn, "ann")});
  for (std::uint64_t i = 1; i <= 100; ++i) router->submit_and_forget({acquire(kAnn, i, a_), heartbeat(kAnn)});
  rig_.run_ms(1);
  rig_.kill(primary());
  router.reset();
  rig_.await("takeover", [&] { return !primary().empty(); });
  EXPECT_EQ(router_to(primary())->ask(heartbeat(kAnn)).status, Status::ok);
}

}  // namespace
}  // namespace dlm::server
