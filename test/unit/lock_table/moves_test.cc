// Arcs that go from one group's table to another's, with all that belongs to them.
#include "test/unit/lock_table/moves_rig.h"

namespace dlm::server {
namespace {

TEST_F(Moves, HoldersAndWaitersGoWithTheirOrderTokensAndCounts) {
  const Answer first = run(acquire(kA, "x"));
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  run(waiting(acquire(kC, "x")));
  move_all();
  EXPECT_FALSE(held("x"));
  EXPECT_EQ(table->stats().waiters, 0U);
  LockReport lock = to.table->inspect("x", 10);
  ASSERT_EQ(lock.holders.size(), 1U);
  EXPECT_EQ(lock.holders[0].client_id, "a");
  EXPECT_EQ(lock.holders[0].token, first.token);
  EXPECT_EQ(lock.holders[0].count, 2U);
  ASSERT_EQ(lock.waiters.size(), 2U);
  EXPECT_EQ(lock.waiters[0].client_id, "b");
  EXPECT_EQ(lock.waiters[1].client_id, "c");

  again(release(kA, "x"), 3);
  again(release(kA, "x"), 4);
  const Answer granted = to.answer_to(kB, 1);
  EXPECT_EQ(granted.status, Status::ok);
  EXPECT_GT(granted.token, first.token);
}

TEST_F(Moves, WhoWaitsIsToldToAskTheOtherGroupAndFindsItsPlaceThere) {
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  const Effects& given = give();
  ASSERT_EQ(given.answers.size(), 1U);
  EXPECT_EQ(given.answers[0].status, Status::moved);
  EXPECT_EQ(given.answers[0].session, kB);
  take();
  const Answer repeat = again(waiting(acquire(kB, "x")), 1);
  EXPECT_EQ(repeat.status, Status::queued);
  EXPECT_EQ(repeat.position, 0U);
  EXPECT_EQ(to.table->stats().waiters, 1U);
}

TEST_F(Moves, WhatWasQueuedAndAcknowledgedIsNotStaleAtTheGroupThatGaveItAway) {
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  give();
  Operation repeat = waiting(acquire(kB, "x"));
  repeat.sequence = Sequence(1);
  repeat.acked_below = Sequence(2);
  EXPECT_EQ(run(repeat).status, Status::moved);
}

TEST_F(Moves, DeadlinesEndHereAndBeginAnewThere) {
  run(leased(acquire(kA, "x"), LeaseKind::detached));
  run(waiting(acquire(kB, "x")));
  const Effects& gone = give();
  std::size_t stopped = 0;
  for (const TimerEvent& event : gone.timers) stopped += !event.start;
  EXPECT_EQ(stopped, 2U);
  const Effects& come = take();
  EXPECT_EQ(starts(come, TimerEvent::Kind::hold), 1U);
  EXPECT_EQ(starts(come, TimerEvent::Kind::wait), 1U);
  EXPECT_EQ(starts(come, TimerEvent::Kind::session), 2U);
}

TEST_F(Moves, OnlyTheArcGoes) {
  for (int i = 0; i < 100; ++i) run(acquire(kA, "lock/" + std::to_string(i)));
  const OwnedArc half{0, UINT64_MAX / 2};
  give(half);
  take();
  std::size_t here = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string name = "lock/" + std::to_string(i);
    const bool in_arc = NameKey(name).hash <= half.end;
    EXPECT_EQ(held(name), !in_arc) << name;
    EXPECT_EQ(to.held(name), in_arc) << name;
    EXPECT_EQ(table->owns(name), !in_arc);
    EXPECT_EQ(to.table->owns(name), in_arc);
    here += !in_arc;
  }
  EXPECT_EQ(table->stats().locks_held, here);
  EXPECT_EQ(run(acquire(kB, "lock/0")).status, table->owns("lock/0") ? Status::timed_out : Status::moved);
}

TEST_F(Moves, AnswersKeptForRetriesGoAlongAndStayBehind) {
  const Answer granted = run(acquire(kA, "x"));
  run(release(kA, "x", granted.token));
  move_all();
  for (TableRig* rig : {static_cast<TableRig*>(this), &to}) {
    Operation repeat = acquire(kA, "x");
    repeat.sequence = Sequence(1);
    EXPECT_EQ(rig->run(repeat).token, granted.token);
    EXPECT_FALSE(rig->held("x"));
    Operation release_again = release(kA, "x", granted.token);
    release_again.sequence = Sequence(2);
    EXPECT_EQ(rig->run(release_again).status, Status::ok);
  }
}

TEST_F(Moves, AnEndedWaitIsStillKnown) {
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  expire_wait(kB, Sequence(1), "x");
  Operation beat = simple(OperationKind::heartbeat, kB, {});
  beat.acked_below = Sequence(2);
  apply(beat);
  move_all();
  EXPECT_EQ(again(waiting(acquire(kB, "x")), 1).status, Status::timed_out);
}

TEST_F(Moves, ARefusalTellsTheHolderAfterTheMove) {
  run(acquire(kA, "x", "tag"));
  run(acquire(kB, "x"));
  move_all();
  const Answer repeat = again(acquire(kB, "x"), 1);
  EXPECT_EQ(repeat.status, Status::timed_out);
  EXPECT_EQ(repeat.holder.client_id, "a");
  EXPECT_EQ(repeat.holder.owner_tag, "tag");
}

TEST_F(Moves, ARepeatedTransferChangesNothing) {
  run(acquire(kA, "x"));
  move_all();
  again(release(kA, "x"), 2);
  const std::uint64_t before = to.table->fingerprint();
  EXPECT_TRUE(to.table->has_received(kSource, table->outgoing().front().number));
  take();
  EXPECT_EQ(to.table->fingerprint(), before);
  EXPECT_FALSE(to.held("x"));
}

TEST_F(Moves, WhatHasArrivedIsForgottenByTheGroupThatGaveIt) {
  give();
  ASSERT_EQ(table->outgoing().size(), 1U);
  Operation done;
  done.kind = OperationKind::move_done;
  done.target = Sequence(table->outgoing().front().number);
  apply(done);
  EXPECT_TRUE(table->outgoing().empty());
  EXPECT_TRUE(table->arcs().empty());
}

TEST_F(Moves, AHeartbeatsAnswerCanTellWhereHoldsWent) {
  run(acquire(kA, "x"));
  EXPECT_TRUE(table->moved_to(kA).empty());
  give();
  EXPECT_EQ(table->moved_to(kA), std::vector<GroupId>{kDestination});
  EXPECT_TRUE(table->moved_to(kB).empty());
}

TEST_F(Moves, HoldsJoinTheSessionThatTheClientHasThere) {
  to.open(kA.next(), "a", 20'000);
  run(acquire(kA, "x"));
  move_all();
  EXPECT_EQ(to.table->stats().sessions, 1U);
  EXPECT_EQ(to.table->live_session(kA.next()), kA.next());
  EXPECT_EQ(to.table->session_ttl_ms(kA.next()), 20'000U);
  to.expire_session(kA.next());
  EXPECT_FALSE(to.held("x"));
}

TEST_F(Moves, AnAdoptedSessionGoesByTheGenerationThatTheClientIsAt) {
  run(acquire(kA, "x"));
  run(acquire(kB, "y"));
  run(waiting(acquire(kA, "y")));
  move_all();
  const SessionId later = kA.next().next();
  EXPECT_EQ(to.table->session_status(later), Status::ok);
  EXPECT_EQ(to.table->live_session(later), kA);
  EXPECT_EQ(to.open(later, "a").status, Status::ok);
  EXPECT_EQ(to.table->live_session(later), later);
  EXPECT_EQ(to.table->session_status(kA), Status::session_unknown);
  EXPECT_TRUE(to.held("x"));
  Operation give_up = release(kB, "y");
  give_up.sequence = Sequence(9);
  to.run(give_up);
  EXPECT_EQ(to.answer_to(later, 2).status, Status::ok);
}

// Its locks name it by its id, and are written after it.
TEST_F(Moves, ASnapshotIsOfItsMomentThoughAnAdoptedSessionGetsAnotherId) {
  run(acquire(kA, "x"));
  run(acquire(kB, "y"));
  run(waiting(acquire(kA, "y")));
  move_all();
  const std::uint64_t then = to.table->fingerprint();
  const auto writer = to.table->snapshot();
  to.open(kA.next(), "a");     // before any of it was handed out
  again(release(kB, "y"), 9);  // changes a lock, so that its image is made with the new id in force
  std::vector<std::string> chunks(1);
  while (writer->next(100, chunks.back())) chunks.emplace_back();
  const std::unique_ptr<LockTable> copy = restored(chunks);
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->fingerprint(), then);
}

TEST_F(Moves, AnAdoptedSessionThatEndsUnheardLeavesTheIdUsable) {
  run(acquire(kA, "x"));
  move_all();
  to.expire_session(kA);
  EXPECT_FALSE(to.held("x"));
  EXPECT_EQ(to.open(kA, "a").status, Status::ok);
}

TEST_F(Moves, ASessionThatWasSpokenToEndsLikeAnyOther) {
  run(acquire(kA, "x"));
  move_all();
  again(acquire(kA, "x"), 7);
  to.expire_session(kA);
  EXPECT_EQ(to.open(kA, "a").status, Status::session_expired);
}

// Two processes with one client id, in different groups until the arc moved.
TEST_F(Moves, TheNextGenerationEndsOneThatCameBesideAnotherSessionOfTheClient) {
  const SessionId other(0x770000);
  to.open(other, "a");
  run(acquire(kA, "x"));
  move_all();
  EXPECT_EQ(to.open(kA, "a").status, Status::ok);
  to.expire_session(other);
  EXPECT_TRUE(to.held("x"));
  EXPECT_EQ(to.open(kA.next(), "a").status, Status::ok);
  EXPECT_FALSE(to.held("x"));
  EXPECT_EQ(to.table->stats().sessions, 1U);
}

TEST_F(Moves, AHoldOfAnotherProcessWithTheSameClientIdIsNotOnesOwn) {
  const SessionId other(0x770000);
  to.open(other, "a");
  const Answer granted = run(acquire(kA, "x"));
  move_all();
  EXPECT_EQ(to.run(acquire(other, "x")).status, Status::timed_out);
  EXPECT_EQ(to.run(release(other, "x", granted.token)).cause, EndCause::never);
  const Answer waits = to.run(waiting(acquire(other, "x")));
  EXPECT_EQ(waits.status, Status::queued);
  EXPECT_EQ(again(acquire(kA, "x"), 7).count, 2U);
  to.expire_session(kA);
  EXPECT_EQ(to.answer_to(other, waits.sequence).count, 1U);
}

// A copy that was made from a snapshot keeps holds at other places than the table that it is of.
TEST_F(Moves, HoldsWithEqualTokensEndInTheSameOrderOnEveryReplica) {
  const OwnedArc low{0, UINT64_MAX / 2};
  const OwnedArc high{low.end + 1, UINT64_MAX};
  std::string ours;                 // in the low one
  std::vector<std::string> theirs;  // in the high one
  for (int i = 0; ours.empty() || theirs.size() < 2; ++i) {
    const std::string name = "n" + std::to_string(i);
    if (NameKey(name).hash <= low.end) {
      ours = name;
    } else {
      theirs.push_back(name);
    }
  }
  const std::string arcs = encode_arcs({&high, 1});
  to.apply(start_epoch(1, arcs));
  to.open(kA, "a");
  to.open(kB, "b");
  to.open(kC, "c");
  for (const char* other : {"1", "2"}) run(shared(acquire(kB, ours, other)));
  run(release(kB, ours, {}, "1"));
  run(release(kB, ours, {}, "2"));
  const Answer moved = run(acquire(kA, ours));

  to.run(shared(acquire(kB, theirs[0])));
  to.run(shared(acquire(kC, theirs[0])));
  to.run(release(kB, theirs[0]));
  const Answer own = to.run(acquire(kA, theirs[1]));  // where B's hold was
  ASSERT_EQ(moved.token, own.token);
  to.run(release(kC, theirs[0]));
  give(low);
  take();  // where the first lock and C's hold were

  TableRig copy;
  copy.table = restored(chunks_of(*to.table->snapshot(), 1'000));
  copy.now_ms = to.now_ms;
  to.expire_session(kA);
  copy.expire_session(kA);
  EXPECT_EQ(copy.table->fingerprint(), to.table->fingerprint());
}

TEST_F(Moves, TokensOfNamesFromDifferentGroupsMayBeEqual) {
  to.open(kB, "b");
  const OwnedArc low{0, UINT64_MAX / 2};
  std::string ours;
  std::string theirs;
  for (int i = 0; ours.empty() || theirs.empty(); ++i) {
    std::string name = "n" + std::to_string(i);
    (NameKey(name).hash <= low.end ? ours : theirs) = name;
  }
  const OwnedArc high{low.end + 1, UINT64_MAX};
  const std::string arcs = encode_arcs({&high, 1});
  to.apply(start_epoch(1, arcs));
  const Answer moved = run(leased(acquire(kA, ours), LeaseKind::detached));
  const Answer own = to.run(leased(acquire(kB, theirs), LeaseKind::detached));
  ASSERT_EQ(moved.token, own.token);
  give(low);
  take();
  to.expire_hold(own.token, theirs);
  EXPECT_FALSE(to.held(theirs));
  EXPECT_TRUE(to.held(ours));
  EXPECT_EQ(to.run(renew(kB, theirs, own.token)).cause, EndCause::expired);
  to.expire_hold(moved.token, ours);
  EXPECT_FALSE(to.held(ours));
}

TEST_F(Moves, TokensThereGoOnAboveAllThatWereGivenHere) {
  std::string none = encode_arcs({});
  apply(start_epoch(5, none));
  std::string all = all_arcs();
  apply(start_epoch(5, all));
  const Answer before = run(acquire(kA, "x"));
  run(release(kA, "x"));
  move_all();
  to.open(kB, "b");
  EXPECT_GT(to.run(acquire(kB, "x")).token, before.token);
}

TEST_F(Moves, ExpiredTokensAreStillToldAsSuch) {
  const Answer granted = run(leased(acquire(kA, "x"), LeaseKind::detached));
  expire_hold(granted.token, "x");
  move_all();
  to.open(kB, "b");
  EXPECT_EQ(to.run(renew(kB, "x", granted.token)).cause, EndCause::expired);
}

TEST_F(Moves, AnUpgradedHoldStillGoesByBothItsTokens) {
  const Answer reader = run(shared(acquire(kA, "x")));
  const Answer writer = run(acquire(kA, "x"));
  move_all();
  EXPECT_EQ(again(renew(kA, "x", reader.token), 8).token, writer.token);
  EXPECT_EQ(again(renew(kA, "x", writer.token), 9).token, writer.token);
}

TEST_F(Moves, ACancelThereEndsTheWaitThatCame) {
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  move_all();
  EXPECT_EQ(again(cancel(kB, 1, "x"), 2).status, Status::cancelled);
  EXPECT_EQ(to.table->stats().waiters, 0U);
}

TEST_F(Moves, BackAgainIsAsBefore) {
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  move_all();
  const std::string all = encode_arcs({&kAll, 1});
  Operation back = move_out(all);
  back.target = Sequence(kSource.value);
  to.apply(back);
  apply(move_in(to.table->outgoing().front(), kDestination));
  EXPECT_TRUE(held("x"));
  EXPECT_EQ(run(release(kA, "x")).status, Status::ok);
  EXPECT_EQ(answer_to(kB, 1).status, Status::ok);
}

TEST_F(Moves, WhatIsUnderWayIsPartOfTheSnapshot) {
  run(acquire(kA, "x"));
  run(waiting(acquire(kB, "x")));
  give();
  std::unique_ptr<LockTable> copy = restored(chunks_of(*table->snapshot(), 100));
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->fingerprint(), table->fingerprint());
  ASSERT_EQ(copy->outgoing().size(), 1U);
  EXPECT_EQ(*copy->outgoing()[0].state, *table->outgoing()[0].state);
  take();
  copy = restored(chunks_of(*to.table->snapshot(), 100));
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->fingerprint(), to.table->fingerprint());
  EXPECT_TRUE(copy->has_received(kSource, table->outgoing()[0].number));
}

TEST_F(Moves, AnArcThatIsNotOursIsNotGiven) {
  give({0, 100});
  const std::size_t before = table->outgoing().size();
  give({50, 150});
  EXPECT_EQ(table->outgoing().size(), before);
}

TEST_F(Moves, APieceHoldsAboutAsManyLocksAsAskedFor) {
  for (int i = 0; i < 1'000; ++i) run(acquire(kA, "lock/" + std::to_string(i)));
  EXPECT_EQ(table->piece_of(kAll, 1'000), kAll);
  const OwnedArc piece = table->piece_of(kAll, 100);
  EXPECT_EQ(piece.begin, 0U);
  give(piece);
  EXPECT_EQ(table->outgoing().front().locks, 100U);
}

TEST(Arcs, AreCutAndJoined) {
  std::vector<OwnedArc> arcs{{10, 20}};
  remove_arc(arcs, {12, 14});
  EXPECT_EQ(arcs, (std::vector<OwnedArc>{{10, 11}, {15, 20}}));
  EXPECT_FALSE(contains(arcs, {11, 15}));
  add_arc(arcs, {12, 14});
  EXPECT_EQ(arcs, (std::vector<OwnedArc>{{10, 20}}));
  add_arc(arcs, {0, 5});
  add_arc(arcs, {30, UINT64_MAX});
  EXPECT_EQ(arcs, (std::vector<OwnedArc>{{0, 5}, {10, 20}, {30, UINT64_MAX}}));
  remove_arc(arcs, {0, 5});
  add_arc(arcs, {5, 40});
  EXPECT_EQ(arcs, (std::vector<OwnedArc>{{5, UINT64_MAX}}));
}

}  // namespace
}  // namespace dlm::server
