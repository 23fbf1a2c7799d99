// Two groups and a ring that changes: each transfer between them is carried by hand.
#include <gtest/gtest.h>

#include "coordinator/core/ring_change.h"
#include "test/unit/server/group_cluster.h"

namespace dlm::server {
namespace {

constexpr GroupId kOne{1};
constexpr GroupId kTwo{2};
constexpr std::uint64_t kAnn = 0x10000;
constexpr std::uint64_t kBob = 0x20000;

GroupOptions of_group(GroupId group) {
  GroupOptions options;
  options.replica.group = group;
  options.move_locks_max = 50;
  return options;
}

// g1 has everything; g2 is there and owns nothing.
class GroupMoves : public ::testing::Test {
 protected:
  GroupMoves() : one_(3, of_group(kOne)), two_(3, of_group(kTwo)) {
    ring_ = one_.ring;
    pass_ms(2'000);
    EXPECT_EQ(one_.ask(one_.primary(), open_session(kAnn, "ann")).status, Status::ok);
    EXPECT_EQ(one_.ask(one_.primary(), open_session(kBob, "bob")).status, Status::ok);
  }

  void pass_ms(TimeMs ms) {
    one_.pass_ms(ms);
    two_.pass_ms(ms);
  }
  void tell_ring(const coordinator::RingRecord& ring) {
    ring_ = ring;
    ++ring_.version;
    one_.set_ring(ring_);
    two_.set_ring(ring_);
    one_.settle();
    two_.settle();
  }
  void add_two() {
    coordinator::RingRecord next = ring_;
    next.before = next.groups;
    next.groups.push_back({kTwo, 1});
    tell_ring(next);
  }
  void abort() {
    coordinator::RingRecord next = ring_;
    std::swap(next.groups, next.before);
    tell_ring(next);
  }
  std::map<GroupId, VersionedConfig> records() const {
    return {{kOne, one_.record()}, {kTwo, two_.record()}};
  }
  bool through() const { return coordinator::all_done(ring_, records()); }

  // Carries transfers of g1 (and back those of g2) until nothing goes on; time passes as far as it must.
  void carry(int rounds = 3'000) {
    for (int i = 0; i < rounds && !through(); ++i) {
      bool idle = true;
      for (auto* from : {&one_, &two_}) {
        GroupCluster& to = from == &one_ ? two_ : one_;
        for (const GroupCluster::Sent& sent : from->take_transfers()) {
          idle = false;
          from->answer_transfer(sent, to.primary().empty() ? TransferReply{Status::unavailable, "", 0, {}, 0}
                                                           : to.move_in(to.primary(), sent.transfer));
        }
      }
      if (idle) pass_ms(10);
    }
  }
  // The next transfer that carries an arc. What only asks is answered, other arcs reach nobody.
  GroupCluster::Sent next_arc(GroupCluster& from, GroupCluster& to) {
    GroupCluster::Sent found;
    for (int i = 0; i < 100 && found.by.empty(); ++i) {
      for (const GroupCluster::Sent& sent : from.take_transfers()) {
        if (sent.transfer.number == 0) {
          from.answer_transfer(sent, to.move_in(to.primary(), sent.transfer));
        } else if (found.by.empty()) {
          found = sent;
        } else {
          from.answer_transfer(sent, {Status::unavailable, "lost", 0, {}, 0});
        }
      }
      pass_ms(10);
    }
    EXPECT_FALSE(found.by.empty()) << "no arc was sent";
    return found;
  }

  void lock_names(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string name = "lock/" + std::to_string(i);
      ASSERT_EQ(one_.ask(one_.primary(), acquire(kAnn, ++sequence_, name)).status, Status::ok);
    }
  }
  std::uint64_t held(GroupCluster& group) { return group.core(group.primary()).table().stats().locks_held; }
  static double share(GroupCluster& group) {
    double sum = 0;
    for (const OwnedArc& arc : group.core(group.primary()).table().arcs())
      sum += static_cast<double>(arc.end - arc.begin) / 18446744073709551616.0;
    return sum;
  }

