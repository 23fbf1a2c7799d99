// Waits in a lock's line whose arc is on its way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "moving_world.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class MovingQueued : public MovingWorld {
 protected:
  // Queued in g1, and the client knows.
  void queue() {
    d.send(c, {acquire(1, name, 100)});
    sent();
    answer(Status::queued);
    d.turn();
    EXPECT_THAT(d.told(), ElementsAre("c1: queued 1"));
    EXPECT_EQ(d.answers.back().group, GroupId(1));
  }
};

TEST_F(MovingQueued, StaysWhereItIsUntilItsGroupSaysMovedAndGoesToTheOtherThen) {
  queue();
  begin();
  EXPECT_THAT(sent(), IsEmpty());
  late(1, Status::moved);
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1"));
}

TEST_F(MovingQueued, TheClientIsToldAgainWithTheGroupWhereItWaitsNow) {
  queue();
  begin();
  late(1, Status::moved);
  sent();
  answer(Status::queued);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: queued 1"));
  EXPECT_EQ(d.answers.back().group, GroupId(2));
  // Asked again there it is not told again.
  d.down("s2#1");
  d.up("s2#1");
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1"));
  answer(Status::queued);
  d.turn();
  EXPECT_THAT(d.told(), IsEmpty());
}

TEST_F(MovingQueued, HasNoDeadlineOnItsWay) {
  queue();
  begin();
  late(1, Status::moved);
  for (int i = 0; i < 200; ++i) {
    while (!sent().empty()) answer(Status::moved);
    d.pass(1);
  }
  EXPECT_THAT(d.told(), IsEmpty());
  EXPECT_EQ(d.core.stats().pending, 1U);
}

TEST_F(MovingQueued, ThatItMovedMayOvertakeThatItIsQueued) {
  begin();
  d.send(c, {acquire(1, name)});
  sent();
  const std::vector<Sent> first = last;
  late(1, Status::moved);
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1"));
  const std::vector<Sent> second = last;
  d.answer(first.at(0), Status::queued);
  d.turn();
  EXPECT_THAT(d.told(), IsEmpty()) << "it waits there no more";
  d.answer(second.at(0), Status::queued);
  d.turn();
  EXPECT_EQ(d.answers.back().group, GroupId(2));
}

TEST_F(MovingQueued, ComesBackInTheSessionInWhichTheClientKnowsIt) {
  queue();
  begin();
  late(1, Status::moved);
  // The client has given its wait up, with its session.
  d.core.heartbeat(c, 1, std::vector<GroupListing>{{GroupId(1), 1, false}}, d.now);
  sent();
  answer(Status::moved);
  while (d.sent.empty()) d.pass(1);
  for (std::vector<std::string> lines = sent(); !lines.empty(); lines = sent()) {
    EXPECT_THAT(lines, ElementsAre("g1: acquire 65536/1"));
    answer(Status::session_expired);
  }
  EXPECT_EQ(d.core.stats().pending, 0U);
}

TEST_F(MovingQueued, OfAGroupThatLeftTheRingAndIsLostGoesToTheOwner) {
  queue();
  begin();
  d.settle_ring();
  EXPECT_THAT(sent(), IsEmpty());
  d.down("s1#1", true, "connection refused");
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1"));
}

// --- sessions ----------------------------------------------------------------

TEST_F(MovingQueued, AHeartbeatsAnswerTellsTheClientWhereItsHoldsWent) {
  d.core.heartbeat(c, 7, std::vector<GroupListing>{{GroupId(1), 0, true}}, d.now);
  EXPECT_THAT(sent(), ElementsAre("g1: beat 65536"));
  auto answers = CoreDriver::answers_to(last.at(0));
  answers[0].moved_to = {GroupId(2), GroupId(77)};
  d.core.submitted(last[0].call, std::move(answers), d.now);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: renewed g1/0 ttl 10000 cause 7"));
  EXPECT_THAT(d.notices.back().moved_to, ElementsAre(GroupId(2), GroupId(77)))
      << "one that is not known here, too";
}

}  // namespace
}  // namespace dlm::router
