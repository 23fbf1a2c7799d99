// Operations whose arc is on its way: whom they are asked of, how soon, and in which order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "moving_world.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Moving : public MovingWorld {};

TEST_F(Moving, WhatOneGroupSaysMovedIsSentToTheOtherAtOnceInTheSessionThere) {
  begin();
  d.send(c, {acquire(1, name), cancel(2, 1, name)});
  EXPECT_THAT(sent(), ElementsAre("g1: acquire 65536/1, cancel 65536/2 of 1"));
  answer(Status::moved);
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1, cancel 65540/2 of 1"));
  answer(Status::ok);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: ok 1 token 101, ok 2"));
}

TEST_F(Moving, TheSessionIsOpenedWhereTheArcGoes) {
  begin();
  ConnectionId other = d.client(2);
  d.send(other, {acquire(1, name)});
  EXPECT_THAT(sent(), ElementsAre("g1: open 131072 client-2, acquire 131072/1"));
  answer(Status::ok);
  d.send(other, {release(2, name)});
  sent();
  answer(Status::moved);
  EXPECT_THAT(sent(), ElementsAre("g2: open 131072 client-2, release 131072/2"));
}

TEST_F(Moving, OthersOfAnArcThatWentAreNotAskedInVain) {
  begin();
  d.send(c, {acquire(1, name)});
  sent();
  answer(Status::moved);
  sent();
  answer(Status::ok);
  d.send(c, {acquire(2, neighbour), acquire(3, stranger)});
  EXPECT_THAT(sent(), ElementsAre("g1: acquire 65536/3", "g2: acquire 65540/2"));
}

TEST_F(Moving, APieceOfAnArcThatIsStillThereIsFound) {
  begin();
  d.send(c, {acquire(1, name)});
  sent();
  answer(Status::moved);
  sent();
  answer(Status::ok);
  d.send(c, {acquire(2, neighbour)});
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/2"));
  answer(Status::moved);
  EXPECT_THAT(sent(), ElementsAre("g1: acquire 65536/2"));
  answer(Status::ok);
  d.turn();
  EXPECT_EQ(d.core.stats().pending, 0U);
}

TEST_F(Moving, WhatNeitherHasIsAskedOfBothInRoundsWithGrowingPauses) {
  begin();
  const TimeMs start = d.now;
  d.send(c, {acquire(1, name)});
  std::vector<TimeMs> asked_g2;
  while (d.now <= start + 200) {
    while (!sent().empty()) {
      if (last[0].group == GroupId(2)) asked_g2.push_back(d.now - start);
      ASSERT_EQ(last.size(), 1U);
      answer(Status::moved);
    }
    d.pass(1);
  }
  EXPECT_THAT(asked_g2, ElementsAre(0, 1, 3, 7, 15, 31, 63, 95, 127, 159, 191));
}

TEST_F(Moving, ForSecondsTooItIsAskedOfBoth) {
  begin();
  d.send(c, {acquire(1, name)});
  int asked[3] = {};
  for (int i = 0; i < 10'000; ++i) {
    while (!sent().empty()) {
      ++asked[last[0].group.value];
      answer(Status::moved);
    }
    d.pass(1);
  }
  EXPECT_GT(asked[1], 300);
  EXPECT_EQ(asked[1], asked[2]);
}

TEST_F(Moving, WhatComesMeanwhileStandsBehindWhatWaitsOfTheSameName) {
  begin();
  d.send(c, {acquire(1, name)});
  sent();
  answer(Status::moved);
  sent();
  answer(Status::moved);  // now it waits
  d.send(c, {cancel(2, 1, name), acquire(3, stranger)});
  EXPECT_THAT(sent(), ElementsAre("g1: acquire 65536/3")) << "others are not held up";
  answer(Status::ok);
  d.pass(1);
  EXPECT_THAT(sent(), ElementsAre("g1: acquire 65536/1, cancel 65536/2 of 1"));
}

