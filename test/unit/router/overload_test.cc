// More asked of a group than it can do: what is taken, what is refused and until when, and what goes first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core_driver.h"

namespace dlm::router {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::size_t kSubmit = 512;

// A group that does 5 operations a millisecond, and clients that ask for more.
class Overload : public ::testing::Test {
 protected:
  Overload() : d(options()) {
    d.start();
    for (std::uint64_t i = 1; i <= 4; ++i) clients.push_back(d.client(i, {{GroupId(1), 0, true}}));
    // One full submit tells how fast it is.
    acquires(0, kSubmit);
    d.turn();
    d.now += kSubmit / 5;
    answer_all();
    d.turn();
    d.told();
    d.answers.clear();
  }

  static RouterOptions options() {
    RouterOptions options;
    options.submit_operations_max = kSubmit;
    options.queue_ms_max = 400;
    return options;
  }
  void acquires(std::size_t client, std::size_t count, std::uint32_t deadline_ms = 0) {
    std::vector<Operation> list;
    for (std::size_t i = 0; i < count; ++i) list.push_back(acquire(++sequence, "x", deadline_ms));
    d.send(clients[client], list);
  }
  void answer_all(Status status = Status::ok) {
    for (const Sent& submit : d.take_sent()) d.answer(submit, status);
  }
  std::size_t refused() const {
    return static_cast<std::size_t>(std::count_if(
        d.answers.begin(), d.answers.end(), [](const Answer& a) { return a.status == Status::overloaded; }));
  }