  GroupCluster one_;
  GroupCluster two_;
  coordinator::RingRecord ring_;
  std::uint64_t sequence_ = 0;
};

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

// --- everything lost while the ring changes ---

class LostWhileTheRingChanges : public GroupMoves {
 protected:
  static void lose(GroupCluster& group) {
    for (const char* server : {"s1", "s2", "s3"}) {
      group.kill(server);
      group.unregister(server);
    }
    for (const char* server : {"s1", "s2", "s3"}) group.restart(server);
  }
  // By what their tables say, each hash has one owner.
  void expect_one_owner_each() {
    for (int i = 0; i < 2'000; ++i) {
      const std::string name = "any/" + std::to_string(i);
      const int owners =
          one_.core(one_.primary()).table().owns(name) + two_.core(two_.primary()).table().owns(name);
      EXPECT_EQ(owners, 1) << name;
    }
  }
  void begin_change_and_carry(int rounds) {
    add_two();
    carry(rounds);
    EXPECT_FALSE(through());
    EXPECT_GT(share(two_), 0);
  }
};

TEST_F(LostWhileTheRingChanges, TheSourceTakesWhatTheDestinationDoesNotHave) {
  lock_names(100);
  begin_change_and_carry(50);
  const double theirs = share(two_);
  lose(one_);
  pass_ms(3'000);
  ASSERT_NE(one_.primary(), "");
  for (int i = 0; i < 10 && share(one_) + share(two_) < 1 - 1e-9; ++i) carry(5);
  EXPECT_GE(share(two_), theirs);
  expect_one_owner_each();
  carry();
  EXPECT_TRUE(through());
  EXPECT_NEAR(share(two_), 0.5, 0.05);
}

TEST_F(LostWhileTheRingChanges, TheDestinationTakesWhatTheSourceHasGivenOrWasGiving) {
  lock_names(100);
  begin_change_and_carry(50);
  const GroupCluster::Sent under_way = next_arc(one_, two_);
  lose(two_);
  one_.answer_transfer(under_way, {Status::unavailable, "lost", 0, {}, 0});
  pass_ms(3'000);
  ASSERT_NE(two_.primary(), "");
  carry();
  EXPECT_TRUE(through());
  expect_one_owner_each();
}

TEST_F(LostWhileTheRingChanges, BothAgreeThoughTheRingIsTurnedRoundWhileTheyAsk) {
  begin_change_and_carry(50);
  lose(one_);
  lose(two_);
  const auto claim_of = [this](GroupCluster& group) {
    GroupCluster::Sent claim;
    for (int i = 0; i < 300 && claim.by.empty(); ++i) {
      pass_ms(10);
      for (const GroupCluster::Sent& sent : group.take_transfers())
        if (sent.transfer.number == kClaim) claim = sent;
    }
    EXPECT_FALSE(claim.by.empty());
    return claim;
  };
  const GroupCluster::Sent ones = claim_of(one_);
  GroupCluster::Sent twos = claim_of(two_);
  pass_ms(3'000);
  const TransferReply to_one = two_.move_in(two_.primary(), ones.transfer);
  ASSERT_TRUE(to_one.ok());
  abort();
  twos.transfer.ring_version = ring_.version;
  const TransferReply to_two = one_.move_in(one_.primary(), twos.transfer);
  ASSERT_TRUE(to_two.ok());
  one_.answer_transfer(ones, to_one);
  two_.answer_transfer(twos, to_two);
  expect_one_owner_each();
  carry();
  EXPECT_TRUE(through());
  expect_one_owner_each();
}

TEST_F(LostWhileTheRingChanges, ThoughBothDoEachArcHasOneOwner) {
  lock_names(100);
  begin_change_and_carry(50);
  lose(one_);
  lose(two_);
  pass_ms(3'000);
  carry();
  EXPECT_TRUE(through());
  expect_one_owner_each();
  EXPECT_NEAR(share(two_), 0.5, 0.05);
}

TEST_F(LostWhileTheRingChanges, TokensGrowThoughTheOneThatTakesAnArcIsOfAnEarlierEra) {
  for (int i = 0; i < 2; ++i) {
    lose(two_);
    two_.pass_ms(30'000);
  }
  begin_change_and_carry(50);
  std::string name = "0";
  for (int i = 0; !two_.core(two_.primary()).table().owns(name); ++i) name = std::to_string(i);
  ASSERT_EQ(two_.ask(two_.primary(), open_session(0x50000, "dan")).status, Status::ok);
  const Answer before = two_.ask(two_.primary(), acquire(0x50000, 1, name));
  ASSERT_EQ(before.status, Status::ok);

  lose(one_);
  lose(two_);
  pass_ms(3'000);
  carry(5);
  ASSERT_TRUE(one_.core(one_.primary()).table().owns(name))
      << "the smaller number takes what is between them";
  pass_ms(30'000);
  ASSERT_EQ(one_.ask(one_.primary(), open_session(0x50000, "dan")).status, Status::ok);
  Answer after = one_.ask(one_.primary(), acquire(0x50000, 1, name));
  EXPECT_EQ(after.status, Status::unavailable) << "another loss would begin in an era that has been used";
  one_.pass_ms(100);
  after = one_.ask(one_.primary(), acquire(0x50000, 1, name));
  EXPECT_EQ(after.status, Status::ok);
  EXPECT_GT(after.token, before.token);
  EXPECT_LE(after.token.value >> coordinator::kEraShift, one_.record().config.era);
}

TEST_F(LostWhileTheRingChanges, NothingIsGrantedBeforeItIsKnownWhatTheOtherHas) {
  begin_change_and_carry(50);
  lose(one_);
  one_.pass_ms(60'000);  // and nobody carries its questions
  ASSERT_NE(one_.primary(), "");
  EXPECT_EQ(one_.ask(one_.primary(), open_session(0x50000, "dan")).status, Status::ok);
  for (std::uint64_t i = 0; i < 20; ++i) {
    const std::string name = "n" + std::to_string(i);
    EXPECT_EQ(one_.ask(one_.primary(), acquire(0x50000, 1 + i, name)).status, Status::unavailable);
  }
}

}  // namespace
}  // namespace dlm::server
