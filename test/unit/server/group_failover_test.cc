// What a group's core keeps over a takeover, and how it counts and ends what has a deadline.
#include "group_core_rig.h"
#include "server/core/group_core.h"

namespace dlm::server {
namespace {

// --- failover --------------------------------------------------------------------------------------------

TEST_F(GroupCoreTest, ATakeoverKeepsHoldsAndAnswersRetriesAsBefore) {
  begin(3);
  ask(open_session(kAnn, "ann"));
  Answer first = ask(acquire(kAnn, 1, "a"));
  std::string old = primary();
  cluster_->kill(old);
  await_takeover_from(old);
  Answer again = ask(acquire(kAnn, 1, "a"));
  EXPECT_EQ(again.status, Status::ok);
  EXPECT_EQ(again.token, first.token);
  EXPECT_EQ(again.count, 1U);
  EXPECT_EQ(ask(open_session(kBob, "bob")).status, Status::ok);
  EXPECT_EQ(ask(acquire(kBob, 1, "a")).status, Status::timed_out);
  EXPECT_GT(ask(acquire(kBob, 2, "b")).token, first.token);
}

TEST_F(GroupCoreTest, WithTwoOfThreeKilledOneAfterTheOtherHoldsLiveOn) {
  begin(3);
  ask(open_session(kAnn, "ann"));
  Answer first = ask(acquire(kAnn, 1, "a"));
  for (int i = 0; i < 2; ++i) {
    std::string old = primary();
    cluster_->kill(old);
    await_takeover_from(old);
    EXPECT_EQ(ask(heartbeat(kAnn)).status, Status::ok);
  }
  EXPECT_EQ(ask(acquire(kAnn, 1, "a")).token, first.token);
  EXPECT_EQ(cluster_->config().in_sync.size(), 1U);
}

TEST_F(GroupCoreTest, AWaiterKeepsItsPlaceOverATakeover) {
  begin(3);
  ask(open_session(kAnn, "ann"));
  ask(open_session(kBob, "bob"));
  ask(open_session(kCat, "cat"));
  ask(acquire(kAnn, 1, "a"));
  ask(acquire(kBob, 1, "a", kWaitForeverMs));
  ask(acquire(kCat, 1, "a", kWaitForeverMs));
  std::string old = primary();
  cluster_->kill(old);
  await_takeover_from(old);
  // The routers send again what is unanswered, in whatever order.
  EXPECT_EQ(ask(acquire(kCat, 1, "a", kWaitForeverMs), 3).position, 1U);
  EXPECT_EQ(ask(acquire(kBob, 1, "a", kWaitForeverMs), 2).status, Status::queued);
  EXPECT_EQ(ask(release(kAnn, 2, "a")).status, Status::ok);
  EXPECT_EQ(cluster_->take_later(2).size(), 1U);
  EXPECT_TRUE(cluster_->take_later(3).empty());
}

TEST_F(GroupCoreTest, ADeposedPrimaryNeverConfirmsARenewal) {
  begin(3);
  ask(open_session(kAnn, "ann", 60'000));
  std::string old = primary();
  cluster_->cut_off(old);
  cluster_->cut_from_coordinator(old);
  RequestId renewal = cluster_->submit(old, {heartbeat(kAnn)});
  RequestId operation = cluster_->submit(old, {acquire(kAnn, 1, "a")});
  RequestId read = cluster_->query(old, {});
  cluster_->pass_ms(10'000);
  EXPECT_NE(primary(), old);
  EXPECT_NE(primary(), "");
  cluster_->mend(old);
  cluster_->pass_ms(2'000);
  ASSERT_TRUE(cluster_->is_finished(renewal));
  EXPECT_EQ(cluster_->answers(renewal)[0].status, Status::not_primary);
  ASSERT_TRUE(cluster_->is_finished(operation));
  EXPECT_EQ(cluster_->answers(operation)[0].status, Status::not_primary);
  ASSERT_TRUE(cluster_->is_reported(read));
  EXPECT_EQ(cluster_->report(read).status, Status::not_primary);
}

TEST_F(GroupCoreTest, ARestartedMemberJoinsByASnapshotWhileOperationsFlow) {
  GroupOptions options;
  options.replica.log_bytes_max = 4'096;
  options.snapshot_chunk_bytes = 512;
  begin(3, options);
  ask(open_session(kAnn, "ann", 600'000));
  std::uint64_t sequence = 0;
  auto take_one = [&] {
    ++sequence;
    ASSERT_EQ(ask(acquire(kAnn, sequence, "lock " + std::to_string(sequence))).status, Status::ok);
  };
  std::string gone = backup();
  cluster_->kill(gone);
  cluster_->unregister(gone);
  cluster_->pass_ms(2'000);
  ASSERT_EQ(cluster_->config().in_sync.size(), 2U);
  for (int i = 0; i < 300; ++i) take_one();
  std::size_t before = cluster_->snapshots_begun();
  cluster_->restart(gone);
  for (int i = 0; i < 300; ++i) {
    take_one();
    cluster_->pass_ms(5);
  }
  cluster_->pass_ms(2'000);
  EXPECT_GT(cluster_->snapshots_begun(), before);
  EXPECT_EQ(cluster_->config().in_sync.size(), 3U);
  EXPECT_EQ(cluster_->core(gone).table().stats().locks_held, sequence);
  EXPECT_TRUE(cluster_->agree());
}

// --- deadlines -------------------------------------------------------------------------------------------

TEST_F(GroupCoreTest, ASessionWithoutHeartbeatsEndsAfterItsTtlAndNotBefore) {
  begin(3);
  ask(open_session(kAnn, "ann", 2'000));
  ask(open_session(kBob, "bob", 60'000));
  ask(acquire(kAnn, 1, "a"));
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 2);
  cluster_->pass_ms(1'500);
  EXPECT_EQ(ask(heartbeat(kAnn)).status, Status::ok);
  cluster_->pass_ms(1'990);
  EXPECT_TRUE(cluster_->take_later(2).empty());
  cluster_->pass_ms(20);
  ASSERT_EQ(cluster_->take_later(2).size(), 1U);
  EXPECT_EQ(ask(heartbeat(kAnn)).status, Status::session_expired);
  EXPECT_EQ(ask(release(kAnn, 2, "a")).status, Status::session_expired);
  EXPECT_EQ(ask(heartbeat(kCat)).status, Status::session_unknown);
}

TEST_F(GroupCoreTest, ARenewedDetachedHoldLivesByItsOwnLease) {
  begin(2);
  ask(open_session(kAnn, "ann", 60'000));
  Operation detached = acquire(kAnn, 1, "a");
  detached.lease = LeaseKind::detached;
  detached.lease_ms = 3'000;
  Answer granted = ask(detached);
  EXPECT_EQ(granted.ttl_ms, 3'000U);
  LogIndex last = cluster_->core(primary()).replica().last_index();
  for (std::uint64_t i = 2; i < 6; ++i) {
    cluster_->pass_ms(2'900);
    Answer renewed = ask(renew(kAnn, i, "a", granted.token));
    EXPECT_EQ(renewed.status, Status::ok);
    EXPECT_EQ(renewed.token, granted.token);
    EXPECT_EQ(renewed.sequence, Sequence(i));
  }
  EXPECT_EQ(cluster_->core(primary()).replica().last_index(), last) << "renewals are not logged";
  cluster_->pass_ms(3'001);
  Answer late = ask(renew(kAnn, 7, "a", granted.token));
  EXPECT_EQ(late.status, Status::not_held);
  EXPECT_EQ(late.cause, EndCause::expired);
}

TEST_F(GroupCoreTest, ARenewalWithAnotherLeaseIsLogged) {
  begin(2);
  ask(open_session(kAnn, "ann", 60'000));
  Operation detached = acquire(kAnn, 1, "a");
  detached.lease = LeaseKind::detached;
  detached.lease_ms = 3'000;
  Answer granted = ask(detached);
  Operation longer = renew(kAnn, 2, "a", granted.token);
  longer.lease_ms = 30'000;
  EXPECT_EQ(ask(longer).ttl_ms, 30'000U);
  cluster_->pass_ms(20'000);
  EXPECT_EQ(ask(renew(kAnn, 3, "a", granted.token)).status, Status::ok);
}

TEST_F(GroupCoreTest, AWaitEndsAtItsTimeAndIsNeverGrantedAfterwards) {
  begin(2);
  ask(open_session(kAnn, "ann", 60'000));
  ask(open_session(kBob, "bob", 60'000));
  ask(acquire(kAnn, 1, "a"));
  EXPECT_EQ(ask(acquire(kBob, 1, "a", 500), 2).status, Status::queued);
  cluster_->pass_ms(499);
  EXPECT_TRUE(cluster_->take_later(2).empty());
  cluster_->pass_ms(10);
  std::vector<Answer> later = cluster_->take_later(2);
  ASSERT_EQ(later.size(), 1U);
  EXPECT_EQ(later[0].status, Status::timed_out);
  EXPECT_EQ(later[0].holder.client_id, "ann");
  ask(release(kAnn, 2, "a"));
  EXPECT_TRUE(cluster_->take_later(2).empty());
  EXPECT_EQ(ask(acquire(kBob, 1, "a", 500), 2).status, Status::timed_out) << "the answer never changes";
}

TEST_F(GroupCoreTest, ATakeoverRestartsEveryDeadlineAtItsFullLength) {
  begin(3);
  ask(open_session(kAnn, "ann", 5'000));
  ask(acquire(kAnn, 1, "a"));
  cluster_->pass_ms(4'900);
  std::string old = primary();
  cluster_->kill(old);
  await_takeover_from(old);
  cluster_->pass_ms(4'500);
  EXPECT_EQ(cluster_->core(primary()).table().stats().locks_held, 1U);
  cluster_->pass_ms(600);
  EXPECT_EQ(cluster_->core(primary()).table().stats().locks_held, 0U);
}

// An acquire by the holder restarts the lease when it is applied. Were the end of the lease logged behind it,
// the holder would be told "ok" and lose the lock at once.
TEST_F(GroupCoreTest, NothingEndsBehindAnEntryThatRenewsIt) {
  begin(3);
  ask(open_session(kAnn, "ann", 60'000));
  Operation detached = acquire(kAnn, 1, "a");
  detached.lease = LeaseKind::detached;
  detached.lease_ms = 2'000;
  Answer granted = ask(detached);
  cluster_->pass_ms(1'990);
  std::string other = backup();
  cluster_->cut_off(other);  // so that nothing commits for a while
  Operation again = detached;
  again.sequence = Sequence(2);
  RequestId request = cluster_->submit(primary(), {again});
  cluster_->pass_ms(500);
  ASSERT_FALSE(cluster_->is_finished(request));
  cluster_->mend(other);
  cluster_->pass_ms(1'000);
  ASSERT_TRUE(cluster_->is_finished(request));
  EXPECT_EQ(cluster_->answers(request)[0].status, Status::ok);
  EXPECT_EQ(cluster_->answers(request)[0].token, granted.token);
  EXPECT_EQ(cluster_->core(primary()).table().stats().locks_held, 1U);
  cluster_->pass_ms(2'000);
  EXPECT_EQ(cluster_->core(primary()).table().stats().locks_held, 0U);
}

TEST_F(GroupCoreTest, ManyDeadlinesAtOnceDoNotKeepOperationsWaiting) {
  GroupOptions options;
  options.expiries_per_turn_max = 10;
  begin(2, options);
  ask(open_session(kAnn, "ann", 60'000));
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back("r" + std::to_string(i));
  std::vector<Operation> operations;
  for (std::size_t i = 0; i < names.size(); ++i) {
    Operation op = acquire(kAnn, i + 1, names[i]);
    op.lease = LeaseKind::detached;
    op.lease_ms = 1'000;
    operations.push_back(op);
  }
  cluster_->submit(primary(), operations);
  cluster_->pass_ms(999);
  EXPECT_EQ(cluster_->core(primary()).table().stats().locks_held, 100U);
  EXPECT_EQ(ask(acquire(kAnn, 1'000, "other")).status, Status::ok);
  cluster_->pass_ms(50);
  EXPECT_EQ(cluster_->core(primary()).table().stats().locks_held, 1U);
}

}  // namespace
}  // namespace dlm::server