  CoreDriver d;
  std::vector<ConnectionId> clients;
  std::uint64_t sequence = 0;
};

TEST_F(Overload, NothingIsRefusedThatFitsIntoTwoSubmits) {
  acquires(0, kSubmit);
  d.turn();
  acquires(0, kSubmit);
  d.turn();
  EXPECT_EQ(refused(), 0U);
}

TEST_F(Overload, AnAcquireThatWouldWaitTooLongIsRefusedWithATimeToComeBack) {
  acquires(0, 10'000);
  d.turn();
  // 200 ms, half of the limit for one that asks for so much: 1,000 operations, or what always fits.
  EXPECT_NEAR(static_cast<double>(d.core.stats().pending), 1'000, 100);
  EXPECT_EQ(d.core.stats().refused, 10'000 - d.core.stats().pending);
  ASSERT_EQ(refused(), d.core.stats().refused);
  const Answer& first = d.answers.front();
  EXPECT_EQ(first.message, "g1 is asked for more than it can do");
  EXPECT_NEAR(first.retry_after_ms, 200, 30) << "what waits is done by then";
  EXPECT_NEAR(d.answers.back().retry_after_ms, 10'000 / 5, 100) << "and all before it that were refused";
}

TEST_F(Overload, WhoAsksForLittleIsLetInWhereOneThatAsksForMuchIsNot) {
  acquires(0, 10'000);
  acquires(1, 100);
  d.turn();
  EXPECT_THAT(d.told(), ::testing::Each(::testing::StartsWith("c1:")));
}

TEST_F(Overload, AnAcquireWhoseDeadlineWouldPassInTheQueueIsRefusedAtOnce) {
  acquires(0, 900);
  acquires(1, 1, 100);
  acquires(1, 1, 1'000);
  d.turn();
  EXPECT_EQ(refused(), 1U);
}

TEST_F(Overload, ReleasesRenewalsAndCancelsAreTakenAndSentBeforeAcquires) {
  acquires(0, 10'000);
  d.turn();
  d.take_sent();
  std::vector<Operation> releases;
  for (int i = 0; i < 300; ++i) releases.push_back(release(++sequence, "x"));
  d.send(clients[1], releases);
  d.turn();
  d.answers.clear();
  d.core.heartbeat(clients[2], 1, std::vector{GroupListing{GroupId(1), 0, true}}, d.now);
  d.core.link_down(d.servers.at("s1#1"), false, "lost", d.now);
  d.core.link_up(d.servers.at("s1#1"), d.now);
  const Sent next = d.only_sent();
  ASSERT_GT(next.operations.size(), kSubmit) << "full, and a heartbeat besides";
  for (std::size_t i = 0; i < 300; ++i)
    EXPECT_EQ(next.operations[i].view().kind, OperationKind::release) << i;
  EXPECT_EQ(next.operations.back().view().kind, OperationKind::heartbeat);
  EXPECT_EQ(refused(), 0U);
}

TEST_F(Overload, WhatFitsIsSentInTheOrderOfItsArrival) {
  d.send(clients[0], {acquire(1'001, "x"), release(1'002, "x"), acquire(1'003, "x")});
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 65536/1001, release 65536/1002, acquire 65536/1003");
}

TEST_F(Overload, WorkWhoseDeadlineHasPassedIsNotSent) {
  acquires(0, kSubmit);
  d.turn();
  const std::vector<Sent> out = d.take_sent();
  ASSERT_EQ(out.size(), 1U);
  acquires(1, 3, 30);
  acquires(1, 1, 500);
  d.turn();
  d.now += 31;
  d.answer(out[0]);
  const Sent next = d.only_sent();
  ASSERT_EQ(next.operations.size(), 1U);
  EXPECT_EQ(next.operations[0].view().deadline_ms, 469U) << "what is left of it";
  EXPECT_EQ(refused(), 3U);
  EXPECT_THAT(d.told().back(), HasSubstr("g1 did not come to it in time; nothing was done"));
}

TEST_F(Overload, AGroupThatDoesNotAnswerIsOutOfReachAndNotOverloaded) {
  acquires(0, kSubmit);
  d.turn();
  acquires(1, 1, 400);
  d.pass(1'000);
  EXPECT_EQ(d.answers.back().status, Status::unavailable);
}

TEST_F(Overload, ARefusalAtTheDoorIsNoAnswerToWhatMayHaveBeenDoneBefore) {
  d.send(clients[0], {acquire(1'001, "x")});
  d.only_sent();
  d.down("s1#1");
  d.up("s1#1");
  const Sent again = d.only_sent();
  d.told();
  d.answer(again, Status::overloaded);
  d.turn();
  EXPECT_THAT(d.told(), IsEmpty());
  d.pass(250);
  const std::vector<Sent> third = d.take_sent();
  ASSERT_EQ(third.size(), 1U);
  d.answer(third[0]);
  d.turn();
  EXPECT_THAT(d.told(), ::testing::ElementsAre(HasSubstr("ok 1001")));
}

TEST_F(Overload, ARefusalOfWhatWasSentOnceIsTheAnswer) {
  d.send(clients[0], {acquire(1'001, "x")});
  d.answer(d.only_sent(), Status::overloaded);
  d.turn();
  EXPECT_THAT(d.told(), ::testing::ElementsAre(HasSubstr("overloaded 1001")));
}

TEST_F(Overload, AllIsWellAfterwards) {
  acquires(0, 100'000);
  for (int i = 0; i < 10; ++i) {
    d.turn();
    answer_all();
    d.now += kSubmit / 5;
  }
  d.turn();
  EXPECT_EQ(d.core.stats().pending, 0U);
  d.answers.clear();
  for (std::size_t client = 0; client < 4; ++client) acquires(client, 100);
  d.turn();
  answer_all();
  d.turn();
  EXPECT_EQ(refused(), 0U);
  EXPECT_EQ(d.answers.size(), 400U);
}

TEST(Limits, WhatGivesBackFindsRoomWhereNoAcquireDoes) {
  RouterOptions options;
  options.pending_per_connection_max = 16;
  CoreDriver d(options);
  d.start();
  const ConnectionId c = d.client(1);
  for (std::uint64_t i = 1; i <= 17; ++i) d.send(c, {acquire(i, "x")});
  for (std::uint64_t i = 18; i <= 20; ++i) d.send(c, {release(i, "x")});
  d.turn();
  EXPECT_EQ(d.core.stats().pending, 18U);
  ASSERT_EQ(d.answers.size(), 2U);
  EXPECT_EQ(d.answers[0].sequence, Sequence(17));
  EXPECT_EQ(d.answers[1].sequence, Sequence(20));
}

TEST(Limits, OperationsAreBoundedInBytesToo) {
  RouterOptions options;
  options.pending_bytes_max = 100'000;
  CoreDriver d(options);
  d.start();
  const ConnectionId c = d.client(1);
  const std::string name(4'096, 'n');
  for (std::uint64_t i = 1; i <= 100; ++i) d.send(c, {acquire(i, name)});
  d.turn();
  EXPECT_LT(d.core.stats().pending_bytes, 105'000U);
  EXPECT_GT(d.core.stats().pending, 15U);
  EXPECT_THAT(d.told().back(), HasSubstr("this router has its limit of 0 MiB"));
  d.core.disconnect(c);
  EXPECT_EQ(d.core.stats().pending_bytes, 0U);
}

}  // namespace
}  // namespace dlm::router
