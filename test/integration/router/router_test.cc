// The router between real sockets: operations, failover, sessions, reads, its own life.
#include <gmock/gmock.h>

#include "world.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class Router : public World {
 protected:
  FakeGroup& group() { return *groups[GroupId(1)]; }
};

TEST_F(Router, TakesPassesOnAndReleasesALock) {
  start_all();
  auto a = client(1);
  auto b = client(2);
  EXPECT_EQ(a->cluster, "blue");
  a->send({acquire(1, "x")});
  until([&] { return a->has(1, Status::ok); }, "the lock");
  EXPECT_THAT(a->events, ElementsAre("opened g1 ttl 10000 cause 1"));
  EXPECT_EQ(a->answers[1].back().group, GroupId(1));
  b->send({acquire(1, "x")});
  until([&] { return b->has(1, Status::queued); }, "a place in the line");
  a->send({release(2, "x")});
  until([&] { return a->has(2, Status::ok) && b->has(1, Status::ok); }, "the lock");
  EXPECT_GT(b->answers[1].back().token, a->answers[1].back().token);
  EXPECT_EQ(router->stats().pending, 0U);
}

TEST_F(Router, CarriesManyOperationsInFewCalls) {
  start_all();
  auto a = client(1);
  std::vector<Operation> many;
  std::vector<std::string> names;
  for (int i = 0; i < 5'000; ++i) names.push_back("lock-" + std::to_string(i));
  for (std::size_t i = 0; i < names.size(); ++i) many.push_back(acquire(i + 1, names[i]));
  a->send(many);
  until([&] { return a->answers.size() == names.size(); }, "all answers");
  EXPECT_EQ(group().held.size(), names.size());
  EXPECT_THAT(group().submits, SizeIs(1));
}

TEST_F(Router, GoesOnAtTheNewPrimaryWithEverythingUnanswered) {
  start_all();
  auto a = client(1);
  auto b = client(2);
  a->send({acquire(1, "x")});
  until([&] { return a->has(1, Status::ok); }, "the lock");
  b->send({acquire(1, "x")});
  until([&] { return b->has(1, Status::queued); }, "a place in the line");
  // The primary applies it, and dies before it answers.
  group().silent = true;
  a->send({acquire(2, "y")});
  until([&] { return group().held.contains("y"); }, "the second lock");
  kill_server("s1");
  group().silent = false;
  group().submits.clear();
  elect(1, "s2");
  until([&] { return a->has(2, Status::ok); }, "the answer of the new primary");
  EXPECT_THAT(group().submits, ElementsAre("s2#1: 2")) << "both, in one call";
  EXPECT_THAT(a->answers[2], SizeIs(1));
  // The waiter is granted through the new primary.
  a->send({release(3, "x")});
  until([&] { return b->has(1, Status::ok); }, "the lock");
  EXPECT_THAT(b->answers[1], SizeIs(2)) << "queued once, granted once";
  EXPECT_THAT(group().applied, ElementsAre("acquire 65536/1 x", "acquire 131072/1 x", "acquire 65536/2 y",
                                           "release 65536/3 x"));
}

TEST_F(Router, BeginsAnewWithAServerThatClosedItsChannel) {
  start_all();
  auto a = client(1);
  auto b = client(2);
  a->send({acquire(1, "x")});
  until([&] { return a->has(1, Status::ok); }, "the lock");
  b->send({acquire(1, "x")});
  until([&] { return b->has(1, Status::queued); }, "a place in the line");
  // The server has dropped the channel, and with it the way for grants; only a call finds out.
  group().broken = true;
  a->send({release(2, "x")});
  run_for(30);
  EXPECT_FALSE(a->answers.contains(2));
  group().broken = false;
  until([&] { return a->has(2, Status::ok) && b->has(1, Status::ok); }, "the release and the grant");
}

TEST_F(Router, AsksAgainUntilTheNewPrimaryServes) {
  start_all();
  auto a = client(1);
  group().primary = "s2#1";  // the coordinator still says s1
  a->send({acquire(1, "x")});
  run_for(100);
  EXPECT_TRUE(a->answers.empty());
  elect(1, "s2");
  until([&] { return a->has(1, Status::ok); }, "the lock");
}

TEST_F(Router, AnswersUnavailableAtTheDeadlineSayingWhy) {
  start_all();
  auto a = client(1);
  kill_server("s1");
  run_for(50);
  a->send({acquire(1, "x", 300)});
  until([&] { return a->has(1, Status::unavailable); }, "the end of the deadline");
  EXPECT_THAT(a->answers[1].back().message, HasSubstr("g1: no primary reachable since "));
  EXPECT_THAT(a->answers[1].back().message, HasSubstr("nothing was done"));
}

TEST_F(Router, LetsAClientGoOnAtAnotherRouter) {
  start_all();
  auto a = client(1);
  a->send({acquire(1, "x")});
  until([&] { return a->has(1, Status::ok); }, "the lock");
  const auto token = a->answers[1].back().token;
  router.reset();
  until([&] { return !a->closed.empty(); }, "the end of the connection");
  ready = false;
  start_router({.id = "r2"});
  until([&] { return ready; }, "the second router");
  auto again = client(1);
  again->send({acquire(1, "x")});
  until([&] { return again->has(1, Status::ok); }, "the first answer");
  EXPECT_EQ(again->answers[1].back().token, token);
}

TEST_F(Router, RenewsSessionsAndTellsWhichAreUnknown) {
  start_all();
  auto a = client(1);
  a->send({acquire(1, "x")});
  until([&] { return a->has(1, Status::ok); }, "the lock");
  a->events.clear();
  a->heartbeat(7, {1});
  until([&] { return !a->events.empty(); }, "a renewal");
  EXPECT_THAT(a->events, ElementsAre("renewed g1 ttl 10000 cause 7"));
  group().sessions.clear();
  a->heartbeat(8, {1});
  until([&] { return a->events.size() == 2; }, "the end of the session");
  EXPECT_EQ(a->events[1], "ended g1 ttl 0 cause 8");
}

TEST_F(Router, ClosesSessionsOnBye) {
  start_all();
  auto a = client(1);
  a->send({acquire(1, "x")});
  until([&] { return a->has(1, Status::ok); }, "the lock");
  EXPECT_THAT(group().sessions, SizeIs(1));
  a->bye();
  until([&] { return !a->closed.empty(); }, "the end of the connection");
  EXPECT_THAT(group().sessions, SizeIs(0));
  EXPECT_EQ(a->refusal, "");
}

TEST_F(Router, ForgetsAClientThatVanishes) {
  start_all();
  auto a = client(1);
  auto b = client(2);
  a->send({acquire(1, "x")});
  until([&] { return a->has(1, Status::ok); }, "the lock");
  b->send({acquire(1, "x")});
  until([&] { return b->has(1, Status::queued); }, "a place in the line");
  b.reset();
  until([&] { return router->stats().pending == 0; }, "that it is forgotten");
  EXPECT_THAT(group().sessions, SizeIs(2)) << "the session lives until its TTL ends";
}

TEST_F(Router, ReadsALockAndTheStateOfTheCluster) {
  start_all();
  auto a = client(1);
  a->send({acquire(1, "x")});
  until([&] { return a->has(1, Status::ok); }, "the lock");
  a->inspect(1, "x");
  a->status(2);
  until([&] { return a->reports.size() == 2; }, "two reports");
  EXPECT_EQ(a->reports[1].lock.resource, "x");
  EXPECT_THAT(a->reports[1].lock.holders, SizeIs(1));
  const ClusterReport& cluster = a->reports[2].cluster;
  EXPECT_EQ(cluster.cluster, "blue");
  ASSERT_THAT(cluster.routers, SizeIs(1));
  EXPECT_EQ(cluster.routers[0].id, "r1");
  EXPECT_EQ(cluster.routers[0].address, router->address());
  ASSERT_THAT(cluster.groups, SizeIs(1));
  EXPECT_EQ(cluster.groups[0].primary, "s1#1");
  EXPECT_THAT(cluster.groups[0].members, ElementsAre("s1#1", "s2#1"));
  EXPECT_EQ(cluster.groups[0].locks_held, 1U);
  EXPECT_EQ(cluster.groups[0].problem, "");
}

TEST_F(Router, ServesOnAndRegistersAnewWhenItsCoordinatorSessionEnds) {
  start_all();
  auto a = client(1);
  until([&] { return view.routers.contains("r1"); }, "the registration");
  hub.expire("router");
  until([&] { return !view.routers.contains("r1"); }, "the end of the registration");
  a->send({acquire(1, "x")});
  until([&] { return a->has(1, Status::ok); }, "the lock");
  until([&] { return view.routers.contains("r1"); }, "the new registration");
  elect(1, "s2");
  a->send({acquire(2, "y")});
  until([&] { return a->has(2, Status::ok); }, "a lock by the new view");
}

TEST_F(Router, WhoseIdIsTakenSaysSo) {
  start_all();
  auto first = std::move(router);
  start_router({.registration_patience_ms = 50});
  until([&] { return !failure.empty(); }, "a failure");
  EXPECT_THAT(failure, HasSubstr("router id \"r1\" can't be registered"));
  router.reset();
}

TEST_F(Router, StopsInOrder) {
  start_all();
  auto a = client(1);
  bool stopped = false;
  router->stop([&] { stopped = true; });
  until([&] { return stopped; }, "the stop");
  until([&] { return !a->closed.empty() && !view.routers.contains("r1"); }, "the end of everything");
}

TEST_F(Router, OnAPortInUseThrows) {
  start_all();
  RouterProcessOptions options;
  options.listen = {"127.0.0.1", router->port()};
  EXPECT_THROW(RouterProcess(loop, make_session(hub, loop.executor()), options), std::system_error);
}

TEST_F(Router, WithoutARingLetsOperationsWait) {
  until([&] { return !view.cluster.empty(); }, "the first view");
  start_router();
  until([&] { return ready; }, "the router");
  auto a = client(1);
  a->send({acquire(1, "x", 200), acquire(2, "x")});
  until([&] { return a->has(1, Status::unavailable); }, "the end of the deadline");
  EXPECT_THAT(a->answers[1].back().message, HasSubstr("no ring"));
  start_server("s1");
  bootstrap(3, "s1");
  until([&] { return a->has(2, Status::ok); }, "the lock");
}

}  // namespace
}  // namespace dlm::router
