// The rules of acquiring, releasing, renewing, waiting and cancelling.
#include "test/unit/lock_table/table_rig.h"

namespace dlm::server {
namespace {

using Locks = LockTableTest;

TEST_F(Locks, FreeLockIsGrantedWithTheNextToken) {
  Answer first = run(acquire(kA, "x"));
  EXPECT_EQ(first.status, Status::ok);
  EXPECT_EQ(first.token, FencingToken(kEra + 1));
  EXPECT_EQ(first.count, 1U);
  EXPECT_EQ(first.ttl_ms, 0U);
  EXPECT_EQ(run(acquire(kB, "y")).token, FencingToken(kEra + 2));
}

TEST_F(Locks, TryOfAHeldLockTellsTheHolder) {
  run(acquire(kA, "x", "worker"));
  std::uint64_t since_ms = now_ms;
  Answer refused = run(acquire(kB, "x"));
  EXPECT_EQ(refused.status, Status::timed_out);
  EXPECT_EQ(refused.holder, (HolderInfo{"a", "worker", since_ms}));
  EXPECT_EQ(table->stats().waiters, 0U);
}

TEST_F(Locks, TagsMakeDifferentOwnersOfOneClient) {
  EXPECT_EQ(run(acquire(kA, "x", "1")).status, Status::ok);
  EXPECT_EQ(run(acquire(kA, "x", "2")).status, Status::timed_out);
  EXPECT_EQ(run(release(kA, "x", {}, "2")).status, Status::not_held);
  EXPECT_EQ(run(release(kA, "x", {}, "1")).status, Status::ok);
}

TEST_F(Locks, AnyBytesAreANameAndSoAreNone) {
  std::string longest(kResourceBytesMax, '\xff');
  std::string with_zero("a\0b", 3);
  for (std::string_view name : {std::string_view(), std::string_view(with_zero), std::string_view(longest)}) {
    EXPECT_EQ(run(acquire(kA, name)).status, Status::ok);
    EXPECT_EQ(run(acquire(kB, name)).status, Status::timed_out);
  }
  EXPECT_EQ(run(acquire(kB, std::string_view("a\0c", 3))).status, Status::ok);
}

TEST_F(Locks, OwnerGetsItsLockAgainAtOnceWhateverWaits) {
  Answer first = run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  Answer again = run(acquire(kA, "x"));
  EXPECT_EQ(again.status, Status::ok);
  EXPECT_EQ(again.token, first.token);
  EXPECT_EQ(again.count, 2U);
  Answer one_less = run(release(kA, "x", first.token));
  EXPECT_EQ(one_less.count, 1U);
  EXPECT_EQ(effects.answers.size(), 1U) << "still held, nobody else is granted";
  EXPECT_EQ(run(release(kA, "x")).count, 0U);
  EXPECT_EQ(answer_to(kB, 1).status, Status::ok);
}

TEST_F(Locks, QueueIsServedInOrderOfArrival) {
  run(acquire(kA, "x"));
  Answer second = run(waiting(acquire(kB, "x")));
  EXPECT_EQ(second.status, Status::queued);
  EXPECT_EQ(second.position, 0U);
  EXPECT_EQ(second.holder.client_id, "a");
  EXPECT_EQ(run(waiting(acquire(kC, "x"))).position, 1U);
  run(release(kA, "x"));
  ASSERT_EQ(effects.answers.size(), 2U) << "the release, and one grant";
  EXPECT_EQ(answer_to(kB, 1).token, FencingToken(kEra + 2));
  run(release(kB, "x"));
  EXPECT_EQ(answer_to(kC, 1).token, FencingToken(kEra + 3));
}

TEST_F(Locks, ReadersShareAndAWriterInTheQueueHoldsLaterReadersBack) {
  EXPECT_EQ(run(shared(acquire(kA, "x"))).status, Status::ok);
  EXPECT_EQ(run(shared(acquire(kB, "x"))).status, Status::ok);
  EXPECT_EQ(run(waiting(acquire(kC, "x"))).status, Status::queued);
  EXPECT_EQ(run(shared(acquire(kA, "x", "late"))).status, Status::timed_out);
  EXPECT_EQ(run(waiting(shared(acquire(kA, "x", "late")))).position, 1U);
  EXPECT_EQ(run(waiting(shared(acquire(kB, "x", "late")))).position, 2U);
  run(release(kA, "x"));
  EXPECT_EQ(effects.answers.size(), 1U);
  run(release(kB, "x"));
  EXPECT_EQ(answer_to(kC, 1).status, Status::ok) << "the writer alone";
  EXPECT_EQ(effects.answers.size(), 2U);
  run(release(kC, "x"));
  EXPECT_EQ(effects.answers.size(), 3U) << "both readers at once";
  EXPECT_EQ(table->inspect("x", 9).holders.size(), 2U);
}

TEST_F(Locks, OnlyReaderUpgradesAtOnceWithANewToken) {
  Answer reader = run(shared(acquire(kA, "x")));
  run(waiting(acquire(kB, "x")));
  Answer writer = run(acquire(kA, "x"));
  EXPECT_EQ(writer.status, Status::ok);
  EXPECT_GT(writer.token, reader.token);
  EXPECT_EQ(writer.count, 2U);
  EXPECT_EQ(table->inspect("x", 0).holders[0].mode, LockMode::exclusive);
  EXPECT_EQ(run(release(kA, "x", writer.token)).count, 1U);
  EXPECT_EQ(run(release(kA, "x", writer.token)).count, 0U);
  EXPECT_EQ(answer_to(kB, 1).status, Status::ok);
}

TEST_F(Locks, WhatCrossesAnUpgradeStillNamesTheHoldByTheTokenBeforeIt) {
  Answer reader = run(leased(shared(acquire(kA, "x")), LeaseKind::capped));
  Answer writer = run(leased(acquire(kA, "x"), LeaseKind::capped));
  ASSERT_GT(writer.token, reader.token);
  Answer renewed = run(renew(kA, "x", reader.token));
  EXPECT_EQ(renewed.status, Status::ok);
  EXPECT_EQ(renewed.token, writer.token);
  EXPECT_EQ(run(release(kA, "x", reader.token)).count, 1U);
  EXPECT_EQ(run(release(kB, "x", reader.token)).cause, EndCause::never) << "of another owner";
  EXPECT_EQ(run(release(kA, "x", reader.token)).status, Status::ok);
  EXPECT_FALSE(held("x"));
  EXPECT_EQ(run(release(kA, "x", reader.token)).cause, EndCause::released);
}

TEST_F(Locks, UpgradedHoldThatExpiredIsExpiredByBothItsTokens) {
  Answer reader = run(leased(shared(acquire(kA, "x")), LeaseKind::detached));
  Answer writer = run(leased(acquire(kA, "x"), LeaseKind::detached));
  expire_hold(writer.token, "x");
  EXPECT_EQ(run(release(kA, "x", writer.token)).cause, EndCause::expired);
  EXPECT_EQ(run(release(kA, "x", reader.token)).cause, EndCause::expired);
}

TEST_F(Locks, UpgradeAmongReadersIsRefusedAndTellsOneOfThem) {
  run(shared(acquire(kA, "x")));
  run(shared(acquire(kB, "x")));
  Answer refused = run(waiting(acquire(kA, "x")));
  EXPECT_EQ(refused.status, Status::would_deadlock);
  EXPECT_EQ(refused.holder.client_id, "b");
  EXPECT_NE(refused.message.find("release"), std::string::npos);
  EXPECT_EQ(run(waiting(acquire(kB, "x"))).holder.client_id, "a");
}

TEST_F(Locks, WriterThatAsksForSharedStaysAWriter) {
  run(acquire(kA, "x"));
  Answer again = run(shared(acquire(kA, "x")));
  EXPECT_EQ(again.count, 2U);
  EXPECT_EQ(table->inspect("x", 0).holders[0].mode, LockMode::exclusive);
}

TEST_F(Locks, QueuedRequestOfAnOwnerThatHoldsByThenCountsIntoItsHold) {
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  run(waiting(acquire(kB, "x")));
  run(release(kA, "x"));
  EXPECT_EQ(answer_to(kB, 1).count, 1U);
  EXPECT_EQ(answer_to(kB, 2).count, 2U);
  EXPECT_EQ(answer_to(kB, 2).token, answer_to(kB, 1).token);
  EXPECT_EQ(table->stats().waiters, 0U);
}

TEST_F(Locks, QueuedUpgradeAmongReadersIsRefusedWhenItGetsToTheFront) {
  run(acquire(kA, "x"));
  run(waiting(shared(acquire(kB, "x"))));
  run(waiting(shared(acquire(kC, "x"))));
  run(waiting(acquire(kB, "x")));
  run(release(kA, "x"));
  EXPECT_EQ(answer_to(kB, 2).status, Status::would_deadlock);
  EXPECT_EQ(answer_to(kB, 2).holder.client_id, "c");
}

TEST_F(Locks, ReentrantAcquireNeedsTheSameKindOfLease) {
  run(acquire(kA, "x"));
  Answer refused = run(leased(acquire(kA, "x"), LeaseKind::capped));
  EXPECT_EQ(refused.status, Status::invalid_argument);
  EXPECT_NE(refused.message.find("session"), std::string::npos) << refused.message;
}

TEST_F(Locks, ReleaseOfWhatIsNotHeldTellsWhy) {
  struct Case {
    const char* what;
    FencingToken token;
    EndCause cause;
  };
  FencingToken released = run(acquire(kA, "x")).token;
  run(release(kA, "x"));
  FencingToken expired = run(leased(acquire(kA, "x"), LeaseKind::capped)).token;
  expire_hold(expired, "x");
  FencingToken of_other = run(acquire(kB, "x")).token;
  for (const Case& c :
       {Case{"no token", FencingToken(), EndCause::never},
        Case{"below the first era", FencingToken(7), EndCause::never},
        Case{"not given yet", FencingToken(of_other.value + 1), EndCause::never},
        Case{"of another owner", of_other, EndCause::never}, Case{"released", released, EndCause::released},
        Case{"expired", expired, EndCause::expired}}) {
    for (const Operation& op : {release(kA, "x", c.token), renew(kA, "x", c.token)}) {
      Answer answer = run(op);
      EXPECT_EQ(answer.status, Status::not_held) << c.what;
      EXPECT_EQ(answer.cause, c.cause) << c.what;
      EXPECT_FALSE(answer.message.empty()) << c.what;
    }
    EXPECT_EQ(table->check_renewal(renew(kA, "x", c.token)).cause, c.cause) << c.what;
  }
}

TEST_F(Locks, TokenMustMatchTheHoldWhenGiven) {
  FencingToken old = run(acquire(kA, "x")).token;
  run(release(kA, "x"));
  FencingToken token = run(acquire(kA, "x")).token;
  EXPECT_EQ(run(release(kA, "x", old)).cause, EndCause::released);
  Answer ok = run(release(kA, "x", token));
  EXPECT_EQ(ok.status, Status::ok);
  EXPECT_EQ(ok.token, token);
  EXPECT_EQ(ok.count, 0U);
}

TEST_F(Locks, DetachedHoldIsReachedByClientIdAndToken) {
  Operation take = leased(acquire(kA, "x", "job"), LeaseKind::detached, 60'000);
  take.client_id = "w7";
  Answer taken = run(take);
  EXPECT_EQ(taken.ttl_ms, 60'000U);
  EXPECT_EQ(table->inspect("x", 0).holders[0].client_id, "w7");
  EXPECT_EQ(run(release(kA, "x", taken.token, "job")).cause, EndCause::never) << "the owner is w7";
  close(kA);
  EXPECT_TRUE(held("x"));
  Operation give_back = release(kB, "x", taken.token, "job");
  give_back.client_id = "w7";
  EXPECT_EQ(run(give_back).status, Status::ok);
  EXPECT_FALSE(held("x"));
}

TEST_F(Locks, ClientIdReachesNoHoldThatLivesByASession) {
  run(acquire(kA, "x"));
  Operation steal = release(kB, "x");
  steal.client_id = "a";
  Answer refused = run(steal);
  EXPECT_EQ(refused.status, Status::not_held);
  EXPECT_EQ(refused.cause, EndCause::never);
  EXPECT_NE(refused.message.find("detached"), std::string::npos);
  EXPECT_TRUE(held("x"));
}

TEST_F(Locks, RenewalRestartsALeaseAndMayChangeItsLength) {
  FencingToken token = run(leased(acquire(kA, "x"), LeaseKind::detached, 30'000)).token;
  Operation longer = renew(kA, "x", token, 60'000);
  EXPECT_TRUE(table->renewal_needs_log(longer));
  Answer renewed = run(longer);
  EXPECT_EQ(renewed.status, Status::ok);
  EXPECT_EQ(renewed.ttl_ms, 60'000U);
  ASSERT_EQ(effects.timers.size(), 1U);
  EXPECT_EQ(effects.timers[0],
            (TimerEvent{TimerEvent::Kind::hold, true, 60'000, SessionId(), Sequence(), token, "x"}));
  EXPECT_FALSE(table->renewal_needs_log(longer)) << "it has that length now";
  EXPECT_FALSE(table->renewal_needs_log(renew(kA, "x", token)));
  std::uint64_t before = table->fingerprint();
  Answer checked = table->check_renewal(renew(kA, "x", token));
  EXPECT_EQ(checked.status, Status::ok);
  EXPECT_EQ(checked.ttl_ms, 60'000U);
  EXPECT_EQ(checked.token, token);
  EXPECT_EQ(checked.count, 1U);
  EXPECT_EQ(table->fingerprint(), before);
}

TEST_F(Locks, RenewalOfASessionBoundHoldSaysThatTheSessionRenewsIt) {
  FencingToken token = run(acquire(kA, "x")).token;
  EXPECT_FALSE(table->renewal_needs_log(renew(kA, "x", token, 5'000)));
  Answer renewed = run(renew(kA, "x", token));
  EXPECT_EQ(renewed.status, Status::ok);
  EXPECT_EQ(renewed.ttl_ms, 0U);
  EXPECT_TRUE(effects.timers.empty());
}

TEST_F(Locks, ReentrantAcquireMakesALeaseLongerNeverShorter) {
  run(leased(acquire(kA, "x"), LeaseKind::capped, 30'000));
  EXPECT_EQ(run(leased(acquire(kA, "x"), LeaseKind::capped, 5'000)).ttl_ms, 30'000U);
  ASSERT_EQ(effects.timers.size(), 1U);
  EXPECT_EQ(effects.timers[0].duration_ms, 30'000U);
  EXPECT_EQ(run(leased(acquire(kA, "x"), LeaseKind::capped, 45'000)).ttl_ms, 45'000U);
}

TEST_F(Locks, ExpiredHoldIsGoneHoweverOftenItWasTakenAndTheQueueMoves) {
  FencingToken token = run(leased(acquire(kA, "x"), LeaseKind::capped)).token;
  run(leased(acquire(kA, "x"), LeaseKind::capped));
  run(waiting(acquire(kB, "x")));
  expire_hold(FencingToken(token.value + 1), "x");
  expire_hold(token, "y");
  EXPECT_TRUE(effects.answers.empty());
  expire_hold(token, "x");
  EXPECT_EQ(answer_to(kB, 1).status, Status::ok);
  EXPECT_EQ(run(release(kA, "x", token)).cause, EndCause::expired);
}

TEST_F(Locks, SessionBoundHoldsHaveNoLeaseToExpire) {
  FencingToken token = run(acquire(kA, "x")).token;
  expire_hold(token, "x");
  EXPECT_TRUE(held("x"));
}

TEST_F(Locks, HistoryOfExpiredTokensIsBounded) {
  FencingToken first = run(leased(acquire(kA, "x"), LeaseKind::capped)).token;
  expire_hold(first, "x");
  EXPECT_EQ(run(release(kA, "x", first)).cause, EndCause::expired);
  for (int i = 0; i < 16'384; ++i) {
    Operation op = leased(acquire(kA, "x"), LeaseKind::capped);
    op.acked_below = Sequence(last_sequence[kA] + 1);
    expire_hold(run(op).token, "x");
  }
  EXPECT_EQ(run(release(kA, "x", first)).cause, EndCause::released);
}

TEST_F(Locks, WaiterThatTimesOutIsNeverGranted) {
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  ASSERT_EQ(effects.timers.size(), 1U);
  EXPECT_EQ(effects.timers[0],
            (TimerEvent{TimerEvent::Kind::wait, true, 5'000, kB, Sequence(1), FencingToken(), "x"}));
  expire_wait(kB, Sequence(1), "x");
  EXPECT_EQ(answer_to(kB, 1).status, Status::timed_out);
  EXPECT_EQ(answer_to(kB, 1).holder.client_id, "a");
  run(release(kA, "x"));
  EXPECT_EQ(effects.answers.size(), 1U);
  EXPECT_EQ(table->stats().locks_held, 0U);
  expire_wait(kB, Sequence(1), "x");
  EXPECT_TRUE(effects.answers.empty());
}

TEST_F(Locks, WaitForEverHasNoDeadline) {
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x"), kWaitForeverMs));
  EXPECT_TRUE(effects.timers.empty());
}

TEST_F(Locks, WaiterThatGoesLetsThoseBehindItMoveUp) {
  run(shared(acquire(kA, "x")));
  run(waiting(acquire(kB, "x")));
  run(waiting(shared(acquire(kC, "x"))));
  expire_wait(kB, Sequence(1), "x");
  EXPECT_EQ(answer_to(kC, 1).status, Status::ok);
}

TEST_F(Locks, CancelledWaitIsNeverGranted) {
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  EXPECT_EQ(run(cancel(kB, 1, "x")).status, Status::cancelled);
  EXPECT_EQ(answer_to(kB, 1).status, Status::cancelled);
  run(release(kA, "x"));
  EXPECT_FALSE(held("x"));
}

TEST_F(Locks, CancelThatComesTooLateTellsTheHold) {
  Answer granted = run(acquire(kA, "x"));
  Answer late = run(cancel(kA, 1, "x"));
  EXPECT_EQ(late.status, Status::ok);
  EXPECT_EQ(late.token, granted.token);
  EXPECT_EQ(late.count, 1U);

  run(waiting(acquire(kB, "x")));
  run(release(kA, "x"));
  Operation acked = cancel(kB, 1, "x");
  acked.acked_below = Sequence(2);
  EXPECT_EQ(run(acked).token, FencingToken(kEra + 2)) << "found by its hold when the answer is forgotten";
  run(release(kB, "x"));
  EXPECT_EQ(run(cancel(kB, 1, "x")).status, Status::cancelled) << "nothing is held any more";
}

TEST_F(Locks, CancelOfAnAcquireThatCountedIntoAHoldTellsTheHold) {
  run(acquire(kA, "x"));
  Answer again = run(acquire(kA, "x"));
  Answer late = run(cancel(kA, 2, "x"));
  EXPECT_EQ(late.status, Status::ok);
  EXPECT_EQ(late.token, again.token);
  EXPECT_EQ(late.count, 2U);
}

TEST_F(Locks, CancelBeforeItsAcquirePreventsIt) {
  Operation early = cancel(kA, 1, "x");
  early.sequence = Sequence(2);
  EXPECT_EQ(run(early).status, Status::cancelled);
  Operation late = acquire(kA, "x");
  late.sequence = Sequence(1);
  EXPECT_EQ(run(late).status, Status::cancelled);
  EXPECT_FALSE(held("x"));
}

TEST_F(Locks, BadRequestsAreRefusedWithTheLimit) {
  std::string too_long(kResourceBytesMax + 1, 'x');
  std::string long_id(kClientIdBytesMax + 1, 'i');
  struct Case {
    Operation op;
    const char* in_message;
  };
  Operation bad_mode = acquire(kA, "x");
  bad_mode.mode = static_cast<LockMode>(9);
  Operation bad_lease = acquire(kA, "x");
  bad_lease.lease = static_cast<LeaseKind>(9);
  Operation bad_kind = simple(static_cast<OperationKind>(99), kA, "x");
  Operation named_session_hold = acquire(kA, "x");
  named_session_hold.client_id = "w7";
  Operation long_client = release(kA, "x");
  long_client.client_id = long_id;
  const Case cases[] = {
      {acquire(kA, too_long), "4096"},
      {release(kA, too_long), "4096"},
      {acquire(kA, "x", long_id), "128"},
      {long_client, "128"},
      {bad_mode, "exclusive or shared"},
      {bad_lease, "session, detached or capped"},
      {bad_kind, "not known"},
      {named_session_hold, "detached"},
      {leased(acquire(kA, "x"), LeaseKind::session, 5'000), "no lease of its own"},
      {leased(acquire(kA, "x"), LeaseKind::detached, 0), "lease 0 is below the minimum 1s"},
      {leased(acquire(kA, "x"), LeaseKind::detached, 999), "lease 999ms is below the minimum 1s"},
      {leased(acquire(kA, "x"), LeaseKind::capped, 3'600'001), "lease 1h1ms is above the maximum 1h"},
      {renew(kA, "x", {}, 500), "lease 500ms is below the minimum 1s"},
      {cancel(kA, 0, "x"), "cancel"},
      {cancel(kA, 1'000, "x"), "cancel"},
  };
  for (const Case& c : cases) {
    Answer answer = run(c.op);
    EXPECT_EQ(answer.status, Status::invalid_argument) << c.in_message;
    EXPECT_NE(answer.message.find(c.in_message), std::string::npos) << answer.message;
  }
  EXPECT_EQ(table->stats().locks_held, 0U);
  EXPECT_FALSE(table->renewal_needs_log(renew(kA, too_long, {}, 5'000)));
  EXPECT_EQ(table->check_renewal(renew(kA, too_long)).status, Status::invalid_argument);
}

TEST_F(Locks, OperationWithoutANumberIsRefused) {
  apply(acquire(kA, "x"));
  ASSERT_EQ(effects.answers.size(), 1U);
  EXPECT_EQ(effects.answers[0].status, Status::invalid_argument);
}

TEST_F(Locks, HundredThousandWaitersOnOneLockAreGrantedAndCancelledInOrder) {
  constexpr std::uint64_t kWaiters = 100'000;
  run(acquire(kA, "x"));
  for (std::uint64_t i = 1; i <= kWaiters; ++i) {
    std::string tag = std::to_string(i);
    Operation op = waiting(acquire(kB, "x", tag));
    op.acked_below = Sequence(i);
    ASSERT_EQ(run(op).position, i - 1);
  }
  for (std::uint64_t i = 2; i <= kWaiters; i += 2) {
    Operation op = cancel(kB, i, "x");
    op.acked_below = Sequence(kWaiters);
    ASSERT_EQ(run(op).status, Status::cancelled);
  }
  EXPECT_EQ(table->stats().waiters, kWaiters / 2);
  run(release(kA, "x"));
  for (std::uint64_t i = 1; i <= kWaiters; i += 2) {
    ASSERT_EQ(answer_to(kB, i).status, Status::ok);
    std::string tag = std::to_string(i);
    Operation op = release(kB, "x", {}, tag);
    op.acked_below = Sequence(last_sequence[kB]);
    run(op);
  }
  EXPECT_EQ(table->stats().waiters, 0U);
  EXPECT_FALSE(held("x"));
}

TEST_F(Locks, ManyReadersComeAndGoOnOneLock) {
  constexpr std::uint64_t kReaders = 20'000;
  for (std::uint64_t i = 1; i <= kReaders; ++i) {
    std::string tag = std::to_string(i);
    Operation op = leased(shared(acquire(kA, "x", tag)), LeaseKind::capped);
    op.acked_below = Sequence(i);
    ASSERT_EQ(run(op).status, Status::ok);
  }
  EXPECT_EQ(table->inspect("x", 0).holders.size(), kReaders);
  for (std::uint64_t i = kReaders; i > kReaders / 2; --i) expire_hold(FencingToken(kEra + i), "x");
  for (std::uint64_t i = 1; i <= kReaders / 2; ++i) {
    std::string tag = std::to_string(i);
    ASSERT_EQ(run(release(kA, "x", FencingToken(kEra + i), tag)).status, Status::ok);
  }
  EXPECT_FALSE(held("x"));
}

}  // namespace
}  // namespace dlm::server
