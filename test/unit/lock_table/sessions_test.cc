// The life of sessions, epochs, and ownership of arcs.
#include "coordinator/core/ring.h"
#include "test/unit/lock_table/table_rig.h"

namespace dlm::server {
namespace {

using Sessions = LockTableTest;
constexpr SessionId kNew{0x90000};

TEST_F(Sessions, OpeningIsIdempotentAndRestartsTheTtl) {
  for (int i = 0; i < 2; ++i) {
    Answer opened = open(kNew, "n", 20'000);
    EXPECT_EQ(opened.status, Status::ok);
    EXPECT_EQ(opened.ttl_ms, 20'000U);
    ASSERT_EQ(effects.timers.size(), 1U);
    EXPECT_EQ(effects.timers[0],
              (TimerEvent{TimerEvent::Kind::session, true, 20'000, kNew, Sequence(), FencingToken(), ""}));
  }
  EXPECT_EQ(table->session_ttl_ms(kNew), 20'000U);
  EXPECT_EQ(table->session_status(kNew), Status::ok);
  EXPECT_EQ(table->stats().sessions, 4U);
}

TEST_F(Sessions, OpeningOutsideOfALimitIsRefusedWithTheLimit) {
  std::string long_id(kClientIdBytesMax + 1, 'i');
  EXPECT_EQ(open(kNew, "n", 500).message, "session TTL 500ms is below the minimum 1s");
  EXPECT_EQ(open(kNew, "n", 3'600'001).message, "session TTL 1h1ms is above the maximum 1h");
  EXPECT_EQ(open(kNew, "").status, Status::invalid_argument);
  EXPECT_NE(open(kNew, long_id).message.find("128"), std::string::npos);
  EXPECT_EQ(open(SessionId(), "n").status, Status::invalid_argument);
  EXPECT_EQ(table->session_status(kNew), Status::session_unknown);
}

TEST_F(Sessions, SecondClientWithTheSameIdIsRefused) {
  Answer refused = open(kNew, "a");
  EXPECT_EQ(refused.status, Status::client_id_in_use);
  EXPECT_EQ(refused.holder.client_id, "a");
  EXPECT_NE(refused.message.find("use another id"), std::string::npos);
  EXPECT_EQ(open(kA, "other").status, Status::client_id_in_use);
  close(kA);
  EXPECT_EQ(open(kNew, "a").status, Status::ok);
}

TEST_F(Sessions, TheNextGenerationEndsTheOneBeforeAndNeverTheOtherWayRound) {
  const SessionId next(kA.value + 1);
  EXPECT_EQ(run(acquire(kA, "x")).status, Status::ok);
  EXPECT_EQ(run(waiting(acquire(kB, "x"))).status, Status::queued);
  EXPECT_EQ(open(next, "b").status, Status::client_id_in_use) << "another client's";
  EXPECT_EQ(open(next, "a").status, Status::ok);
  EXPECT_EQ(table->session_status(kA), Status::session_expired);
  EXPECT_EQ(table->inspect("x", 10).holders.at(0).client_id, "b") << "what nobody relies on has ended";
  EXPECT_EQ(open(kA, "a").status, Status::session_expired);
  EXPECT_EQ(table->session_status(next), Status::ok);
}

TEST_F(Sessions, OperationsOfUnknownAndEndedSessionsAreToldApart) {
  EXPECT_EQ(run(acquire(kNew, "x")).status, Status::session_unknown);
  EXPECT_EQ(close(kNew).status, Status::session_unknown);
  expire_session(kA);
  EXPECT_EQ(run(acquire(kA, "x")).status, Status::session_expired);
  EXPECT_EQ(table->check_renewal(renew(kA, "x")).status, Status::session_expired);
  EXPECT_EQ(open(kA, "a").status, Status::session_expired) << "dead ids never come back";
  EXPECT_EQ(close(kA).status, Status::session_expired);
  EXPECT_EQ(table->session_status(kA), Status::session_expired);
  EXPECT_EQ(table->session_ttl_ms(kA), 0U);
}

TEST_F(Sessions, TombstoneIsDroppedWhenItIsForgotten) {
  expire_session(kA);
  ASSERT_EQ(effects.timers.size(), 2U);
  EXPECT_EQ(effects.timers[1],
            (TimerEvent{TimerEvent::Kind::tombstone, true, 3'600'000, kA, Sequence(), FencingToken(), ""}));
  apply(simple(OperationKind::forget_session, kA, {}));
  EXPECT_EQ(table->session_status(kA), Status::session_unknown);
  apply(simple(OperationKind::forget_session, kB, {}));
  EXPECT_EQ(table->session_status(kB), Status::ok) << "a live session is no tombstone";
}

TEST_F(Sessions, EndTakesSessionBoundAndCappedHoldsAndWaitsAndLeavesDetachedOnes) {
  FencingToken bound = run(acquire(kA, "bound")).token;
  FencingToken capped = run(leased(acquire(kA, "capped"), LeaseKind::capped)).token;
  FencingToken detached = run(leased(acquire(kA, "detached"), LeaseKind::detached)).token;
  run(acquire(kB, "busy"));
  run(waiting(acquire(kA, "busy")));
  run(waiting(acquire(kC, "bound")));
  run(waiting(acquire(kC, "busy")));
  expire_session(kA);
  EXPECT_EQ(answer_to(kA, 4).status, Status::session_expired) << "the wait";
  EXPECT_EQ(answer_to(kC, 1).status, Status::ok) << "moved up on 'bound'";
  EXPECT_EQ(effects.answers.size(), 2U);
  EXPECT_FALSE(held("capped"));
  EXPECT_TRUE(held("detached"));
  Operation release_detached = release(kB, "detached", detached);
  release_detached.client_id = "a";
  EXPECT_EQ(run(release_detached).status, Status::ok);
  for (FencingToken token : {bound, capped})
    EXPECT_EQ(run(release(kB, "capped", token)).status, Status::not_held);
  EXPECT_EQ(run(release(kB, "capped", capped)).cause, EndCause::expired);
  run(release(kB, "busy"));
  EXPECT_EQ(answer_to(kC, 2).status, Status::ok) << "the dead session's wait is not before it";
}

TEST_F(Sessions, OrderlyCloseReleases) {
  FencingToken token = run(acquire(kA, "x")).token;
  run(acquire(kB, "y"));
  run(waiting(acquire(kA, "y")));
  run(waiting(acquire(kC, "x")));
  EXPECT_EQ(close(kA).status, Status::ok);
  EXPECT_EQ(answer_to(kA, 2).status, Status::cancelled);
  EXPECT_EQ(answer_to(kC, 1).status, Status::ok);
  EXPECT_EQ(run(release(kC, "y", token)).cause, EndCause::released);
  EXPECT_EQ(close(kA).status, Status::ok) << "a repeat";
  EXPECT_EQ(run(acquire(kA, "x")).status, Status::session_expired);
}

TEST_F(Sessions, HoldThatSurvivedItsSessionIsTakenAgainByTheClientsNextOne) {
  FencingToken token = run(leased(acquire(kA, "x"), LeaseKind::detached)).token;
  close(kA);
  open(kNew, "a");
  Answer again = run(leased(acquire(kNew, "x"), LeaseKind::detached));
  EXPECT_EQ(again.status, Status::ok);
  EXPECT_EQ(again.token, token);
  EXPECT_EQ(again.count, 2U);
  close(kNew);
  EXPECT_TRUE(held("x"));
  expire_hold(token, "x");
  EXPECT_FALSE(held("x"));
}

TEST_F(Sessions, ToldWhenTheirWaitsEndInOrderOfSequence) {
  run(acquire(kB, "x"));
  run(acquire(kB, "y"));
  for (const char* name : {"y", "x", "y"}) run(waiting(acquire(kA, name, "t")));
  expire_session(kA);
  ASSERT_EQ(effects.answers.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(effects.answers[i].sequence, Sequence(i + 1));
}

TEST(Epochs, TableWithoutArcsOwnsNothing) {
  LockTable table;
  EXPECT_FALSE(table.owns("x"));
  EXPECT_FALSE(table.owns(""));
}

TEST(Epochs, OtherArcsAreAnsweredMovedAndNotRemembered) {
  TableRig rig;
  rig.open(kA, "a");
  std::uint64_t here = coordinator::hash_of("here");
  OwnedArc arc{here, here};
  std::string one = encode_arcs({&arc, 1});
  rig.apply(start_epoch(1, one));
  EXPECT_TRUE(rig.table->owns("here"));
  EXPECT_FALSE(rig.table->owns("there"));
  EXPECT_EQ(rig.run(TableRig::acquire(kA, "here")).status, Status::ok);
  Operation there = TableRig::acquire(kA, "there");
  there.sequence = Sequence(50);
  EXPECT_EQ(rig.run(there).status, Status::moved);
  EXPECT_EQ(rig.table->check_renewal(TableRig::renew(kA, "there")).status, Status::moved);
  std::string all = all_arcs();
  rig.apply(start_epoch(1, all));
  EXPECT_EQ(rig.run(there).status, Status::ok);
  std::string none = encode_arcs({});
  rig.apply(start_epoch(1, none));
  EXPECT_FALSE(rig.table->owns("here"));
}

TEST(Epochs, DamagedArcsChangeNothing) {
  TableRig rig;
  for (std::string_view bad :
       {std::string_view("junk"), std::string_view("\x01\x05", 2), std::string_view("\x01\x05\x04", 3),
        std::string_view("\x01\x01\x05\x05\x06", 5), std::string_view("\x02\x01\x05", 3)}) {
    rig.apply(start_epoch(1, bad));
    EXPECT_TRUE(rig.table->owns("x"));
  }
}

TEST(Epochs, LimitsComeWithTheFirstEntryAndStayUntilOthersCome) {
  LockTableLimits limits;
  limits.holds_per_client_max = 1;
  TableRig rig(limits);
  EXPECT_EQ(rig.table->limits(), limits);
  rig.open(kA, "a");
  EXPECT_EQ(rig.run(TableRig::acquire(kA, "x")).status, Status::ok);
  EXPECT_EQ(rig.run(TableRig::acquire(kA, "y")).status, Status::over_quota);
  rig.apply(start_epoch(1, {}));
  EXPECT_EQ(rig.table->limits(), limits);

  limits.holds_per_client_max = 2;
  const std::string more = encode_limits(limits);
  Operation start = start_epoch(1, {});
  start.owner_tag = more;
  rig.apply(start);
  EXPECT_EQ(rig.run(TableRig::acquire(kA, "y")).status, Status::ok);
}

TEST(Epochs, LimitsArePartOfTheState) {
  LockTableLimits limits;
  limits.sessions_max = 7;
  TableRig rig(limits);
  EXPECT_NE(rig.table->fingerprint(), TableRig().table->fingerprint());
  const std::unique_ptr<LockTable> copy = restored(chunks_of(*rig.table->snapshot(), 100));
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->limits(), limits);
  EXPECT_EQ(copy->fingerprint(), rig.table->fingerprint());
}

TEST(Epochs, DamagedLimitsChangeNothing) {
  LockTableLimits limits;
  limits.sessions_max = 7;
  TableRig rig(limits);
  const std::string good = encode_limits(limits);
  LockTableLimits none, upside_down;
  none.holds_per_sweep = 0;
  upside_down.lease_ms_min = upside_down.lease_ms_max + 1;
  for (const std::string& bad : {std::string("junk"), good + "\x01", good.substr(0, good.size() - 1),
                                 good.substr(1), encode_limits(none), encode_limits(upside_down)}) {
    Operation start = start_epoch(1, {});
    start.owner_tag = bad;
    rig.apply(start);
    EXPECT_EQ(rig.table->limits(), limits);
  }
}

TEST(Epochs, NewEraRaisesTokensAndAnOlderOneDoesNot) {
  TableRig rig;
  rig.open(kA, "a");
  EXPECT_EQ(rig.run(TableRig::acquire(kA, "1")).token, FencingToken(kEra + 1));
  rig.apply(start_epoch(1, {}));
  EXPECT_EQ(rig.run(TableRig::acquire(kA, "2")).token, FencingToken(kEra + 2));
  rig.apply(start_epoch(3, {}));
  EXPECT_EQ(rig.run(TableRig::acquire(kA, "3")).token, FencingToken(3 * kEra + 1));
  rig.apply(start_epoch(2, {}));
  EXPECT_EQ(rig.run(TableRig::acquire(kA, "4")).token, FencingToken(3 * kEra + 2));
}

}  // namespace
}  // namespace dlm::server