TEST_F(Moving, OperationsOnANameKeepTheirOrderFromRoundToRound) {
  begin();
  d.send(c, {acquire(1, name)});
  sent();
  answer(Status::moved);
  d.send(c, {acquire(2, name)});
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1, acquire 65540/2"));
  answer(Status::moved);  // the second is at its first vain try: it does not overtake
  d.send(c, {acquire(3, name)});
  EXPECT_THAT(sent(), IsEmpty());
  std::vector<std::string> asked;
  for (int round = 0; round < 4; ++round) {
    while (d.sent.empty()) d.pass(1);
    for (std::vector<std::string> lines = sent(); !lines.empty(); lines = sent()) {
      asked.insert(asked.end(), lines.begin(), lines.end());
      answer(Status::moved);
    }
  }
  for (const std::string& line : asked) {
    const auto first = line.find("/1");
    const auto second = line.find("/2");
    const auto third = line.find("/3");
    EXPECT_TRUE(first < second && second < third && third != std::string::npos) << line;
  }
}

TEST_F(Moving, ARepeatedAnswerDoesNoHarm) {
  begin();
  d.send(c, {acquire(1, name)});
  for (int i = 0; i < 2; ++i) {
    sent();
    auto answers = CoreDriver::answers_to(last.at(0), Status::moved);
    answers.push_back(answers[0]);
    answers.push_back(answers[0]);
    d.core.submitted(last[0].call, std::move(answers), d.now);
  }
  EXPECT_THAT(sent(), IsEmpty());
  d.pass(1);
  ASSERT_EQ(d.sent.size(), 1U);
  sent();
  answer(Status::ok);
  d.pass(100);
  EXPECT_THAT(sent(), IsEmpty());
}

// --- what may have been done -------------------------------------------------

TEST_F(Moving, WhatWasSentAndNotAnsweredIsAskedOfItsGroupAgainThoughTheArcWent) {
  begin();
  d.send(c, {acquire(1, name)});
  sent();
  d.down("s1#1");
  d.send(c, {acquire(2, neighbour)});
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/2")) << "what was not sent goes where somebody serves";
  answer(Status::ok);
  d.up("s1#1");
  EXPECT_THAT(sent(), ElementsAre("g1: acquire 65536/1"));
  answer(Status::moved);
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1")) << "g1 knows: it has not executed it";
}

TEST_F(Moving, WhatWasSentAndNotAnsweredGoesOnWhenItsGroupIsNoCandidateAnyMore) {
  begin();
  d.send(c, {acquire(1, name, 500)});
  sent();
  d.down("s1#1");
  d.turn();
  d.settle_ring();
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1"));
  answer(Status::moved);
  d.pass(500);
  EXPECT_THAT(d.told(), ElementsAre(HasSubstr("; whether it was executed is not known")));
}

TEST_F(Moving, WhatBothSaidMovedWasNotDone) {
  begin();
  d.send(c, {acquire(1, name, 10)});
  for (int i = 0; i < 10; ++i) {
    while (!sent().empty()) answer(Status::moved);
    d.pass(1);
  }
  EXPECT_THAT(d.told(), ElementsAre("c1: unavailable 1 (the resource is on its way from g1 to g2; nothing "
                                    "was done)"));
  d.pass(100);
  EXPECT_THAT(sent(), IsEmpty());
}

