// Sessions that end with more holds than go at once.
#include <gtest/gtest.h>

#include <algorithm>

#include "table_rig.h"

namespace dlm::server {
namespace {

Operation acquire(SessionId session, std::string_view resource, std::string_view tag = {}) {
  return TableRig::acquire(session, resource, tag);
}
Operation release(SessionId session, std::string_view resource, FencingToken token = {},
                  std::string_view tag = {}) {
  return TableRig::release(session, resource, token, tag);
}
Operation waiting(Operation op) {
  return TableRig::waiting(op);
}
constexpr SessionId kANext{0x10001};

LockTableLimits small_sweeps() {
  LockTableLimits limits;
  limits.holds_per_sweep = 4;
  limits.locks_per_sweep = 8;
  return limits;
}

std::string name(int i) {
  return "r" + std::to_string(i);
}

class SessionEnd : public ::testing::Test {
 protected:
  SessionEnd() : rig(small_sweeps()) {
    rig.open(kA, "a");
    rig.open(kB, "b");
    for (int i = 0; i < 20; ++i) tokens.push_back(rig.run(acquire(kA, name(i))).token);
  }
  // Whether the entry before asks for the next sweep at once.
  bool wants_another() const {
    return std::any_of(rig.effects.timers.begin(), rig.effects.timers.end(), [](const TimerEvent& event) {
      return event.kind == TimerEvent::Kind::session && event.start && event.duration_ms == 0;
    });
  }
  std::size_t held() const { return rig.table->stats().locks_held; }
  int sweep_to_the_end() {
    int entries = 1;
    for (; wants_another() && entries < 100; ++entries) rig.expire_session(kA);
    return entries;
  }

