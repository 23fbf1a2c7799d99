// Reads: one lock, a page of locks, the state of the cluster.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core_driver.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Query inspect(const std::string& resource) {
  Query query;
  query.kind = Query::Kind::inspect;
  query.resource = resource;
  return query;
}

Query list(unsigned group, std::uint32_t limit = 0) {
  Query query;
  query.kind = Query::Kind::list;
  query.group = GroupId(group);
  query.limit = limit;
  return query;
}

QueryReport lock_report(const std::string& resource) {
  QueryReport report;
  LockReport lock;
  lock.resource = resource;
  report.content = lock;
  return report;
}

TEST(Inspect, GoesToTheGroupOfTheName) {
  CoreDriver d;
  d.start(2);
  ConnectionId c = d.client(1);
  const std::string name = d.name_in(2);
  d.core.query(c, 5, 0, inspect(name), d.now);
  d.turn();
  ASSERT_EQ(d.queries.size(), 1U);
  EXPECT_EQ(d.queries[0].group, GroupId(2));
  EXPECT_EQ(d.queries[0].server, d.servers["s2#1"]);
  d.core.queried(d.queries[0].call, true, lock_report(name), d.now);
  d.turn();
  ASSERT_EQ(d.reports.size(), 1U);
  EXPECT_EQ(d.reports[0].connection, c);
  EXPECT_EQ(d.reports[0].id, 5U);
  EXPECT_EQ(std::get<LockReport>(d.reports[0].report.content).resource, name);
  EXPECT_EQ(d.core.stats().queries, 0U);
}

TEST(Inspect, FollowsTheGroupToItsNextPrimary) {
  CoreDriver d;
  d.start();
  d.add_server("s2");
  d.publish();
  d.turn();
  d.up("s2#1");
  ConnectionId c = d.client(1);
  d.core.query(c, 1, 0, inspect("x"), d.now);
  d.turn();
  d.down("s1#1");
  d.elect(1, "s2");
  d.publish();
  d.turn();
  ASSERT_EQ(d.queries.size(), 2U);
  EXPECT_EQ(d.queries[1].server, d.servers["s2#1"]);
  QueryReport refused;
  refused.status = Status::not_primary;
  d.core.queried(d.queries[1].call, true, std::move(refused), d.now);
  d.pass(10);
  ASSERT_EQ(d.queries.size(), 3U);
  d.core.queried(d.queries[0].call, true, lock_report("stale"), d.now);
  d.core.queried(d.queries[2].call, true, lock_report("x"), d.now);
  d.turn();
  ASSERT_EQ(d.reports.size(), 1U);
  EXPECT_EQ(std::get<LockReport>(d.reports[0].report.content).resource, "x");
}

TEST(Inspect, EndsAtItsDeadlineWithTheReason) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.down("s1#1", true, "connection refused");
  d.core.query(c, 1, 250, inspect("x"), d.now);
  d.pass(249);
  EXPECT_THAT(d.reports, IsEmpty());
  d.pass(1);
  ASSERT_EQ(d.reports.size(), 1U);
  EXPECT_EQ(d.reports[0].report.status, Status::unavailable);
  EXPECT_THAT(d.reports[0].report.message,
              HasSubstr("g1: no primary reachable since 0.2 s (s1#1: it is dead"));
}

Query step_down(unsigned group) {
  Query query;
  query.kind = Query::Kind::step_down;
  query.group = GroupId(group);
  return query;
}

TEST(StepDown, IsAskedOfThePrimaryThatItMeansAndOfNobodyAfterIt) {
  CoreDriver d;
  d.start();
  d.add_server("s2");
  d.publish();
  d.turn();
  d.up("s2#1");
  ConnectionId c = d.client(1);
  d.core.query(c, 1, 0, step_down(1), d.now);
  d.turn();
  ASSERT_EQ(d.queries.size(), 1U);
  EXPECT_EQ(d.queries[0].query.primary, "s1#1");
  d.down("s1#1");  // its answer is lost
  d.elect(1, "s2");
  d.publish();
  d.turn();
  EXPECT_EQ(d.queries.size(), 1U) << "the new primary is not to step down too";
  ASSERT_EQ(d.reports.size(), 1U);
  EXPECT_EQ(d.reports[0].report.status, Status::ok);
  EXPECT_EQ(std::get<GroupReport>(d.reports[0].report.content).primary, "s2#1");
}

TEST(StepDown, ARefusalIsTheAnswer) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.core.query(c, 1, 0, step_down(1), d.now);
  d.core.query(c, 2, 0, step_down(9), d.now);
  d.turn();
  ASSERT_EQ(d.queries.size(), 1U);
  QueryReport refused;
  refused.status = Status::unavailable;
  refused.message = "no backup";
  d.core.queried(d.queries[0].call, true, std::move(refused), d.now);
  d.turn();
  ASSERT_EQ(d.reports.size(), 2U);
  EXPECT_EQ(d.reports[0].report.status, Status::invalid_argument) << "there is no such group";
  EXPECT_EQ(d.reports[1].report.message, "no backup");
}