TEST_F(Moving, AGroupThatNobodyServesIsNotAskedFirst) {
  begin();
  d.down("s1#1");
  d.send(c, {acquire(1, name, 1'000)});
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1"));
  answer(Status::moved);
  d.pass(500);
  EXPECT_THAT(d.sent, IsEmpty()) << "g2 does not have it, so it waits for g1";
  d.pass(500);
  EXPECT_THAT(d.told(), ElementsAre(HasSubstr("unavailable 1 (g1: no primary reachable since 1.0 s (s1#1: "
                                              "connection lost); nothing was done)")));
}

// --- the ring goes on --------------------------------------------------------

TEST_F(Moving, AChangeThatBeginsLeavesWhatWaitsWhereItIs) {
  d.down("s1#1");
  d.send(c, {acquire(1, name)});
  d.turn();
  d.up("s1#1");
  begin();
  ASSERT_EQ(d.sent.size(), 1U);
  EXPECT_EQ(d.sent[0].group, GroupId(1));
}

TEST_F(Moving, AChangeThatIsOverSendsWhatWaitsToTheOwner) {
  begin();
  d.down("s1#1");
  d.down("s2#1");
  d.send(c, {acquire(1, name), acquire(2, stranger)});
  EXPECT_THAT(sent(), IsEmpty());
  d.settle_ring();
  d.up("s2#1");
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1, acquire 65540/2"));
}

TEST_F(Moving, AnArcThatComesBackIsFoundAgain) {
  begin();
  d.send(c, {acquire(1, name)});
  sent();
  answer(Status::moved);
  sent();
  answer(Status::ok);
  d.change_ring({1, 2});  // aborted
  d.send(c, {release(2, name), acquire(3, stranger)});
  EXPECT_THAT(sent(), ElementsAre("g1: acquire 65536/3", "g2: release 65540/2"));
  answer(Status::moved);
  EXPECT_THAT(sent(), ElementsAre("g1: release 65536/2", "g2: acquire 65540/3"));
}

TEST_F(Moving, WhatWasInACallWhenTheChangeEndedGoesToTheOwnerAtOnce) {
  begin();
  d.send(c, {acquire(1, name)});
  sent();
  d.settle_ring();
  answer(Status::moved);
  EXPECT_THAT(sent(), ElementsAre("g2: acquire 65540/1"));
}

TEST(Moved, AnOperationIsTriedAgainAlsoWithoutANewerRing) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1, {{GroupId(1), 0, true}});
  const TimeMs start = d.now;
  d.send(c, {acquire(1, "a", 200)});
  std::vector<TimeMs> asked;
  while (d.told().empty()) {
    d.turn();
    for (const Sent& submit : d.take_sent()) {
      asked.push_back(d.now - start);
      d.answer(submit, Status::moved);
    }
    if (d.now - start == 199) {
      d.pass(1);
      EXPECT_THAT(d.told(), ElementsAre("c1: unavailable 1 (g1 does not own the resource, and no newer ring "
                                        "has come; nothing was done)"));
      break;
    }
    d.pass(1);
  }
  EXPECT_THAT(asked, ElementsAre(0, 1, 3, 7, 15, 31, 63, 95, 127, 159, 191));
}

TEST(Moved, AnOperationFollowsANewerRingAtOnce) {
  CoreDriver d;
  d.start(2);
  ConnectionId c = d.client(1, {{GroupId(1), 0, true}, {GroupId(2), 0, true}});
  const std::string name = d.name_in(1);
  d.send(c, {acquire(1, name), cancel(2, 1, name)});
  d.answer(d.only_sent(), Status::moved);
  d.turn();
  EXPECT_THAT(d.sent, IsEmpty());
  d.view.ring.version = 2;
  d.view.ring.groups = {{GroupId(2), 1}};
  d.publish();
  Sent again = d.only_sent();
  EXPECT_EQ(again.group, GroupId(2));
  EXPECT_EQ(CoreDriver::text(again), "acquire 65536/1, cancel 65536/2 of 1");
}

TEST(Moved, ManyThatWaitEachEndAtTheirOwnDeadline) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1, {{GroupId(1), 0, true}});
  std::vector<Operation> all;
  std::vector<std::string> names;
  for (std::uint32_t i = 1; i <= 500; ++i) names.push_back("name-" + std::to_string(i % 100));
  for (std::uint32_t i = 1; i <= 500; ++i) all.push_back(acquire(i, names[i - 1], i));
  d.send(c, all);
  const TimeMs start = d.now;
  for (TimeMs ms = 0; ms <= 500; ++ms) {
    d.turn();
    for (const Sent& submit : d.take_sent()) d.answer(submit, Status::moved);
    ASSERT_EQ(d.core.stats().pending, 500 - ms) << ms;
    d.pass(1);
  }
  EXPECT_EQ(d.now - start, 501U);
}

}  // namespace
}  // namespace dlm::router
