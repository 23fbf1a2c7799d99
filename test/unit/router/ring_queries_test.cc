// What is asked about the ring, changes of it, and reads of what is on its way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "moving_world.h"

namespace dlm::router {
namespace {

using coordinator::WriteResult;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RingQuery : public MovingWorld {
 protected:
  void ask(Query query, std::uint32_t deadline_ms = 0) {
    d.core.query(c, ++asked, deadline_ms, std::move(query), d.now);
    d.turn();
  }
  void ask(Query::Kind kind, const std::string& resource = "") {
    Query query;
    query.kind = kind;
    query.resource = resource;
    ask(std::move(query));
  }
  void ask_change(RingChange::Kind kind, unsigned group = 0, bool dry_run = false) {
    Query query;
    query.kind = Query::Kind::change_ring;
    query.change.kind = kind;
    query.change.group = GroupId(group);
    query.change.dry_run = dry_run;
    ask(std::move(query));
  }
  // Answers the part of a group: it owns `share` and holds 1,000 locks for which 100 wait.
  void tell(unsigned group, double share) {
    for (const QueryCall& call : std::exchange(d.queries, {})) {
      if (call.group != GroupId(group)) {
        d.queries.push_back(call);
        continue;
      }
      QueryReport told;
      GroupReport state;
      state.group = call.group;
      state.epoch = Epoch(1);
      state.locks_held = 1'000;
      state.waiters = 100;
      state.ring_version = 5;
      state.arcs = 77;
      state.share_owned = share;
      state.move.arcs_left = group;
      state.move.waits_for = "news";
      told.content = state;
      d.core.queried(call.call, true, std::move(told), d.now);
    }
    d.turn();
  }
  QueryReport report() {
    EXPECT_EQ(d.reports.size(), 1U);
    QueryReport report = d.reports.empty() ? QueryReport() : d.reports.back().report;
    EXPECT_TRUE(d.reports.empty() || d.reports.back().id == asked);
    d.reports.clear();
    return report;
  }
  std::string refusal(Status status = Status::invalid_argument) {
    const QueryReport refused = report();
    EXPECT_EQ(refused.status, status);
    return refused.message;
  }
  RingReport ring_report() {
    QueryReport answered = report();
    EXPECT_EQ(answered.status, Status::ok) << answered.message;
    EXPECT_TRUE(std::holds_alternative<RingReport>(answered.content));
    return std::get<RingReport>(answered.content);
  }
  void add_spare(unsigned group) {
    d.add_server("s" + std::to_string(group));
    d.elect(group, "s" + std::to_string(group));
    d.publish();
    d.turn();
    d.up("s" + std::to_string(group) + "#1");
  }

  std::uint64_t asked = 0;
};

// --- the ring ----------------------------------------------------------------

TEST_F(RingQuery, OfARingAtRestTellsWhatItsGroupsSay) {
  add_spare(3);
  ask(Query::Kind::ring);
  EXPECT_EQ(d.queries.size(), 2U) << "not of the group that is not in the ring";
  tell(1, 0.5);
  tell(2, 0.5);
  const RingReport ring = ring_report();
  EXPECT_EQ(ring.version, 1U);
  EXPECT_FALSE(ring.changing);
  EXPECT_THAT(ring.flows, IsEmpty());
  ASSERT_EQ(ring.groups.size(), 2U);
  EXPECT_EQ(ring.groups[1].weight, 1);
  EXPECT_EQ(ring.groups[1].weight_before, 1);
  EXPECT_NEAR(ring.groups[1].share, 0.5, 0.03);
  EXPECT_EQ(ring.groups[1].share_before, ring.groups[1].share);
  const GroupReport& state = ring.groups[1].state;
  EXPECT_EQ(state.group, GroupId(2));
  EXPECT_EQ(state.primary, "s2#1");
  EXPECT_EQ(state.members.size(), 2U);
  EXPECT_EQ(state.ring_version, 5U);
  EXPECT_EQ(state.arcs, 77U);
  EXPECT_EQ(state.share_owned, 0.5);
  EXPECT_EQ(state.move.arcs_left, 2U);
  EXPECT_EQ(state.move.waits_for, "news");
  EXPECT_EQ(d.core.stats().queries, 0U);
}

TEST_F(RingQuery, OfOneThatChangesTellsWhatMovesAndAboutHowMuch) {
  d.view.ring.locks_per_s_max = 50;
  begin();
  ask(Query::Kind::ring);
  tell(1, 0.25);  // half of what it had is left
  d.down("s2#1", false, "connection lost");
  d.pass(1'000);
  const RingReport ring = ring_report();
  EXPECT_EQ(ring.version, 2U);
  EXPECT_TRUE(ring.changing);
  EXPECT_FALSE(ring.paused);
  EXPECT_EQ(ring.locks_per_s_max, 50U);
  ASSERT_EQ(ring.groups.size(), 2U) << "who leaves is of the ring until it left";
  EXPECT_EQ(ring.groups[0].weight, 0);
  EXPECT_EQ(ring.groups[0].weight_before, 1);
  EXPECT_EQ(ring.groups[0].share, 0);
  EXPECT_EQ(ring.groups[1].share, 1);
  EXPECT_THAT(ring.groups[1].state.problem, HasSubstr("connection lost"));
  ASSERT_EQ(ring.flows.size(), 1U);
  EXPECT_EQ(ring.flows[0].from, GroupId(1));
  EXPECT_EQ(ring.flows[0].to, GroupId(2));
  EXPECT_NEAR(ring.flows[0].share, 0.5, 0.03);
  EXPECT_EQ(ring.flows[0].share, ring.groups[0].share_before);
  EXPECT_GT(ring.flows[0].arcs, 500U);
  EXPECT_EQ(ring.flows[0].locks, 1'000U) << "not more than it has";
}

TEST(RingQueryEarly, BeforeTheFirstViewAndWithoutARingSaySo) {
  CoreDriver d;
  ConnectionId c = d.say_hello(1);
  for (Query::Kind kind : {Query::Kind::ring, Query::Kind::locate, Query::Kind::change_ring}) {
    Query query;
    query.kind = kind;
    d.core.query(c, 1, 0, query, d.now);
    d.turn();
    ASSERT_EQ(d.reports.size(), 1U);
    EXPECT_EQ(d.reports[0].report.message, "this router has not reached the coordinator yet");
    d.reports.clear();
  }
  d.view.cluster = "blue";
  d.publish();
  Query query;
  query.kind = Query::Kind::ring;
  d.core.query(c, 2, 0, query, d.now);
  query.kind = Query::Kind::locate;
  d.core.query(c, 3, 0, query, d.now);
  d.turn();
  ASSERT_EQ(d.reports.size(), 2U);
  EXPECT_EQ(std::get<RingReport>(d.reports[0].report.content).version, 0U);
  EXPECT_EQ(d.reports[1].report.message, "no ring: the cluster has no groups yet");
  EXPECT_EQ(d.core.stats().queries, 0U);
}

// --- where a name is ---------------------------------------------------------

TEST_F(RingQuery, LocatesANameWithoutAskingAnybody) {
  ask(Query::Kind::locate, name);
  const auto at_rest = std::get<PlaceReport>(report().content);
  EXPECT_EQ(at_rest.resource, name);
  EXPECT_EQ(at_rest.hash, coordinator::hash_of(name));
  EXPECT_LE(at_rest.arc_begin, at_rest.hash);
  EXPECT_GE(at_rest.arc_end, at_rest.hash);
  EXPECT_EQ(at_rest.group, GroupId(1));
  EXPECT_EQ(at_rest.moving_to, GroupId());
  EXPECT_EQ(at_rest.primary, "s1#1");
  EXPECT_EQ(at_rest.ring_version, 1U);
  begin();
  ask(Query::Kind::locate, name);
  const auto moving = std::get<PlaceReport>(report().content);
  EXPECT_EQ(moving.group, GroupId(1));
  EXPECT_EQ(moving.moving_to, GroupId(2));
  EXPECT_EQ(moving.ring_version, 2U);
  d.settle_ring();
  ask(Query::Kind::locate, name);
  EXPECT_EQ(std::get<PlaceReport>(report().content).group, GroupId(2));
  EXPECT_THAT(d.queries, IsEmpty());
}

// --- changes -----------------------------------------------------------------

TEST_F(RingQuery, AChangeIsWrittenOnceAndAnsweredWithTheNewRing) {
  add_spare(3);
  ask_change(RingChange::Kind::add, 3);
  ASSERT_EQ(d.ring_writes.size(), 1U);
  const RingWrite write = d.ring_writes[0];
  EXPECT_EQ(write.record.version, 1U) << "what it is compared with";
  EXPECT_EQ(write.record.groups.size(), 3U);
  EXPECT_EQ(write.record.before, d.view.ring.groups);
  d.pass(100);
  EXPECT_THAT(d.reports, IsEmpty());
  d.core.ring_written(write.call, WriteResult::accepted, d.now);
  d.turn();
  EXPECT_EQ(d.queries.size(), 3U);
  for (unsigned group : {1U, 2U, 3U}) tell(group, 0.5);
  const RingReport ring = ring_report();
  EXPECT_EQ(ring.version, 2U);
  EXPECT_TRUE(ring.changing);
  EXPECT_EQ(ring.groups.size(), 3U);
  ASSERT_EQ(ring.flows.size(), 2U);
  EXPECT_EQ(ring.flows[0].to, GroupId(3));
  EXPECT_EQ(d.ring_writes.size(), 1U);
  EXPECT_EQ(d.core.stats().queries, 0U);
}

TEST_F(RingQuery, ADryRunTellsWhatWouldMoveAndWritesNothing) {
  ask_change(RingChange::Kind::remove, 1, true);
  tell(1, 0.6);
  tell(2, 0.5);
  const RingReport ring = ring_report();
  EXPECT_EQ(ring.version, 1U) << "with which the change may be asked for";
  EXPECT_TRUE(ring.changing);
  ASSERT_EQ(ring.flows.size(), 1U);
  EXPECT_EQ(ring.flows[0].to, GroupId(2));
  EXPECT_NEAR(static_cast<double>(ring.flows[0].locks), 1'000 * ring.flows[0].share / 0.6, 1);
  EXPECT_NEAR(static_cast<double>(ring.flows[0].waiters), 100 * ring.flows[0].share / 0.6, 1);
  EXPECT_THAT(d.ring_writes, IsEmpty());
  d.send(c, {acquire(1, name)});
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 65536/1") << "and changes nothing here";
}

TEST_F(RingQuery, AChangeThatMakesNoSenseIsRefusedAtOnce) {
  ask_change(RingChange::Kind::add, 3);
  EXPECT_EQ(refusal(), "there is no group g3 yet: start servers with --groups g3 first");
  ask_change(RingChange::Kind::pause);
  EXPECT_EQ(refusal(), "no change of the ring is under way");
  begin();
  ask_change(RingChange::Kind::weight, 2, true);
  EXPECT_THAT(refusal(), HasSubstr("wait for its end, or abort it"));
  EXPECT_THAT(d.ring_writes, IsEmpty());
}

TEST_F(RingQuery, AnAbortTurnsTheChangeAround) {
  begin();
  ask_change(RingChange::Kind::abort);
  ASSERT_EQ(d.ring_writes.size(), 1U);
  EXPECT_EQ(d.ring_writes[0].record.version, 2U);
  EXPECT_EQ(d.ring_writes[0].record.groups, d.view.ring.before);
  d.core.ring_written(d.ring_writes[0].call, WriteResult::accepted, d.now);
  d.turn();
  tell(1, 0.5);
  tell(2, 0.5);
  const RingReport ring = ring_report();
  EXPECT_EQ(ring.version, 3U);
  ASSERT_EQ(ring.flows.size(), 1U);
  EXPECT_EQ(ring.flows[0].from, GroupId(2));
}

TEST_F(RingQuery, AWriteThatFailsIsToldAndNotRepeated) {
  struct Case {
    WriteResult result;
    Status status;
    const char* message;
  };
  const Case cases[] = {
      {WriteResult::conflict, Status::invalid_argument, "somebody else changed the ring meanwhile"},
      {WriteResult::unavailable, Status::unavailable, "nothing was done"},
      {WriteResult::unknown, Status::unavailable, "whether the ring was changed is not known"},
  };
  for (const Case& each : cases) {
    d.ring_writes.clear();
    ask_change(RingChange::Kind::remove, 1);
    ASSERT_EQ(d.ring_writes.size(), 1U);
    d.core.ring_written(d.ring_writes[0].call, each.result, d.now);
    d.core.ring_written(d.ring_writes[0].call, WriteResult::accepted, d.now);
    d.pass(100);
    EXPECT_THAT(refusal(each.status), HasSubstr(each.message));
    EXPECT_EQ(d.ring_writes.size(), 1U);
  }
}

TEST_F(RingQuery, AWriteThatIsNeverAnsweredEndsAtTheDeadlineAsUnknown) {
  ask_change(RingChange::Kind::remove, 1);
  d.pass(RouterOptions().query_timeout_ms);
  EXPECT_THAT(refusal(Status::unavailable), HasSubstr("whether the ring was changed is not known"));
  d.core.ring_written(d.ring_writes.at(0).call, WriteResult::accepted, d.now);
  d.pass(100);
  EXPECT_THAT(d.reports, IsEmpty());
}

TEST_F(RingQuery, WhoWentAwayIsNotAnswered) {
  ask_change(RingChange::Kind::remove, 1);
  d.core.disconnect(c);
  d.core.ring_written(d.ring_writes.at(0).call, WriteResult::accepted, d.now);
  d.pass(6'000);
  EXPECT_THAT(d.reports, IsEmpty());
  EXPECT_EQ(d.core.stats().queries, 0U);
}

// --- reads of what is on its way ---------------------------------------------

class MovingInspect : public RingQuery {
 protected:
  std::vector<unsigned> groups_asked() {
    d.turn();
    std::vector<unsigned> groups;
    for (const QueryCall& call : d.queries) groups.push_back(call.group.value);
    return groups;
  }
  void answer_moved() {
    QueryReport moved;
    moved.status = Status::moved;
    ASSERT_FALSE(d.queries.empty());
    d.core.queried(d.queries.back().call, true, std::move(moved), d.now);
    d.queries.clear();
  }
};

TEST_F(MovingInspect, GoesToTheOtherGroupAtOnce) {
  begin();
  ask(Query::Kind::inspect, name);
  EXPECT_THAT(groups_asked(), ElementsAre(1));
  answer_moved();
  EXPECT_THAT(groups_asked(), ElementsAre(2));
  LockReport lock;
  lock.resource = name;
  QueryReport found;
  found.content = lock;
  d.core.queried(d.queries.back().call, true, std::move(found), d.now);
  d.turn();
  EXPECT_EQ(std::get<LockReport>(report().content).resource, name);
  d.queries.clear();
  ask(Query::Kind::inspect, neighbour);
  EXPECT_THAT(groups_asked(), ElementsAre(2)) << "the router has learnt where the arc is";
}

TEST_F(MovingInspect, AsksBothInRoundsUntilItsDeadline) {
  begin();
  Query query;
  query.kind = Query::Kind::inspect;
  query.resource = name;
  const TimeMs start = d.now;
  ask(std::move(query), 40);
  std::vector<TimeMs> asked_g2;
  while (d.reports.empty()) {
    for (std::vector<unsigned> groups = groups_asked(); !groups.empty(); groups = groups_asked()) {
      if (groups[0] == 2) asked_g2.push_back(d.now - start);
      answer_moved();
    }
    d.pass(1);
  }
  EXPECT_THAT(asked_g2, ElementsAre(0, 1, 3, 7, 15, 31));
  EXPECT_EQ(refusal(Status::unavailable), "the resource is on its way from g1 to g2");
}

}  // namespace
}  // namespace dlm::router