  TableRig rig;
  std::vector<FencingToken> tokens;
};

TEST_F(SessionEnd, OneWithManyHoldsGoesInSeveralEntriesOfBoundedWork) {
  rig.expire_session(kA);
  EXPECT_EQ(held(), 16U) << "four at a time";
  EXPECT_TRUE(wants_another());
  EXPECT_EQ(sweep_to_the_end(), 5);
  EXPECT_EQ(held(), 0U);
  EXPECT_EQ(rig.table->stats().sessions, 1U);
  const auto& timers = rig.effects.timers;
  EXPECT_TRUE(std::any_of(timers.begin(), timers.end(), [](const TimerEvent& event) {
    return event.kind == TimerEvent::Kind::tombstone && event.start && event.session == kA;
  }));
  rig.expire_session(kA);
  EXPECT_TRUE(rig.effects.timers.empty()) << "one entry too many does nothing";
}

TEST_F(SessionEnd, LocksOfOthersAreLookedAtInBoundedNumbersToo) {
  for (int i = 0; i < 40; ++i) rig.run(acquire(kB, "b" + std::to_string(i)));
  for (int i = 0; i < 15; ++i) rig.run(release(kA, name(i)));
  for (int i = 0; i < 15; ++i) rig.run(acquire(kA, "late" + std::to_string(i)));
  rig.expire_session(kA);
  EXPECT_GE(sweep_to_the_end(), 5);
  EXPECT_EQ(held(), 40U);
}

TEST_F(SessionEnd, AfterTheFirstEntryNothingOfItIsRenewedReleasedOrGranted) {
  rig.run(acquire(kB, "busy"));
  EXPECT_EQ(rig.run(waiting(acquire(kA, "busy"))).status, Status::queued);
  const Sequence waits = rig.last_sequence[kA] == 0 ? Sequence() : Sequence(rig.last_sequence[kA]);
  rig.expire_session(kA);
  EXPECT_EQ(rig.answer_to(kA, waits).status, Status::session_expired);
  ASSERT_TRUE(rig.held(name(19)));
  EXPECT_EQ(rig.table->session_status(kA), Status::session_expired);
  EXPECT_EQ(rig.table->session_ttl_ms(kA), 0U);
  EXPECT_FALSE(rig.table->live_session(kA));
  EXPECT_EQ(rig.run(TableRig::renew(kA, name(19), tokens[19])).status, Status::session_expired);
  EXPECT_EQ(rig.run(release(kA, name(19))).status, Status::session_expired);
  EXPECT_EQ(rig.run(acquire(kA, "new")).status, Status::session_expired);
  EXPECT_EQ(rig.open(kA, "a").status, Status::session_expired);
  rig.run(release(kB, "busy"));
  EXPECT_FALSE(rig.held("busy")) << "it is granted to nobody";
}

TEST_F(SessionEnd, TheNextSessionOfTheClientBeginsAtOnceAndWaitsForTheOldHolds) {
  rig.expire_session(kA);
  EXPECT_EQ(rig.open(kANext, "a").status, Status::ok);
  ASSERT_TRUE(rig.held(name(19)));
  EXPECT_EQ(rig.run(acquire(kANext, name(19))).status, Status::timed_out);
  EXPECT_EQ(rig.run(waiting(acquire(kANext, name(19)))).status, Status::queued);
  const Sequence waits(rig.last_sequence[kANext]);
  EXPECT_EQ(rig.run(release(kANext, name(19), tokens[19])).status, Status::not_held);
  Answer granted;
  for (rig.expire_session(kA); granted.status != Status::ok || !granted.token; rig.expire_session(kA)) {
    granted = rig.answer_to(kANext, waits);
    if (!wants_another()) break;
  }
  EXPECT_EQ(granted.status, Status::ok);
  EXPECT_GT(granted.token, tokens[19]);
}

TEST_F(SessionEnd, WaitersAreServedInTheirOrderAsTheHoldsGo) {
  rig.open(kC, "c");
  EXPECT_EQ(rig.run(waiting(acquire(kB, name(19)))).status, Status::queued);
  const Sequence first(rig.last_sequence[kB]);
  EXPECT_EQ(rig.run(waiting(acquire(kC, name(19)))).status, Status::queued);
  rig.expire_session(kA);
  bool granted = false;
  while (wants_another()) {
    rig.expire_session(kA);
    granted = granted || rig.answer_to(kB, first).status == Status::ok;
  }
  EXPECT_TRUE(granted);
  EXPECT_EQ(rig.table->inspect(name(19), 10).waiter_count, 1U);
}

TEST_F(SessionEnd, DetachedHoldsStay) {
  Operation op = acquire(kA, "stays");
  op.lease = LeaseKind::detached;
  op.lease_ms = 60'000;
  rig.run(op);
  rig.expire_session(kA);
  sweep_to_the_end();
  EXPECT_EQ(held(), 1U);
  EXPECT_TRUE(rig.held("stays"));
}

TEST_F(SessionEnd, ANewPrimaryGoesOnWithIt) {
  rig.expire_session(kA);
  bool found = false;
  rig.table->for_each_timer([&](const TimerEvent& event) {
    if (event.kind == TimerEvent::Kind::session && event.session == kA) found = event.duration_ms == 0;
  });
  EXPECT_TRUE(found) << "its LeaseClock gives the next entry at once";
}

TEST_F(SessionEnd, ASnapshotTakenInTheMiddleOfItGoesOnAlike) {
  rig.expire_session(kA);
  rig.open(kANext, "a");
  auto writer = rig.table->snapshot();
  rig.expire_session(kA);  // changes what is not written yet
  auto reader = LockTable::restore();
  std::string chunk;
  for (bool more = true; more;) {
    chunk.clear();
    more = writer->next(64, chunk);
    ASSERT_TRUE(reader->feed(chunk));
  }
  writer.reset();
  TableRig copy(small_sweeps());
  copy.table = reader->finish();
  ASSERT_NE(copy.table, nullptr);
  copy.now_ms = rig.now_ms - 1;
  copy.expire_session(kA);
  EXPECT_EQ(copy.table->fingerprint(), rig.table->fingerprint());
  while (wants_another()) {
    rig.expire_session(kA);
    copy.expire_session(kA);
    ASSERT_EQ(copy.effects.answers, rig.effects.answers);
    ASSERT_EQ(copy.table->fingerprint(), rig.table->fingerprint());
  }
  EXPECT_EQ(copy.table->stats().locks_held, 0U);
  copy.last_sequence = rig.last_sequence;
  EXPECT_EQ(copy.run(acquire(kANext, "mine")).status, Status::ok);
}

TEST_F(SessionEnd, AnArcThatMovesTakesNothingOfItAlong) {
  rig.expire_session(kA);
  Operation out;
  out.kind = OperationKind::move_out;
  const std::string arc = encode_arcs(std::vector<OwnedArc>{{0, UINT64_MAX}});
  out.resource = arc;
  out.target = Sequence(2);
  rig.apply(out);
  ASSERT_EQ(rig.table->outgoing().size(), 1U);
  EXPECT_EQ(rig.table->outgoing()[0].locks, 0U);
  EXPECT_EQ(held(), 0U);
  rig.expire_session(kA);
  EXPECT_EQ(rig.table->stats().sessions, 1U);
}

TEST_F(SessionEnd, AReleaseBeforeManyWaitersTouchesOne) {
  for (int i = 0; i < 5'000; ++i) {
    if (i == 0) rig.run(acquire(kA, "popular"));
    rig.run(waiting(acquire(kB, "popular", std::to_string(i))));
  }
  EXPECT_EQ(rig.table->stats().waiters, 5'000U);
  rig.run(release(kA, "popular"));
  EXPECT_EQ(rig.effects.answers.size(), 2U) << "its own answer, and the one grant";
  EXPECT_LE(rig.effects.timers.size(), 2U);
}

}  // namespace
}  // namespace dlm::server
