// What becomes of locks, sessions and tokens when all replicas of a group were lost; and the longest lease,
// which the record has to know before it is given.
#include <gtest/gtest.h>

#include "group_cluster.h"

namespace dlm::server {
namespace {

constexpr std::uint64_t kAnn = 1u << 16;
constexpr std::uint64_t kBob = 2u << 16;
constexpr std::uint64_t kProbes = 3u << 16;
constexpr std::uint32_t kLeaseMs = 10'000;

class GroupRecovery : public ::testing::Test {
 protected:
  explicit GroupRecovery(int members = 2) : members_(members), cluster_(members) { await_in_sync(); }

  void await_in_sync() {
    for (int i = 0; i < 100 && cluster_.config().in_sync.size() < static_cast<std::size_t>(members_); ++i)
      cluster_.pass_ms(10);
    ASSERT_EQ(cluster_.config().in_sync.size(), static_cast<std::size_t>(members_));
    ASSERT_NE(cluster_.primary(), "");
  }
  std::string server(int i) const { return "s" + std::to_string(i); }
  void lose_all() {
    for (int i = 1; i <= members_; ++i) cluster_.kill(server(i));
    for (int i = 1; i <= members_; ++i) cluster_.unregister(server(i));
    cluster_.settle();
    for (int i = 1; i <= members_; ++i) cluster_.restart(server(i));
    cluster_.settle();
  }
  Answer ask(const Operation& op) { return cluster_.ask(cluster_.primary(), op); }
  std::string problem() {
    const auto& reported = cluster_.report(cluster_.query(cluster_.primary(), {}));
    return std::get<GroupReport>(reported.content).problem;
  }
  // How long the group puts off a grant; 0: not at all.
  std::uint32_t put_off_ms() {
    const std::uint64_t session = kProbes + ++probes_;
    EXPECT_EQ(ask(open_session(session, "probe " + std::to_string(probes_))).status, Status::ok);
    const Answer answer = ask(acquire(session, 1, "probe " + std::to_string(probes_)));
    if (answer.status == Status::ok) return 0;
    EXPECT_EQ(answer.status, Status::unavailable);
    return answer.ttl_ms;
  }

