// The contract of a Coordinator, held by every implementation.
#include <gtest/gtest.h>

#include "test/integration/coordinator/world.h"

namespace dlm::coordinator {
namespace {

constexpr GroupId kGroup(1);

class CoordinatorContract : public testing::TestWithParam<WorldKind> {
 protected:
  std::unique_ptr<World> world = GetParam().make();
};

INSTANTIATE_TEST_SUITE_P(, CoordinatorContract, testing::ValuesIn(kAllWorlds), name_of_world);

TEST_P(CoordinatorContract, FirstViewComesWhenEverythingWasRead) {
  auto first = world->start("first");
  EXPECT_EQ(first->state(), SessionState::connected);
  EXPECT_FALSE(first->view().cluster.empty());
  EXPECT_TRUE(first->view().groups.empty());
  EXPECT_EQ(first->view().ring, RingRecord());
  ASSERT_TRUE(first->register_server(member_of("s1", 42)).ok);
  for (std::uint32_t id = 1; id <= 20; ++id) {
    ASSERT_EQ(first->propose(GroupId(id), 0, config_of(id, "a")), WriteResult::accepted);
  }
  RingRecord ring{0, {{GroupId(1), 1}, {GroupId(2), 2}}};
  ASSERT_EQ(first->propose_ring(0, ring), WriteResult::accepted);

  auto second = world->start("second");
  const ClusterView& view = second->views().front();
  EXPECT_EQ(view.cluster, first->view().cluster);
  EXPECT_EQ(view.groups.size(), 20U);
  EXPECT_EQ(view.groups.at(GroupId(7)), (VersionedConfig{1, config_of(7, "a")}));
  EXPECT_EQ(view.servers.at("s1"), member_of("s1", 42));
  EXPECT_EQ(view.ring, (RingRecord{1, ring.groups}));
}

TEST_P(CoordinatorContract, RegistrationsShowInEveryView) {
  auto server = world->start("server");
  auto router = world->start("router");
  ASSERT_TRUE(server->register_server(member_of("s1", 42)).ok);
  bool registered = false;
  RouterMember member{"r1", "127.0.0.1:7700"};
  router->coordinator().register_router(member, 0, [&](bool ok, const std::string&) { registered = ok; });
  for (Session* session : {server.get(), router.get()}) {
    ASSERT_TRUE(
        session->wait_view([](const ClusterView& v) { return !v.servers.empty() && !v.routers.empty(); }));
    EXPECT_EQ(session->view().servers.at("s1"), member_of("s1", 42));
    EXPECT_EQ(session->view().routers.at("r1"), member);
  }
  EXPECT_TRUE(world->queue.run_until([&] { return registered; }));
}

TEST_P(CoordinatorContract, SecondRegistrationOfAnIdIsRefusedAfterPatienceAndToldWhoIsThere) {
  auto first = world->start("first");
  auto second = world->start("second");
  ASSERT_TRUE(first->register_server(member_of("s1", 41)).ok);
  for (std::uint32_t patience_ms : {0U, 300U}) {
    Session::Registration refused = second->register_server(member_of("s1", 42), patience_ms);
    EXPECT_TRUE(refused.answered);
    EXPECT_FALSE(refused.ok);
    EXPECT_EQ(refused.why,
              "server id s1 is taken: s1#41 at 127.0.0.1:7801 has it, and its session is still alive");
  }
  EXPECT_EQ(second->touch(), false) << "it has no registration";
  EXPECT_TRUE(second->register_server(member_of("s2", 1)).ok) << "another id is free";
}

TEST_P(CoordinatorContract, SecondRegistrationIsAcceptedWhenTheFirstEnds) {
  auto first = world->start("first");
  auto second = world->start("second");
  ASSERT_TRUE(first->register_server(member_of("s1", 41)).ok);
  bool done = false;
  bool accepted = false;
  second->coordinator().register_server(member_of("s1", 42), 20'000, [&](bool ok, const std::string&) {
    done = true;
    accepted = ok;
  });
  world->queue.run_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(done);
  first->end();
  EXPECT_TRUE(world->queue.run_until([&] { return done; }));
  EXPECT_TRUE(accepted);
  EXPECT_TRUE(second->wait_view([](const ClusterView& v) {
    return v.servers.contains("s1") && v.servers.at("s1").name.incarnation == 42;
  }));
}

TEST_P(CoordinatorContract, AnIdThatIsNoneIsRefused) {
  auto session = world->start("session");
  for (const char* id : {"", "..", "a/b"}) {
    Session::Registration refused = session->register_server(member_of(id, 1), 5'000);
    EXPECT_TRUE(refused.answered);
    EXPECT_FALSE(refused.ok);
    EXPECT_FALSE(refused.why.empty());
  }
}

TEST_P(CoordinatorContract, RecordIsCreatedOnceAndThenChangedByCompareAndSet) {
  auto session = world->start("session");
  auto other = world->start("other");
  EXPECT_EQ(session->propose(kGroup, 1, config_of(1, "a")), WriteResult::conflict) << "there is none yet";
  EXPECT_EQ(session->propose(kGroup, 0, config_of(1, "b")), WriteResult::accepted);
  EXPECT_EQ(other->propose(kGroup, 0, config_of(1, "c")), WriteResult::conflict);
  EXPECT_EQ(other->propose(kGroup, 2, config_of(1, "d")), WriteResult::conflict);
  EXPECT_EQ(other->propose(kGroup, 1, config_of(2, "e")), WriteResult::accepted);
  EXPECT_EQ(session->propose(kGroup, 1, config_of(2, "f")), WriteResult::conflict);
  EXPECT_EQ(session->propose(kGroup, 2, config_of(3, "g")), WriteResult::accepted);
  for (Session* each : {session.get(), other.get()}) {
    EXPECT_TRUE(each->wait_view([](const ClusterView& v) {
      return v.groups.contains(kGroup) && v.groups.at(kGroup) == VersionedConfig{3, config_of(3, "g")};
    }));
  }
}

TEST_P(CoordinatorContract, OfRacingSessionsExactlyOneWins) {
  std::vector<std::unique_ptr<Session>> racers;
  racers.reserve(3);
  for (int i = 0; i < 3; ++i) racers.push_back(world->start("racer" + std::to_string(i)));
  for (std::int64_t version = 0; version < 50; ++version) {
    int accepted = 0;
    int answered = 0;
    for (std::size_t i = 0; i < racers.size(); ++i) {
      GroupConfig config = config_of(static_cast<std::uint64_t>(version) + 1, std::to_string(i));
      racers[i]->coordinator().propose(kGroup, version, config, [&](WriteResult result) {
        ++answered;
        if (result == WriteResult::accepted) ++accepted;
        EXPECT_NE(result, WriteResult::unavailable);
      });
    }
    ASSERT_TRUE(world->queue.run_until([&] { return answered == 3; }));
    ASSERT_EQ(accepted, 1) << "version " << version;
  }
}

TEST_P(CoordinatorContract, ProposalsOfOneSessionAreDoneInOrder) {
  auto session = world->start("session");
  std::vector<WriteResult> results;
  for (std::int64_t version = 0; version < 20; ++version) {
    session->coordinator().propose(kGroup, version, config_of(1, "a"),
                                   [&](WriteResult result) { results.push_back(result); });
  }
  ASSERT_TRUE(world->queue.run_until([&] { return results.size() == 20; }));
  EXPECT_EQ(results, std::vector<WriteResult>(20, WriteResult::accepted));
}

TEST_P(CoordinatorContract, RingIsChangedByCompareAndSet) {
  auto session = world->start("session");
  auto other = world->start("other");
  RingRecord ring{0, {{GroupId(1), 1}}};
  EXPECT_EQ(session->propose_ring(1, ring), WriteResult::conflict);
  EXPECT_EQ(session->propose_ring(0, ring), WriteResult::accepted);
  EXPECT_EQ(other->propose_ring(0, ring), WriteResult::conflict);
  ring.groups.push_back({GroupId(2), 0.5});
  EXPECT_EQ(other->propose_ring(1, ring), WriteResult::accepted);
  EXPECT_EQ(session->propose_ring(1, ring), WriteResult::conflict);
  ring.version = 2;
  for (Session* each : {session.get(), other.get()}) {
    EXPECT_TRUE(each->wait_view([&](const ClusterView& v) { return v.ring == ring; }));
  }
}

TEST_P(CoordinatorContract, AChangeOfTheRingIsSeenAsItWasWritten) {
  auto session = world->start("session");
  auto other = world->start("other");
  RingRecord ring{0, {{GroupId(2), 0.5}, {GroupId(1), 1}}};
  ring.before = {{GroupId(3), 1}, {GroupId(1), 1}};
  ring.paused = true;
  ring.locks_per_s_max = 5'000;
  ASSERT_EQ(session->propose_ring(0, ring), WriteResult::accepted);
  ring.version = 1;
  for (std::vector<RingGroup>* groups : {&ring.groups, &ring.before}) std::swap((*groups)[0], (*groups)[1]);
  EXPECT_TRUE(other->wait_view([&](const ClusterView& v) { return v.ring == ring; })) << "sorted";

  GroupConfig config = config_of(1, "a");
  config.ring_done = 1;
  ASSERT_EQ(session->propose(kGroup, 0, config), WriteResult::accepted);
  EXPECT_TRUE(other->wait_view([&](const ClusterView& v) {
    return v.groups.contains(kGroup) && v.groups.at(kGroup).config == config;
  }));

  const RingRecord over{2, ring.groups};
  ASSERT_EQ(other->propose_ring(1, over), WriteResult::accepted);
  EXPECT_TRUE(session->wait_view([&](const ClusterView& v) { return v.ring == over; }));
}

TEST_P(CoordinatorContract, RecordsThatNobodyCouldReadAreNotWritten) {
  auto session = world->start("session");
  GroupConfig outsider = config_of(1, "a");
  outsider.primary = {"s9", 1};
  EXPECT_EQ(session->propose(kGroup, 0, outsider), WriteResult::unavailable);
  EXPECT_EQ(session->propose(GroupId(), 0, config_of(1, "a")), WriteResult::unavailable);
  EXPECT_EQ(session->propose_ring(0, {0, {{GroupId(1), -1}}}), WriteResult::unavailable);
  EXPECT_EQ(session->propose(kGroup, 0, config_of(1, "a")), WriteResult::accepted) << "still to be created";
}

TEST_P(CoordinatorContract, ViewsNeverGoBack) {
  auto writer = world->start("writer");
  auto reader = world->start("reader");
  for (std::int64_t version = 0; version < 100; ++version) {
    GroupId group(1 + static_cast<std::uint32_t>(version) % 4);
    ASSERT_EQ(writer->propose(group, version / 4, config_of(1, "a")), WriteResult::accepted);
  }
  ASSERT_TRUE(reader->wait_view([](const ClusterView& v) {
    int done = 0;
    for (const auto& [group, config] : v.groups) done += config.version == 25 ? 1 : 0;
    return done == 4;
  }));
  for (std::size_t i = 1; i < reader->views().size(); ++i) {
    EXPECT_NE(reader->views()[i], reader->views()[i - 1]) << "told twice";
    for (const auto& [group, config] : reader->views()[i - 1].groups) {
      ASSERT_GE(reader->views()[i].groups.at(group).version, config.version);
    }
  }
}

TEST_P(CoordinatorContract, EndOfASessionRemovesItsRegistrationsAndKeepsTheRecords) {
  auto watcher = world->start("watcher");
  auto session = world->start("session");
  ASSERT_TRUE(session->register_server(member_of("s1", 42)).ok);
  ASSERT_EQ(session->propose(kGroup, 0, config_of(1, "a")), WriteResult::accepted);
  ASSERT_EQ(session->propose_ring(0, {0, {{GroupId(1), 1}}}), WriteResult::accepted);
  ASSERT_TRUE(watcher->wait_view(
      [](const ClusterView& v) { return v.servers.contains("s1") && v.ring.version == 1; }));
  session->end();
  ASSERT_TRUE(watcher->wait_view([](const ClusterView& v) { return v.servers.empty(); }));
  EXPECT_EQ(watcher->view().groups.at(kGroup).version, 1);
  EXPECT_EQ(watcher->view().ring.version, 1U);
}

TEST_P(CoordinatorContract, TouchSucceedsOnlyForARegisteredSessionInTouch) {
  auto session = world->start("session");
  EXPECT_EQ(session->touch(), false);
  ASSERT_TRUE(session->register_server(member_of("s1", 42)).ok);
  EXPECT_EQ(session->touch(), true);
  world->cut("session");
  ASSERT_TRUE(session->wait_state(SessionState::connecting));
  EXPECT_EQ(session->touch(), false);
  world->mend("session");
  ASSERT_TRUE(session->wait_state(SessionState::connected));
  EXPECT_EQ(session->touch(), true);
}

TEST_P(CoordinatorContract, CutSessionSaysSoAndReadsWhatItMissedWhenItIsBack) {
  auto session = world->start("session");
  auto other = world->start("other");
  ASSERT_TRUE(session->register_server(member_of("s1", 42)).ok);
  ASSERT_EQ(other->propose(kGroup, 0, config_of(1, "a")), WriteResult::accepted);
  ASSERT_EQ(other->propose(GroupId(2), 0, config_of(1, "a")), WriteResult::accepted);
  ASSERT_TRUE(
      session->wait_view([](const ClusterView& v) { return v.groups.size() == 2 && v.servers.size() == 1; }));
  world->cut("session");
  ASSERT_TRUE(session->wait_state(SessionState::connecting));
  EXPECT_FALSE(session->why().empty());
  std::size_t views = session->views().size();
  ASSERT_EQ(other->propose(kGroup, 1, config_of(2, "b")), WriteResult::accepted);
  ASSERT_EQ(other->propose(GroupId(3), 0, config_of(1, "c")), WriteResult::accepted);
  ASSERT_EQ(other->propose_ring(0, {0, {{GroupId(1), 1}}}), WriteResult::accepted);
  ASSERT_TRUE(other->register_server(member_of("s2", 1)).ok);
  EXPECT_EQ(session->views().size(), views);

  world->mend("session");
  ASSERT_TRUE(session->wait_state(SessionState::connected));
  ASSERT_TRUE(
      session->wait_view([](const ClusterView& v) { return v.ring.version == 1 && v.servers.size() == 2; }));
  EXPECT_EQ(session->view().groups.at(kGroup), (VersionedConfig{2, config_of(2, "b")}));
  EXPECT_EQ(session->view().groups.at(GroupId(3)).version, 1);
  EXPECT_TRUE(session->view().servers.contains("s1")) << "the session did not end, so its registration stays";
}

TEST_P(CoordinatorContract, WritesWhileOutOfTouchAreUnavailableAndChangeNothing) {
  auto session = world->start("session");
  auto other = world->start("other");
  world->cut("session");
  ASSERT_TRUE(session->wait_state(SessionState::connecting));
  EXPECT_EQ(session->propose(kGroup, 0, config_of(1, "a")), WriteResult::unavailable);
  EXPECT_EQ(session->propose_ring(0, {0, {{GroupId(1), 1}}}), WriteResult::unavailable);
  world->mend("session");
  ASSERT_TRUE(session->wait_state(SessionState::connected));
  EXPECT_EQ(other->propose(kGroup, 0, config_of(1, "b")), WriteResult::accepted);
  EXPECT_EQ(session->propose(kGroup, 1, config_of(2, "c")), WriteResult::accepted);
}

TEST_P(CoordinatorContract, RegistrationBegunWhileOutOfTouchSucceedsWhenBack) {
  auto session = world->start("session");
  world->cut("session");
  ASSERT_TRUE(session->wait_state(SessionState::connecting));
  Session::Registration refused = session->register_server(member_of("s1", 42), 100);
  EXPECT_TRUE(refused.answered);
  EXPECT_FALSE(refused.ok);
  EXPECT_FALSE(refused.why.empty());
  bool registered = false;
  session->coordinator().register_server(member_of("s1", 42), 20'000,
                                         [&](bool ok, const std::string&) { registered = ok; });
  world->mend("session");
  EXPECT_TRUE(world->queue.run_until([&] { return registered; }));
}

TEST_P(CoordinatorContract, SessionCutOffAtItsStartComesUpWhenMended) {
  auto session = world->make("session");
  world->cut("session");
  session->start();
  ASSERT_TRUE(world->queue.run_until([&] { return session->told_state(); }));
  EXPECT_EQ(session->state(), SessionState::connecting);
  EXPECT_FALSE(session->why().empty());
  EXPECT_TRUE(session->views().empty());
  world->mend("session");
  EXPECT_TRUE(session->wait_state(SessionState::connected));
  EXPECT_TRUE(session->wait_view([](const ClusterView&) { return true; }));
}

TEST_P(CoordinatorContract, ExpiredSessionIsEndedForGood) {
  auto watcher = world->start("watcher");
  auto session = world->start("session", kShortTimeoutMs);
  ASSERT_TRUE(session->register_server(member_of("s1", 42)).ok);
  ASSERT_TRUE(watcher->wait_view([](const ClusterView& v) { return v.servers.contains("s1"); }));
  world->expire("session");
  EXPECT_TRUE(watcher->wait_view([](const ClusterView& v) { return v.servers.empty(); }));
  ASSERT_TRUE(session->wait_state(SessionState::ended));
  EXPECT_FALSE(session->why().empty());
  EXPECT_EQ(session->touch(), false);
  EXPECT_EQ(session->propose(kGroup, 0, config_of(1, "a")), WriteResult::unavailable);
  Session::Registration refused = session->register_server(member_of("s1", 42), 20'000);
  EXPECT_TRUE(refused.answered);
  EXPECT_FALSE(refused.ok);
  session = world->start("session");
  EXPECT_TRUE(session->register_server(member_of("s1", 43)).ok) << "a new session may";
}

TEST_P(CoordinatorContract, WaitingRegistrationFailsWhenItsSessionEnds) {
  auto first = world->start("first");
  auto second = world->start("second", kShortTimeoutMs);
  ASSERT_TRUE(first->register_server(member_of("s1", 41)).ok);
  bool done = false;
  bool accepted = true;
  second->coordinator().register_server(member_of("s1", 42), 60'000, [&](bool ok, const std::string&) {
    done = true;
    accepted = ok;
  });
  world->queue.run_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(done);
  world->expire("second");
  EXPECT_TRUE(world->queue.run_until([&] { return done; }));
  EXPECT_FALSE(accepted);
}

TEST_P(CoordinatorContract, NoCallbackComesAfterDestruction) {
  auto other = world->start("other");
  auto session = world->start("session");
  bool called = false;
  session->coordinator().propose(kGroup, 0, config_of(1, "a"), [&](WriteResult) { called = true; });
  session->coordinator().touch([&](bool) { called = true; });
  session->coordinator().register_server(member_of("s1", 42), 100,
                                         [&](bool, const std::string&) { called = true; });
  std::size_t views = session->views().size();
  session->end();
  other->propose(GroupId(2), 0, config_of(1, "a"));
  world->queue.run_for(std::chrono::milliseconds(500));
  EXPECT_FALSE(called);
  EXPECT_EQ(session->views().size(), views);
}

TEST_P(CoordinatorContract, ACallbackMayDestroyTheCoordinator) {
  auto session = world->start("session");
  bool ended = false;
  session->coordinator().propose(kGroup, 0, config_of(1, "a"), [&](WriteResult) {
    session->end();
    ended = true;
  });
  ASSERT_TRUE(world->queue.run_until([&] { return ended; }));
  auto other = world->make("other");
  Coordinator::Events events;
  ended = false;
  events.on_view = [&](const ClusterView&) {
    other->end();
    ended = true;
  };
  other->coordinator().start(std::move(events));
  EXPECT_TRUE(world->queue.run_until([&] { return ended; }));
}

TEST_P(CoordinatorContract, SessionThatNeverStartedMayBeDestroyed) {
  auto session = world->make("session");
  session->end();
}

}  // namespace
}  // namespace dlm::coordinator
