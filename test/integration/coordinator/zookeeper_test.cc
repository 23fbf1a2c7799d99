// What only a real ZooKeeper can do to a session: lose answers, die and come back, hold what people wrote
// into it.
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "coordinator/zookeeper_client.h"
#include "coordinator/zookeeper_coordinator.h"
#include "test/integration/coordinator/world.h"

namespace dlm::coordinator {
namespace {

constexpr GroupId kGroup(1);

class ZookeeperTest : public testing::Test {
 protected:
  std::unique_ptr<Session> session_at(const std::string& hosts, const std::string& cluster_id = "") {
    ZookeeperOptions options;
    options.address = {hosts, world.root()};
    options.cluster_id = cluster_id;
    return std::make_unique<Session>(world.queue, make_zookeeper_coordinator(options, world.post()));
  }

  ZookeeperWorld world;
};

// Writes nodes past the coordinator, as people with zkCli.sh do.
class Hand {
 public:
  explicit Hand(ZookeeperWorld& world) : world_(world) {
    std::string error;
    bool connected = false;
    client_ = std::make_unique<ZookeeperClient>(world.post(), [&](const ZookeeperEvent& e) {
      connected |= e.kind == ZookeeperEvent::Kind::connected;
    });
    EXPECT_TRUE(client_->open(ZookeeperWorld::server().address(), kLongTimeoutMs, error)) << error;
    EXPECT_TRUE(world.queue.run_until([&] { return connected; }));
  }

  void set(const std::string& path, const std::string& data) {
    write([&](auto done) { client_->set(world_.root() + path, data, -1, done); });
  }
  void create(const std::string& path, const std::string& data) {
    write([&](auto done) { client_->create(world_.root() + path, data, false, done); });
  }
  std::string get(const std::string& path) {
    return write([&](auto done) { client_->get(world_.root() + path, false, done); }).data;
  }
  std::vector<std::string> list(const std::string& path) {
    return write([&](auto done) { client_->list(world_.root() + path, done); }).children;
  }

 private:
  template <class Begin>
  ZookeeperResult write(Begin begin) {
    std::optional<ZookeeperResult> got;
    begin([&](const ZookeeperResult& result) { got = result; });
    EXPECT_TRUE(world_.queue.run_until([&] { return got.has_value(); }));
    EXPECT_EQ(got->code, ZookeeperCode::ok) << got->text;
    return *got;
  }

