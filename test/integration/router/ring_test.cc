// The ring through a router, between real sockets: told, changed, and followed while it moves.
#include "coordinator/core/ring.h"

#include <gmock/gmock.h>

#include "world.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// g1 and g2 are in the ring, g3 is not; s1 is the primary of all.
class RingOfRouter : public World {
 protected:
  void start() {
    until([&] { return !view.cluster.empty(); }, "the first view");
    start_server("s1");
    bootstrap(2, "s1");
    elect(3, "s1");
    start_router();
    until([&] { return ready; }, "the router");
    a = client(1);
  }
  EdgeClient::Report ask_change(RingChange::Kind kind, unsigned group, bool dry_run = false,
                                std::uint64_t expected_version = 0) {
    RingChange change;
    change.kind = kind;
    change.group = GroupId(group);
    change.dry_run = dry_run;
    change.expected_version = expected_version;
    a->change_ring(++asked, change);
    until([&] { return a->reports.contains(asked); }, "the answer to a change");
    return a->reports[asked];
  }

  std::unique_ptr<EdgeClient> a;
  std::uint64_t asked = 0;
};

TEST_F(RingOfRouter, IsPlannedChangedAndGuardedByItsVersion) {
  start();
  const EdgeClient::Report planned = ask_change(RingChange::Kind::add, 3, true);
  EXPECT_EQ(planned.status, Status::ok) << planned.message;
  EXPECT_EQ(planned.ring.version, 1U);
  ASSERT_THAT(planned.ring.flows, SizeIs(2));
  EXPECT_EQ(planned.ring.flows[0].to, GroupId(3));
  EXPECT_EQ(view.ring.version, 1U);

  const EdgeClient::Report changed = ask_change(RingChange::Kind::add, 3, false, 1);
  EXPECT_EQ(changed.status, Status::ok) << changed.message;
  EXPECT_EQ(changed.ring.version, 2U);
  EXPECT_TRUE(changed.ring.changing);
  ASSERT_THAT(changed.ring.groups, SizeIs(3));
  EXPECT_EQ(changed.ring.groups[2].state.primary, "s1#1");
  until([&] { return view.ring.version == 2; }, "the new ring");
  EXPECT_THAT(view.ring.groups, SizeIs(3));
  EXPECT_THAT(view.ring.before, SizeIs(2));

  const EdgeClient::Report late = ask_change(RingChange::Kind::abort, 0, false, 1);
  EXPECT_EQ(late.status, Status::invalid_argument);
  EXPECT_THAT(late.message, HasSubstr("the ring has version 2 by now, not 1"));
}

TEST_F(RingOfRouter, AChangeWithoutTheCoordinatorIsNotDoneAndSaysSo) {
  start();
  hub.cut("router");
  const EdgeClient::Report refused = ask_change(RingChange::Kind::add, 3);
  EXPECT_EQ(refused.status, Status::unavailable);
  EXPECT_THAT(refused.message, HasSubstr("nothing was done"));
  EXPECT_EQ(view.ring.version, 1U);
}

TEST_F(RingOfRouter, AnOperationFollowsItsArcAndAHolderHearsWhereItsHoldsWent) {
  start();
  ASSERT_EQ(ask_change(RingChange::Kind::remove, 1).status, Status::ok);
  const coordinator::Ring before(view.ring.before);
  std::string name = "x";
  while (before.group_of(coordinator::hash_of(name)) != GroupId(1)) name += "x";
  a->locate(100, name);
  until([&] { return a->reports.contains(100); }, "a place");
  EXPECT_EQ(a->reports[100].place.group, GroupId(1));
  EXPECT_EQ(a->reports[100].place.moving_to, GroupId(2));

  a->send({acquire(1, name)});
  until([&] { return a->has(1, Status::ok); }, "the lock");
  EXPECT_EQ(a->answers[1].back().group, GroupId(1));
  groups[GroupId(1)]->away = true;
  groups[GroupId(1)]->moved_to = {GroupId(2)};
  a->events.clear();
  a->heartbeat(7, {1});
  until([&] { return !a->events.empty(); }, "a heartbeat's answer");
  EXPECT_THAT(a->events, ElementsAre("renewed g1 ttl 10000 cause 7 moved to g2"));
  a->send({release(2, name)});
  until([&] { return a->has(2, Status::ok); }, "the release");
  EXPECT_EQ(a->answers[2].back().group, GroupId(2));
}

}  // namespace
}  // namespace dlm::router