  int members_;
  GroupCluster cluster_;
  std::uint64_t probes_ = 0;
};

TEST_F(GroupRecovery, NothingIsGrantedBeforeTheLongestLeaseHasPassedAndTokensGoOnAbove) {
  ask(open_session(kAnn, "ann", kLeaseMs));
  const FencingToken before = ask(acquire(kAnn, 1, "a")).token;
  lose_all();
  EXPECT_EQ(ask(heartbeat(kAnn)).status, Status::session_unknown) << "sessions are gone";
  EXPECT_EQ(ask(open_session(kBob, "bob")).status, Status::ok) << "but may be opened";
  const Answer refused = ask(acquire(kBob, 1, "a"));
  EXPECT_EQ(refused.status, Status::unavailable);
  EXPECT_EQ(refused.message, "g1 is recovering: no grants for another 10 s, all replicas were lost");
  EXPECT_EQ(problem(), "recovering: no grants for another 10 s, all replicas were lost");

  cluster_.pass_ms(refused.ttl_ms - 1);
  EXPECT_EQ(ask(acquire(kBob, 1, "a")).status, Status::unavailable);
  ask(heartbeat(kBob));
  cluster_.pass_ms(1);
  const Answer granted = ask(acquire(kBob, 1, "a"));
  EXPECT_EQ(granted.status, Status::ok);
  EXPECT_GT(granted.token, before);
  EXPECT_EQ(problem(), "");
  EXPECT_FALSE(cluster_.config().recovering);
  EXPECT_TRUE(cluster_.agree());
}

TEST_F(GroupRecovery, APrimaryThatTakesOverWithinTheWaitBeginsItAnew) {
  lose_all();
  await_in_sync();
  cluster_.pass_ms(6'000);
  EXPECT_LE(put_off_ms(), kLeaseMs - 6'000);
  const std::string first = cluster_.primary();
  cluster_.kill(first);
  cluster_.unregister(first);
  cluster_.settle();
  ASSERT_NE(cluster_.primary(), "");
  EXPECT_EQ(put_off_ms(), kLeaseMs);
  cluster_.pass_ms(kLeaseMs);
  ask(heartbeat(kBob));
  EXPECT_EQ(cluster_.config().recovering, false);
}

TEST_F(GroupRecovery, ASecondTotalLossWithinTheWaitBeginsItAnew) {
  lose_all();
  cluster_.pass_ms(9'000);
  lose_all();
  EXPECT_EQ(cluster_.config().era, 3U);
  EXPECT_EQ(put_off_ms(), kLeaseMs);
}

TEST_F(GroupRecovery, APrimaryThatTakesOverAfterTheWaitDoesNotWait) {
  lose_all();
  await_in_sync();
  cluster_.pass_ms(kLeaseMs);
  const std::string first = cluster_.primary();
  cluster_.kill(first);
  cluster_.unregister(first);
  cluster_.settle();
  EXPECT_EQ(put_off_ms(), 0U);
}

TEST_F(GroupRecovery, WhatIsGrantedAfterItIsAsLastingAsEver) {
  lose_all();
  await_in_sync();
  cluster_.pass_ms(kLeaseMs);
  ask(open_session(kAnn, "ann"));
  const Answer granted = ask(acquire(kAnn, 1, "a"));
  ASSERT_EQ(granted.status, Status::ok);
  const std::string first = cluster_.primary();
  cluster_.kill(first);
  cluster_.unregister(first);
  cluster_.settle();
  EXPECT_EQ(ask(acquire(kAnn, 1, "a")).token, granted.token) << "a repeat";
  ask(open_session(kBob, "bob"));
  EXPECT_EQ(ask(acquire(kBob, 1, "a")).status, Status::timed_out);
}

TEST_F(GroupRecovery, ALongerLeaseIsPutOffUntilTheRecordKnowsIt) {
  const Answer first = ask(open_session(kAnn, "ann", 60'000));
  EXPECT_EQ(first.status, Status::unavailable);
  EXPECT_NE(first.ttl_ms, 0U);
  EXPECT_EQ(cluster_.config().lease_ms_max, 80'000U);
  EXPECT_EQ(ask(open_session(kAnn, "ann", 60'000)).ttl_ms, 60'000U);
  Operation lease = acquire(kAnn, 1, "a");
  lease.lease = LeaseKind::detached;
  lease.lease_ms = 80'001;
  EXPECT_EQ(ask(lease).status, Status::unavailable);
  EXPECT_EQ(ask(lease).ttl_ms, 80'001U);
  Operation longer = renew(kAnn, 2, "a", {});
  longer.lease_ms = 1'000'000;
  EXPECT_EQ(ask(longer).status, Status::unavailable);
  EXPECT_EQ(ask(longer).ttl_ms, 1'000'000U);
  lose_all();
  EXPECT_EQ(put_off_ms(), cluster_.config().lease_ms_max);
  EXPECT_GE(cluster_.config().lease_ms_max, 1'000'000U);
}

TEST_F(GroupRecovery, WithoutTheCoordinatorShorterLeasesAreStillGiven) {
  const std::string primary = cluster_.primary();
  cluster_.cut_from_coordinator(primary);
  EXPECT_EQ(ask(open_session(kAnn, "ann", 60'000)).status, Status::unavailable);
  cluster_.pass_ms(100);
  EXPECT_EQ(ask(open_session(kAnn, "ann", 60'000)).status, Status::unavailable);
  EXPECT_EQ(ask(open_session(kBob, "bob", 10'000)).status, Status::ok);
  EXPECT_EQ(ask(acquire(kBob, 1, "a")).status, Status::ok);
}

TEST_F(GroupRecovery, ALeaseBeyondTheLimitIsRefusedAndNotPutDown) {
  EXPECT_EQ(ask(open_session(kAnn, "ann", 3'600'001)).status, Status::invalid_argument);
  EXPECT_EQ(cluster_.config().lease_ms_max, 10'000U);
}

class GroupRecoveryAlone : public GroupRecovery {
 protected:
  GroupRecoveryAlone() : GroupRecovery(1) {}
};

TEST_F(GroupRecoveryAlone, WaitsOnceThroughATimeWithoutTheCoordinator) {
  lose_all();
  EXPECT_EQ(put_off_ms(), kLeaseMs);
  cluster_.pass_ms(kLeaseMs + 1);
  EXPECT_EQ(put_off_ms(), 0U);
}

}  // namespace
}  // namespace dlm::server
