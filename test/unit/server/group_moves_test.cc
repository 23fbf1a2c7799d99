// Arcs move between two groups.
#include <gtest/gtest.h>

#include "test/unit/server/group_moves_rig.h"

namespace dlm::server {
namespace {

TEST_F(GroupMoves, AGroupThatComesGetsItsPartOfTheArcsAndLocks) {
  lock_names(200);
  EXPECT_EQ(share(two_), 0);
  add_two();
  carry();
  EXPECT_TRUE(through());
  EXPECT_NEAR(share(one_), 0.5, 0.05);
  EXPECT_NEAR(share(one_) + share(two_), 1, 1e-9);
  EXPECT_EQ(held(one_) + held(two_), 200U);
  EXPECT_GT(held(two_), 60U);
  pass_ms(500);
  EXPECT_TRUE(one_.agree());
  EXPECT_TRUE(two_.agree());
}

TEST_F(GroupMoves, NothingIsFrozenForAGroupThatDoesNotAnswer) {
  lock_names(10);
  for (const char* server : {"s1", "s2", "s3"}) two_.kill(server);
  add_two();
  for (int i = 0; i < 50; ++i) {
    for (const GroupCluster::Sent& sent : one_.take_transfers()) {
      EXPECT_EQ(sent.transfer.number, 0U);
      one_.answer_transfer(sent, {Status::unavailable, "nobody", 0, {}, 0});
    }
    one_.pass_ms(100);
  }
  EXPECT_EQ(held(one_), 10U);
  EXPECT_TRUE(one_.core(one_.primary()).table().outgoing().empty());
}

TEST_F(GroupMoves, TheNextPrimaryOfTheSourceSendsWhatIsUnderWay) {
  lock_names(100);
  add_two();
  const GroupCluster::Sent sent = next_arc(one_, two_);
  const std::string dead = one_.primary();
  one_.kill(dead);
  one_.unregister(dead);
  pass_ms(3'000);
  ASSERT_NE(one_.primary(), "");
  EXPECT_FALSE(one_.core(one_.primary()).table().outgoing().empty());
  carry();
  EXPECT_TRUE(through());
  EXPECT_EQ(held(one_) + held(two_), 100U);
  // A copy of the first one that was long on its way.
  EXPECT_TRUE(two_.move_in(two_.primary(), sent.transfer).ok());
  EXPECT_EQ(held(one_) + held(two_), 100U);
}

TEST_F(GroupMoves, TheNextPrimaryOfTheDestinationKnowsWhatHasCome) {
  lock_names(100);
  add_two();
  const GroupCluster::Sent sent = next_arc(one_, two_);
  EXPECT_TRUE(two_.move_in(two_.primary(), sent.transfer).ok());  // and the answer is lost
  const std::string dead = two_.primary();
  two_.kill(dead);
  two_.unregister(dead);
  pass_ms(3'000);
  ASSERT_NE(two_.primary(), "");
  one_.answer_transfer(sent, {Status::unavailable, "lost", 0, {}, 0});
  carry();
  EXPECT_TRUE(through());
  EXPECT_EQ(held(one_) + held(two_), 100U);
}

TEST_F(GroupMoves, WhatIsGivenAwayIsAnsweredMovedAndServedByTheOther) {
  lock_names(50);
  add_two();
  carry();
  for (int i = 0; i < 50; ++i) {
    const std::string name = "lock/" + std::to_string(i);
    const bool went = coordinator::Ring(ring_).group_of(coordinator::hash_of(name)) == kTwo;
    Operation op = acquire(kBob, ++sequence_, name);
    EXPECT_EQ(one_.ask(one_.primary(), op).status, went ? Status::moved : Status::timed_out);
    if (!went) continue;
    EXPECT_EQ(two_.ask(two_.primary(), open_session(kBob, "bob")).status, Status::ok);
    const Answer there = two_.ask(two_.primary(), op);
    EXPECT_EQ(there.status, Status::timed_out);
    EXPECT_EQ(there.holder.client_id, "ann");
  }
}

TEST_F(GroupMoves, AHeartbeatTellsWhereTheHoldsWent) {
  lock_names(50);
  EXPECT_TRUE(one_.ask(one_.primary(), heartbeat(kAnn)).moved_to.empty());
  add_two();
  carry();
  EXPECT_EQ(one_.ask(one_.primary(), heartbeat(kAnn)).moved_to, std::vector<GroupId>{kTwo});
  EXPECT_TRUE(one_.ask(one_.primary(), heartbeat(kBob)).moved_to.empty());
  EXPECT_EQ(two_.ask(two_.primary(), heartbeat(kAnn)).status, Status::ok);
}

TEST_F(GroupMoves, AnAdoptedSessionIsRenewedUnderAnyLaterGeneration) {
  lock_names(50);
  add_two();
  carry();
  const std::uint64_t there = held(two_);
  ASSERT_GT(there, 0U);
  for (int i = 0; i < 6; ++i) {
    pass_ms(4'000);
    EXPECT_EQ(two_.ask(two_.primary(), heartbeat(kAnn + 1)).status, Status::ok);
  }
  EXPECT_EQ(held(two_), there);
  pass_ms(11'000);
  EXPECT_EQ(held(two_), 0U);
}

TEST_F(GroupMoves, LongLeasesAreRecordedBeforeTheyCome) {
  EXPECT_EQ(one_.ask(one_.primary(), open_session(0x30000, "cid", 60'000)).status, Status::unavailable);
  one_.settle();
  EXPECT_EQ(one_.ask(one_.primary(), open_session(0x30000, "cid", 60'000)).status, Status::ok);
  EXPECT_LT(two_.config().lease_ms_max, 60'000U);
  add_two();
  carry();
  EXPECT_TRUE(through());
  EXPECT_GE(two_.config().lease_ms_max, one_.config().lease_ms_max);
}

TEST_F(GroupMoves, APausedChangeGivesNothing) {
  lock_names(50);
  coordinator::RingRecord next = ring_;
  next.before = next.groups;
  next.groups.push_back({kTwo, 1});
  next.paused = true;
  tell_ring(next);
  carry(100);
  EXPECT_EQ(held(one_), 50U);
  GroupQuery query;
  const RequestId asked = one_.query(one_.primary(), query);
  const auto& state = std::get<GroupReport>(one_.report(asked).content);
  EXPECT_GT(state.move.arcs_left, 100U);
  EXPECT_EQ(state.move.waits_for, "the change is paused");
  next = ring_;
  next.paused = false;
  tell_ring(next);
  carry();
  EXPECT_TRUE(through());
}

TEST_F(GroupMoves, ARateIsKept) {
  lock_names(100);
  coordinator::RingRecord next = ring_;
  next.before = next.groups;
  next.groups.push_back({kTwo, 1});
  next.locks_per_s_max = 10;
  const TimeMs begun = one_.now_ms();
  tell_ring(next);
  carry(20'000);
  EXPECT_TRUE(through());
  EXPECT_GE(one_.now_ms() - begun, (held(two_) - 10) * 100);
}

TEST_F(GroupMoves, BetweenBurstsOfArcsTheGroupIsItsClients) {
  add_two();
  // The arcs that are given without time passing; all of them arrive.
  const auto burst = [this] {
    std::size_t arcs = 0;
    for (bool idle = false; !idle;) {
      idle = true;
      for (const GroupCluster::Sent& sent : one_.take_transfers()) {
        idle = false;
        arcs += sent.transfer.number != 0 ? 1 : 0;
        one_.answer_transfer(sent, two_.move_in(two_.primary(), sent.transfer));
      }
    }
    return arcs;
  };
  const GroupOptions options;
  EXPECT_EQ(burst(), options.moves_under_way_max);
  pass_ms(options.move_pause_ms - 1);
  EXPECT_EQ(burst(), 0U);
  pass_ms(1);
  EXPECT_EQ(burst(), options.moves_under_way_max);
}

TEST_F(GroupMoves, AnAbortedChangeBringsAllBack) {
  lock_names(200);
  add_two();
  carry(50);
  EXPECT_FALSE(through());
  EXPECT_GT(held(two_), 0U);
  abort();
  carry();
  EXPECT_TRUE(through());
  EXPECT_NEAR(share(one_), 1, 1e-9);
  EXPECT_EQ(share(two_), 0);
  EXPECT_EQ(held(one_), 200U);
}

// The arc was frozen for g2 when the change was aborted, and g2 has said already that it is through.
TEST_F(GroupMoves, AGroupThatIsThroughTakesAnArcThatIsNotItsOnlyWhenItsRecordSaysSo) {
  lock_names(100);
  add_two();
  GroupCluster::Sent sent = next_arc(one_, two_);
  abort();
  two_.settle();
  EXPECT_EQ(two_.config().ring_done, ring_.version);
  sent.transfer.ring_version = ring_.version;
  EXPECT_FALSE(two_.move_in(two_.primary(), sent.transfer).ok());
  EXPECT_EQ(two_.config().ring_done, 0U);
  EXPECT_FALSE(through());
  one_.answer_transfer(sent, {Status::unavailable, "lost", 0, {}, 0});
  carry();
  EXPECT_TRUE(through());
  EXPECT_EQ(held(one_), 100U);
}

TEST_F(GroupMoves, AGroupIsNotThroughWhileAnArcArrivesThatIsNotItsAnyMore) {
  lock_names(100);
  add_two();
  const GroupCluster::Sent sent = next_arc(one_, two_);
  two_.begin_move_in(two_.primary(), sent.transfer);
  abort();
  EXPECT_GT(share(two_), 0);
  EXPECT_NE(two_.config().ring_done, ring_.version);
  one_.answer_transfer(sent, {});
  carry();
  EXPECT_TRUE(through());
  EXPECT_EQ(share(two_), 0);
  EXPECT_EQ(held(one_), 100U);
}

TEST_F(GroupMoves, ATransferOfAnotherVersionOfTheRingIsRefused) {
  lock_names(100);
  add_two();
  GroupCluster::Sent sent = next_arc(one_, two_);
  sent.transfer.ring_version = ring_.version - 1;
  EXPECT_EQ(two_.move_in(two_.primary(), sent.transfer).status, Status::unavailable);
  sent.transfer.ring_version = ring_.version + 1;
  EXPECT_EQ(two_.move_in(two_.primary(), sent.transfer).status, Status::unavailable);
}

TEST_F(GroupMoves, WhatIsNoStateOfAnArcIsRefused) {
  add_two();
  GroupCluster::Sent sent = next_arc(one_, two_);
  sent.transfer.state = std::make_shared<const std::string>("nonsense");
  EXPECT_EQ(two_.move_in(two_.primary(), sent.transfer).status, Status::invalid_argument);
  sent.transfer.state.reset();
  EXPECT_EQ(two_.move_in(two_.primary(), sent.transfer).status, Status::invalid_argument);
}

TEST_F(GroupMoves, ABackupTakesNothing) {
  add_two();
  GroupCluster::Sent sent = next_arc(one_, two_);
  const std::string backup = two_.primary() == "s1" ? "s2" : "s1";
  EXPECT_EQ(two_.move_in(backup, sent.transfer).status, Status::not_primary);
}

// It must not take what the others are about to give it.
TEST_F(GroupMoves, AGroupThatBeginsDuringAChangeOwnsWhatItHadBefore) {
  GroupCluster late(1, of_group(GroupId(3)));
  coordinator::RingRecord next = ring_;
  next.before = next.groups;
  next.groups.push_back({GroupId(3), 1});
  ++next.version;
  late.set_ring(next);
  late.pass_ms(2'000);
  EXPECT_TRUE(late.core(late.primary()).table().arcs().empty());
}

}  // namespace
}  // namespace dlm::server