TEST(List, GoesToTheGroupThatIsNamedWithABoundedLimit) {
  RouterOptions options;
  options.list_limit_max = 50;
  CoreDriver d(options);
  d.start(2);
  ConnectionId c = d.client(1);
  d.core.query(c, 1, 0, list(2, 1'000), d.now);
  d.core.query(c, 2, 0, list(3), d.now);
  d.turn();
  ASSERT_EQ(d.queries.size(), 1U);
  EXPECT_EQ(d.queries[0].group, GroupId(2));
  EXPECT_EQ(d.queries[0].query.limit, 50U);
  ASSERT_EQ(d.reports.size(), 1U);
  EXPECT_EQ(d.reports[0].report.status, Status::invalid_argument);
  EXPECT_EQ(d.reports[0].report.message, "there is no group g3");
}

TEST(ClusterStatus, IsPutTogetherFromTheViewAndThePrimaries) {
  CoreDriver d;
  d.start(2);
  d.view.routers["r1"] = {"r1", "127.0.0.1:7700"};
  d.view.servers["s2"].durable = true;
  d.publish();
  ConnectionId c = d.client(1);
  d.core.query(c, 9, 0, Query{}, d.now);
  d.turn();
  ASSERT_EQ(d.queries.size(), 2U);
  QueryReport told;
  GroupReport group;
  group.group = GroupId(1);
  group.epoch = Epoch(1);
  group.last_index = LogIndex(44);
  group.locks_held = 3;
  told.content = group;
  d.core.queried(d.queries[0].call, true, std::move(told), d.now);
  d.down("s2#1", false, "connection lost");
  d.pass(999);
  EXPECT_THAT(d.reports, IsEmpty());
  d.pass(1);
  ASSERT_EQ(d.reports.size(), 1U);
  const auto& report = std::get<ClusterReport>(d.reports[0].report.content);
  EXPECT_EQ(report.cluster, "blue");
  EXPECT_EQ(report.ring_version, 1U);
  ASSERT_EQ(report.routers.size(), 1U);
  EXPECT_EQ(report.routers[0].address, "127.0.0.1:7700");
  ASSERT_EQ(report.ring.size(), 2U);
  EXPECT_NEAR(report.ring[0].share + report.ring[1].share, 1, 1e-9);
  ASSERT_EQ(report.groups.size(), 2U);
  EXPECT_EQ(report.groups[0].primary, "s1#1");
  EXPECT_EQ(report.groups[0].last_index, LogIndex(44));
  EXPECT_EQ(report.groups[0].locks_held, 3U);
  EXPECT_THAT(report.groups[0].members, ElementsAre("s1#1", "s2#1"));
  EXPECT_THAT(report.groups[0].durable, ElementsAre("s2#1"));
  EXPECT_EQ(report.groups[0].problem, "");
  EXPECT_EQ(report.groups[1].primary, "s2#1");
  EXPECT_THAT(report.groups[1].durable, ElementsAre("s2#1"));
  EXPECT_THAT(report.groups[1].problem,
              HasSubstr("g2: no primary reachable since 1.0 s (s2#1: connection lost)"));
  EXPECT_EQ(d.core.stats().queries, 0U);
}

TEST(ClusterStatus, BeforeTheFirstViewSaysThatThereIsNone) {
  CoreDriver d;
  ConnectionId c = d.say_hello(1);
  d.core.query(c, 1, 0, Query{}, d.now);
  d.turn();
  ASSERT_EQ(d.reports.size(), 1U);
  EXPECT_EQ(d.reports[0].report.status, Status::unavailable);
}

TEST(Queries, AreLimitedPerConnectionAndForgottenWithIt) {
  RouterOptions options;
  options.queries_per_connection_max = 2;
  CoreDriver d(options);
  d.start();
  ConnectionId c = d.client(1);
  d.core.query(c, 1, 0, inspect("x"), d.now);
  d.core.query(c, 2, 0, Query{}, d.now);
  d.core.query(c, 3, 0, inspect("x"), d.now);
  d.turn();
  ASSERT_EQ(d.reports.size(), 1U);
  EXPECT_EQ(d.reports[0].id, 3U);
  EXPECT_EQ(d.reports[0].report.status, Status::overloaded);
  d.core.disconnect(c);
  EXPECT_EQ(d.core.stats().queries, 0U);
  for (const QueryCall& call : d.queries) d.core.queried(call.call, true, lock_report("x"), d.now);
  d.pass(10'000);
  EXPECT_EQ(d.reports.size(), 1U);
}

TEST(Queries, OfNamesThatAreTooLongAreRefused) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.core.query(c, 1, 0, inspect(std::string(kResourceBytesMax + 1, 'n')), d.now);
  d.turn();
  ASSERT_EQ(d.reports.size(), 1U);
  EXPECT_EQ(d.reports[0].report.status, Status::invalid_argument);
}

}  // namespace
}  // namespace dlm::router
