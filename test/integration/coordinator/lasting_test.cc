// What LastingCoordinator adds to the contract: a process outlives its sessions.
#include <gtest/gtest.h>

#include "coordinator/lasting_coordinator.h"
#include "test/integration/coordinator/world.h"

namespace dlm::coordinator {
namespace {

constexpr GroupId kGroup(1);

class LastingCoordinatorTest : public testing::TestWithParam<WorldKind> {
 protected:
  std::unique_ptr<Session> start_lasting(const std::string& name) {
    auto session = std::make_unique<Session>(
        world->queue, make_lasting_coordinator(world->maker(name, kShortTimeoutMs), world->executor()));
    session->start_and_wait();
    return session;
  }
  // Whether a view came after the `seen` first ones that has the server, or has it no more.
  bool wait_server(Session& session, const std::string& id, bool there, std::size_t seen = 0) {
    return session.wait_view([&, there](const ClusterView& view) {
      return session.views().size() > seen && view.servers.contains(id) == there;
    });
  }

  std::unique_ptr<World> world = GetParam().make();
};

INSTANTIATE_TEST_SUITE_P(, LastingCoordinatorTest, testing::ValuesIn(kAllWorlds), name_of_world);

TEST_P(LastingCoordinatorTest, AfterItsSessionExpiredItIsRegisteredAsWhatItWas) {
  auto watcher = world->start("watcher");
  auto lasting = start_lasting("lasting");
  ASSERT_TRUE(lasting->register_server(member_of("s1", 42)).ok);
  ASSERT_TRUE(wait_server(*watcher, "s1", true));
  for (int i = 0; i < 2; ++i) {
    world->expire("lasting");
    ASSERT_TRUE(wait_server(*watcher, "s1", false)) << "nobody keeps an expired registration";
    ASSERT_TRUE(wait_server(*watcher, "s1", true, watcher->views().size()));
    EXPECT_EQ(watcher->view().servers.at("s1"), member_of("s1", 42));
    ASSERT_TRUE(lasting->wait_state(SessionState::connected));
    // The others may see the registration before it hears of it itself.
    while (lasting->touch() != true) world->queue.run_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(lasting->propose(kGroup, 0, config_of(1, "a")), WriteResult::accepted);
}

TEST_P(LastingCoordinatorTest, WhatOthersWriteMeanwhileIsSeenInTheNextSession) {
  auto other = world->start("other");
  auto lasting = start_lasting("lasting");
  ASSERT_TRUE(lasting->register_server(member_of("s1", 42)).ok);
  world->expire("lasting");
  ASSERT_EQ(other->propose(kGroup, 0, config_of(7, "other")), WriteResult::accepted);
  ASSERT_TRUE(lasting->wait_view([](const ClusterView& view) { return view.groups.contains(kGroup); }));
  EXPECT_EQ(lasting->view().groups.at(kGroup).config, config_of(7, "other"));
  EXPECT_EQ(lasting->propose(kGroup, 0, config_of(1, "a")), WriteResult::conflict);
}

TEST_P(LastingCoordinatorTest, AnIdThatSomebodyElseHasByThenEndsIt) {
  auto lasting = start_lasting("lasting");
  ASSERT_TRUE(lasting->register_server(member_of("s1", 42), 200).ok);
  auto other = world->start("other");
  bool taken = false;
  other->coordinator().register_server(member_of("s1", 43), 60'000,
                                       [&](bool ok, const std::string&) { taken = ok; });
  world->expire("lasting");
  ASSERT_TRUE(lasting->wait_state(SessionState::ended));
  EXPECT_NE(lasting->why().find("s1"), std::string::npos) << lasting->why();
  EXPECT_TRUE(taken);
}

TEST_P(LastingCoordinatorTest, AFirstRegistrationThatFailsIsNotTriedAgain) {
  auto other = world->start("other");
  ASSERT_TRUE(other->register_server(member_of("s1", 41)).ok);
  auto lasting = start_lasting("lasting");
  const auto refused = lasting->register_server(member_of("s1", 42), 100);
  EXPECT_TRUE(refused.answered);
  EXPECT_FALSE(refused.ok);
  world->expire("lasting");
  EXPECT_TRUE(lasting->wait_state(SessionState::ended));
}

// With a coordinator of the test's own, that ends its session with a write on its way.
class BrokenSession final : public Coordinator {
 public:
  struct Handle {
    Events events;
    std::vector<Written> writes;
    std::vector<std::function<void(bool)>> touches;
    Registered registered;
  };
  explicit BrokenSession(Handle& handle) : handle_(handle) { handle = Handle(); }
  void start(Events events) override { handle_.events = std::move(events); }
  void register_server(const ServerMember&, std::uint32_t, Registered done) override {
    handle_.registered = std::move(done);
  }
  void register_router(const RouterMember&, std::uint32_t, Registered) override {}
  void propose(GroupId, std::int64_t, const GroupConfig&, Written done) override {
    handle_.writes.push_back(std::move(done));
  }
  void propose_ring(std::uint64_t, const RingRecord&, Written done) override {
    handle_.writes.push_back(std::move(done));
  }
  void touch(std::function<void(bool)> done) override { handle_.touches.push_back(std::move(done)); }
  std::uint32_t session_timeout_ms() const override { return 4'000; }

 private:
  Handle& handle_;
};

TEST(LastingCoordinator, AWriteOfUnknownOutcomeIsAnsweredAfterTheNextView) {
  test::TaskQueue queue;
  std::vector<std::unique_ptr<BrokenSession::Handle>> sessions;
  auto lasting = make_lasting_coordinator(
      [&] {
        sessions.push_back(std::make_unique<BrokenSession::Handle>());
        return std::make_unique<BrokenSession>(*sessions.back());
      },
      [&](std::function<void()> task) { queue.post(std::move(task)); });
  std::vector<std::string> heard;
  lasting->start({.on_view = [&](const ClusterView&) { heard.push_back("view"); }, .on_session = nullptr});
  lasting->register_server(member_of("s1", 42), 100, [](bool, const std::string&) {});
  sessions[0]->registered(true, "");

  auto note = [&](const char* name) {
    return [&heard, name](WriteResult result) {
      heard.push_back(name + std::string(result == WriteResult::unavailable ? ": unavailable" : ": other"));
    };
  };
  lasting->propose(kGroup, 0, config_of(1, "a"), note("told unknown"));
  lasting->propose(kGroup, 0, config_of(1, "a"), note("told nothing"));
  lasting->touch([&](bool ok) { heard.push_back(ok ? "touched" : "not touched"); });
  sessions[0]->writes[0](WriteResult::unknown);
  sessions[0]->events.on_session(SessionState::ended, "expired");
  lasting->propose(kGroup, 0, config_of(1, "a"), note("without a session"));
  ASSERT_TRUE(queue.run_until([&] { return sessions.size() == 2; }));
  EXPECT_EQ(heard, (std::vector<std::string>{"not touched", "without a session: unavailable"}));
  EXPECT_TRUE(sessions[1]->registered) << "it registers again, on its own";

  heard.clear();
  sessions[1]->events.on_view({});
  EXPECT_EQ(heard,
            (std::vector<std::string>{"view", "told unknown: unavailable", "told nothing: unavailable"}));
}

// The registration is refused because its session is ending: the try that was to follow is void.
TEST(LastingCoordinator, ASessionThatEndsWhileItRegistersAnewIsFollowedByAnother) {
  test::TaskQueue queue;
  std::vector<std::unique_ptr<BrokenSession::Handle>> sessions;
  auto lasting = make_lasting_coordinator(
      [&] {
        sessions.push_back(std::make_unique<BrokenSession::Handle>());
        return std::make_unique<BrokenSession>(*sessions.back());
      },
      [&](std::function<void()> task) { queue.post(std::move(task)); });
  lasting->start({});
  lasting->register_server(member_of("s1", 42), 100, [](bool, const std::string&) {});
  sessions[0]->registered(true, "");
  sessions[0]->events.on_session(SessionState::ended, "expired");
  ASSERT_TRUE(queue.run_until([&] { return sessions.size() == 2; }));
  sessions[1]->registered(false, "the session is ending");
  sessions[1]->events.on_session(SessionState::ended, "expired");
  ASSERT_TRUE(queue.run_until([&] { return sessions.size() == 3; }));
  EXPECT_TRUE(sessions[2]->registered);
}

}  // namespace
}  // namespace dlm::coordinator
