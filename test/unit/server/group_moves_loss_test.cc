// Groups lose everything while arcs move between them.
#include <gtest/gtest.h>

#include "test/unit/server/group_moves_rig.h"

namespace dlm::server {
namespace {

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