  ZookeeperWorld& world_;
  std::unique_ptr<ZookeeperClient> client_;
};

TEST_F(ZookeeperTest, WriteWhoseAnswerWasLostIsReportedAccepted) {
  auto session = world.start("session");
  auto other = world.start("other");
  for (std::int64_t version : {0, 2}) {  // a first write makes its note, a later one changes it
    std::optional<WriteResult> result;
    world.link("session").silence_answers();
    session->coordinator().propose(kGroup, version, config_of(1, "mine"), [&](WriteResult r) { result = r; });
    ASSERT_TRUE(other->wait_view([&](const ClusterView& v) {
      return v.groups.contains(kGroup) && v.groups.at(kGroup).version == version + 1;
    }));
    EXPECT_FALSE(result.has_value());
    world.cut("session");
    // Even if somebody else has written since, so that the record no longer names us.
    ASSERT_EQ(other->propose(kGroup, version + 1, config_of(2, "theirs")), WriteResult::accepted);
    world.queue.run_for(std::chrono::milliseconds(200));
    EXPECT_FALSE(result.has_value()) << "not known yet";
    world.mend("session");
    ASSERT_TRUE(world.queue.run_until([&] { return result.has_value(); }));
    EXPECT_EQ(*result, WriteResult::accepted);
  }
}

TEST_F(ZookeeperTest, WriteThatWasLostOnItsWayIsReportedUnavailable) {
  auto session = world.start("session");
  auto other = world.start("other");
  for (std::int64_t version = 0; version < 2; ++version) {
    std::optional<WriteResult> result;
    std::optional<WriteResult> next;
    world.link("session").silence();
    session->coordinator().propose(kGroup, version, config_of(1, "lost"), [&](WriteResult r) { result = r; });
    session->coordinator().propose(kGroup, version, config_of(1, "next"), [&](WriteResult r) { next = r; });
    world.queue.run_for(std::chrono::milliseconds(200));
    world.cut("session");
    world.queue.run_for(std::chrono::milliseconds(200));
    world.mend("session");
    ASSERT_TRUE(world.queue.run_until([&] { return result.has_value() && next.has_value(); }));
    EXPECT_EQ(*result, WriteResult::unavailable);
    EXPECT_EQ(*next, WriteResult::accepted) << "what waits behind it goes out then";
  }
}

TEST_F(ZookeeperTest, WriteThatWasLostAndOvertakenIsNotReportedAccepted) {
  auto session = world.start("session");
  auto other = world.start("other");
  ASSERT_EQ(session->propose(kGroup, 0, config_of(1, "first")), WriteResult::accepted);
  std::optional<WriteResult> result;
  world.link("session").silence();
  session->coordinator().propose(kGroup, 1, config_of(2, "lost"), [&](WriteResult r) { result = r; });
  world.queue.run_for(std::chrono::milliseconds(200));
  world.cut("session");
  ASSERT_EQ(other->propose(kGroup, 1, config_of(2, "theirs")), WriteResult::accepted);
  world.mend("session");
  ASSERT_TRUE(world.queue.run_until([&] { return result.has_value(); }));
  EXPECT_NE(*result, WriteResult::accepted);
}

// Two sessions write to two groups while their links are cut in every way. Each version of a record must have
// been reported accepted exactly once: by whoever wrote it.
TEST_F(ZookeeperTest, WritesReportTheTruthWhateverHappensToTheLink) {
  std::mt19937 random(7);
  std::vector<std::unique_ptr<Session>> writers;
  writers.reserve(2);
  for (int i = 0; i < 2; ++i) writers.push_back(world.start("writer" + std::to_string(i)));
  auto observer = world.start("observer");
  std::map<GroupId, std::int64_t> accepted;
  std::size_t answered = 0;
  std::size_t begun = 0;
  for (int round = 0; round < 25; ++round) {
    std::size_t victim = random() % 2;
    std::string name = "writer" + std::to_string(victim);
    int how = static_cast<int>(random() % 3);
    if (how == 1) world.link(name).silence();
    if (how == 2) world.link(name).silence_answers();
    for (std::size_t i = 0; i < 2; ++i) {
      for (GroupId group : {GroupId(1), GroupId(2)}) {
        ++begun;
        auto known = observer->view().groups.find(group);
        std::int64_t version = known == observer->view().groups.end() ? 0 : known->second.version;
        std::string author = std::to_string(begun);
        writers[i]->coordinator().propose(group, version, config_of(1, author),
                                          [&, group](WriteResult result) {
                                            ++answered;
                                            if (result == WriteResult::accepted) ++accepted[group];
                                          });
      }
    }
    world.queue.run_for(std::chrono::milliseconds(random() % 30));
    world.cut(name);
    world.queue.run_for(std::chrono::milliseconds(random() % 30));
    world.mend(name);
    ASSERT_TRUE(writers[victim]->wait_state(SessionState::connected));
    if (random() % 2 == 0) {
      ASSERT_TRUE(world.queue.run_until([&] { return answered == begun; }));
    }
  }
  ASSERT_TRUE(world.queue.run_until([&] { return answered == begun; }));
  EXPECT_GT(accepted[GroupId(1)], 5);
  auto last = world.start("last");
  for (const auto& [group, count] : accepted) EXPECT_EQ(last->view().groups.at(group).version, count);
}

TEST_F(ZookeeperTest, RegistrationWhoseAnswerWasLostIsFoundAgain) {
  auto session = world.start("session");
  auto other = world.start("other");
  std::optional<bool> registered;
  world.link("session").silence_answers();
  session->coordinator().register_server(member_of("s1", 42), 20'000,
                                         [&](bool ok, const std::string&) { registered = ok; });
  ASSERT_TRUE(other->wait_view([](const ClusterView& v) { return v.servers.contains("s1"); }));
  EXPECT_FALSE(registered.has_value());
  world.cut("session");
  world.mend("session");
  ASSERT_TRUE(world.queue.run_until([&] { return registered.has_value(); }));
  EXPECT_TRUE(*registered);
  EXPECT_EQ(session->touch(), true);
}

TEST_F(ZookeeperTest, SilentLinkIsNoticed) {
  auto session = world.start("session", kShortTimeoutMs);
  ASSERT_TRUE(session->register_server(member_of("s1", 42)).ok);
  EXPECT_EQ(session->coordinator().session_timeout_ms(), kShortTimeoutMs);
  world.link("session").silence();
  EXPECT_EQ(session->touch(), false) << "an answer at last, and not that it arrived";
  EXPECT_TRUE(session->wait_state(SessionState::connecting));
}

TEST_F(ZookeeperTest, SessionsSurviveTheServersRestart) {
  auto session = world.start("session");
  auto other = world.start("other");
  ASSERT_TRUE(session->register_server(member_of("s1", 42)).ok);
  ASSERT_EQ(session->propose(kGroup, 0, config_of(1, "a")), WriteResult::accepted);
  ASSERT_TRUE(session->wait_view([](const ClusterView& v) { return v.servers.contains("s1"); }));
  std::optional<WriteResult> across;
  ZookeeperWorld::server().pause();
  session->coordinator().propose(kGroup, 1, config_of(2, "b"), [&](WriteResult result) { across = result; });
  world.queue.run_for(std::chrono::milliseconds(100));
  ZookeeperWorld::server().kill();
  ASSERT_TRUE(session->wait_state(SessionState::connecting));
  EXPECT_EQ(session->propose(kGroup, 1, config_of(2, "c")), WriteResult::unavailable) << "was never sent";
  EXPECT_FALSE(across.has_value());
  ZookeeperWorld::server().start();
  ASSERT_TRUE(session->wait_state(SessionState::connected));
  ASSERT_TRUE(other->wait_state(SessionState::connected));
  ASSERT_TRUE(world.queue.run_until([&] { return across.has_value(); }));
  EXPECT_EQ(*across, WriteResult::unavailable) << "the stopped server never read it";
  EXPECT_EQ(session->touch(), true);
  EXPECT_TRUE(session->view().servers.contains("s1"));
}

TEST_F(ZookeeperTest, UnreachableZookeeperIsReportedWithItsCause) {
  int port = test::free_port();
  auto session = session_at("127.0.0.1:" + std::to_string(port));
  session->start();
  ASSERT_TRUE(session->wait_state(SessionState::connecting));
  ASSERT_TRUE(world.queue.run_until([&] { return session->told_state(); }));
  EXPECT_EQ(session->why(),
            "ZooKeeper at 127.0.0.1:" + std::to_string(port) + " can't be reached: Connection refused");
}

TEST_F(ZookeeperTest, HostThatDoesNotResolveIsReportedAndTriedAgain) {
  auto session = session_at("no-such-host.invalid:2181");
  int told = 0;
  Coordinator::Events events;
  std::string why;
  events.on_session = [&](SessionState state, const std::string& text) {
    EXPECT_EQ(state, SessionState::connecting);
    why = text;
    ++told;
  };
  session->coordinator().start(std::move(events));
  ASSERT_TRUE(world.queue.run_until([&] { return told == 2; }, std::chrono::seconds(60)));
  EXPECT_TRUE(why.starts_with("ZooKeeper at no-such-host.invalid:2181 can't be reached: ")) << why;
}

TEST_F(ZookeeperTest, SecondAddressIsTriedWhenTheFirstIsDead) {
  auto session =
      session_at("127.0.0.1:" + std::to_string(test::free_port()) + "," + ZookeeperWorld::server().address());
  session->start_and_wait();
  EXPECT_EQ(session->state(), SessionState::connected);
}

TEST_F(ZookeeperTest, ClusterHasTheIdThatCameFirst) {
  auto first = session_at(ZookeeperWorld::server().address(), "first");
  auto second = session_at(ZookeeperWorld::server().address(), "second");
  first->start_and_wait();
  second->start_and_wait();
  EXPECT_EQ(first->view().cluster, "first");
  EXPECT_EQ(second->view().cluster, "first");
}

TEST_F(ZookeeperTest, NodesAreReadableByPeopleAndSessionsLeaveNothingBehind) {
  Hand hand(world);
  {
    auto session = world.start("session");
    ASSERT_TRUE(session->register_server(member_of("s1", 42)).ok);
    ASSERT_EQ(session->propose(kGroup, 0, config_of(3, "s1#42/1")), WriteResult::accepted);
    ASSERT_EQ(session->propose_ring(0, {0, {{GroupId(1), 1}}}), WriteResult::accepted);
    EXPECT_EQ(hand.get("/members/s1"),
              R"({"incarnation":42,"address":"127.0.0.1:7801","groups":["g1","g2"],"durability":"memory"})");
    EXPECT_EQ(hand.get("/cluster"), "{\"id\":\"" + session->view().cluster + "\"}");
  }
  EXPECT_EQ(hand.get("/groups/g1"), R"({"epoch":3,"primary":"s1#42","inSync":["s1#42","s2#7"],"era":1,)"
                                    R"("leaseMsMax":0,"recovering":false,"ringDone":0,"author":"s1#42/1"})");
  EXPECT_EQ(hand.get("/ring"), R"({"groups":[{"group":"g1","weight":1.0}],"before":[],"paused":false,)"
                               R"("locksPerSecondMax":0})");
  EXPECT_EQ(hand.list("/outcomes"), std::vector<std::string>());
  EXPECT_EQ(hand.list("/members"), std::vector<std::string>());
}

TEST_F(ZookeeperTest, WhatNobodyCanReadIsIgnoredAndTheLastGoodStays) {
  auto session = world.start("session");
  ASSERT_EQ(session->propose(kGroup, 0, config_of(1, "good")), WriteResult::accepted);
  ASSERT_EQ(session->propose_ring(0, {0, {{GroupId(1), 1}}}), WriteResult::accepted);
  Hand hand(world);
  hand.set("/groups/g1", "not JSON");
  hand.set("/ring", "{}");
  hand.create("/groups/g2", "{\"epoch\":0}");
  hand.create("/groups/mine", "");
  hand.create("/members/s1", "[]");
  hand.create("/routers/r1", "{\"address\":7}");
  ASSERT_EQ(session->propose(GroupId(9), 0, config_of(1, "after")), WriteResult::accepted);
  ASSERT_TRUE(session->wait_view([](const ClusterView& v) { return v.groups.contains(GroupId(9)); }));
  auto late = world.start("late");
  world.queue.run_for(std::chrono::milliseconds(300));
  EXPECT_EQ(session->view().groups.at(kGroup), (VersionedConfig{1, config_of(1, "good")}));
  EXPECT_EQ(session->view().groups.size(), 2U);
  EXPECT_EQ(session->view().ring, (RingRecord{1, {{GroupId(1), 1}}}));
  EXPECT_TRUE(session->view().servers.empty());
  EXPECT_FALSE(late->view().groups.contains(kGroup)) << "never read anything good there";
  hand.set(
      "/groups/g1",
      R"({"epoch":7,"primary":"","inSync":[],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":"hand"})");
  for (Session* each : {session.get(), late.get()}) {
    EXPECT_TRUE(each->wait_view([](const ClusterView& v) {
      return v.groups.contains(kGroup) && v.groups.at(kGroup).version == 3 &&
             v.groups.at(kGroup).config.epoch == Epoch(7);
    }));
  }
}

TEST_F(ZookeeperTest, NothingIsToldBeforeTheClustersIdIsReadable) {
  { auto session = world.start("session"); }
  Hand hand(world);
  hand.set("/cluster", "{}");
  auto session = world.make("session");
  session->start();
  ASSERT_TRUE(world.queue.run_until([&] { return session->why().find("/cluster") != std::string::npos; }));
  EXPECT_TRUE(session->views().empty());
  hand.set("/cluster", "{\"id\":\"repaired\"}");
  ASSERT_TRUE(session->wait_view([](const ClusterView& v) { return v.cluster == "repaired"; }));
  EXPECT_EQ(session->state(), SessionState::connected);
}

}  // namespace
}  // namespace dlm::coordinator
