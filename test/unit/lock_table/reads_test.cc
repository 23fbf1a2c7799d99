// Inspecting, listing, statistics, deadlines, and memory that comes back.
#include <set>

#include "test/unit/lock_table/table_rig.h"

namespace dlm::server {
namespace {

using Reads = LockTableTest;

TEST_F(Reads, InspectTellsHoldersAndWaitersInOrder) {
  run(leased(shared(acquire(kA, "x", "t")), LeaseKind::capped));
  std::uint64_t since_ms = now_ms;
  run(shared(acquire(kB, "x")));
  run(waiting(acquire(kC, "x")));
  run(waiting(shared(acquire(kA, "x", "u")), kWaitForeverMs));
  LockReport report = table->inspect("x", 10);
  EXPECT_EQ(report.resource, "x");
  ASSERT_EQ(report.holders.size(), 2U);
  EXPECT_EQ(report.holders[0].client_id, "a");
  EXPECT_EQ(report.holders[0].owner_tag, "t");
  EXPECT_EQ(report.holders[0].mode, LockMode::shared);
  EXPECT_EQ(report.holders[0].lease, LeaseKind::capped);
  EXPECT_EQ(report.holders[0].since_unix_ms, since_ms);
  EXPECT_EQ(report.holders[0].token, FencingToken(kEra + 1));
  EXPECT_EQ(report.holders[1].client_id, "b");
  ASSERT_EQ(report.waiters.size(), 2U);
  EXPECT_EQ(report.waiters[0].client_id, "c");
  EXPECT_EQ(report.waiters[0].left_ms, 0U);
  EXPECT_EQ(report.waiters[1].left_ms, kWaitForeverMs);
  EXPECT_EQ(table->inspect("x", 1).waiters.size(), 1U);
  EXPECT_EQ(table->inspect("x", 1).waiter_count, 2U);
  EXPECT_TRUE(table->inspect("nobody", 1).holders.empty());
}

TEST_F(Reads, DeadlinesOfAReportSayWhatEndsEachLine) {
  FencingToken capped = run(leased(shared(acquire(kA, "x")), LeaseKind::capped)).token;
  FencingToken detached = run(leased(shared(acquire(kB, "x")), LeaseKind::detached)).token;
  run(shared(acquire(kC, "x")));
  run(waiting(acquire(kC, "x", "t")));
  LockTable::Deadlines deadlines = table->deadlines_of(table->inspect("x", 10));
  ASSERT_EQ(deadlines.holds.size(), 3U);
  EXPECT_EQ(deadlines.holds[0].session, kA);
  EXPECT_EQ(deadlines.holds[0].token, capped);
  EXPECT_EQ(deadlines.holds[1].session, SessionId());
  EXPECT_EQ(deadlines.holds[1].token, detached);
  EXPECT_EQ(deadlines.holds[2].session, kC);
  EXPECT_EQ(deadlines.holds[2].token, FencingToken());
  ASSERT_EQ(deadlines.waits.size(), 1U);
  EXPECT_EQ(deadlines.waits[0].session, kC);
  EXPECT_EQ(deadlines.waits[0].sequence, Sequence(2));
}

TEST_F(Reads, ListingShowsEachLockHeldThroughoutExactlyOnceThoughOthersComeAndGo) {
  std::set<std::string> stay;
  for (int i = 0; i < 500; ++i) {
    std::string name = (i % 2 == 0 ? "stay/" : "go/") + std::to_string(i);
    run(acquire(kA, name));
    if (i % 2 == 0) stay.insert(name);
  }
  std::vector<std::string> listed;
  int step = 0;
  std::uint64_t cursor = 0;
  do {
    LockPage page = table->list("stay/", cursor, 7);
    EXPECT_LE(page.locks.size(), 7U);
    for (const LockReport& lock : page.locks) listed.push_back(lock.resource);
    cursor = page.next_cursor;
    if (step < 250) run(release(kA, "go/" + std::to_string(step * 2 + 1)));
    run(acquire(kB, "late/" + std::to_string(step++)));
  } while (cursor != 0);
  std::set<std::string> unique(listed.begin(), listed.end());
  EXPECT_EQ(unique.size(), listed.size());
  EXPECT_EQ(unique, stay);
}

TEST_F(Reads, ListingLooksAtABoundedNumberOfLocksPerCall) {
  for (int i = 0; i < 10'500; ++i) {
    std::string name = std::to_string(i);
    Operation op = acquire(kA, name);
    op.acked_below = Sequence(last_sequence[kA]);
    run(op);
  }
  LockPage page = table->list("none/", 0, 10);
  EXPECT_TRUE(page.locks.empty());
  EXPECT_NE(page.next_cursor, 0U);
  EXPECT_EQ(table->list("none/", page.next_cursor, 10).next_cursor, 0U);
  EXPECT_EQ(table->list("", UINT64_MAX, 10).next_cursor, 0U);
}

TEST_F(Reads, EverythingReleasedLeavesNothing) {
  std::uint64_t empty = table->fingerprint();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 5'000; ++i) {
      std::string name = "a name that is longer than what fits in a node " + std::to_string(i);
      std::string tag = "tag" + std::to_string(i % 7);
      Operation op = waiting(acquire(i % 3 == 0 ? kA : kB, name, tag));
      op.acked_below = Sequence(last_sequence[op.session]);
      run(op);
    }
    EXPECT_EQ(table->stats().locks_held, 5'000U);
    for (SessionId session : {kA, kB}) {
      close(session);
      for (int sweep = 0; sweep < 5; ++sweep) expire_session(session);
      apply(simple(OperationKind::forget_session, session, {}));
    }
    EXPECT_EQ(table->stats().locks_held, 0U);
    EXPECT_EQ(table->stats().waiters, 0U);
    EXPECT_EQ(table->stats().sessions, 1U);
    EXPECT_TRUE(table->list("", 0, 10).locks.empty());
    EXPECT_EQ(table->list("", 0, 10).next_cursor, 0U) << "the indexes are given back too";
    open(kA, "a");
    open(kB, "b");
    last_sequence.clear();
  }
  EXPECT_NE(table->fingerprint(), empty) << "tokens went up";
}

TEST_F(Reads, FreedIndexesAreUsedAgain) {
  for (int i = 0; i < 100; ++i) run(acquire(kA, std::to_string(i)));
  for (int i = 0; i < 50; ++i) run(release(kA, std::to_string(i)));
  for (int i = 0; i < 50; ++i) run(acquire(kA, "again" + std::to_string(i)));
  LockPage page = table->list("", 0, 1'000);
  EXPECT_EQ(page.locks.size(), 100U);
  EXPECT_EQ(page.locks[0].resource, "again49") << "the first index was freed first and used last";
}

TEST_F(Reads, EveryDeadlineIsToldToANewPrimary) {
  FencingToken token = run(leased(acquire(kA, "x"), LeaseKind::detached, 7'000)).token;
  run(waiting(acquire(kB, "x"), 3'000));
  run(waiting(acquire(kB, "x", "t"), kWaitForeverMs));
  expire_session(kC);
  std::vector<TimerEvent> timers;
  table->for_each_timer([&](const TimerEvent& event) { timers.push_back(event); });
  EXPECT_EQ(timers, (std::vector<TimerEvent>{
                        {TimerEvent::Kind::session, true, 10'000, kA, Sequence(), FencingToken(), ""},
                        {TimerEvent::Kind::session, true, 10'000, kB, Sequence(), FencingToken(), ""},
                        {TimerEvent::Kind::tombstone, true, 3'600'000, kC, Sequence(), FencingToken(), ""},
                        {TimerEvent::Kind::hold, true, 7'000, SessionId(), Sequence(), token, "x"},
                        {TimerEvent::Kind::wait, true, 3'000, kB, Sequence(1), FencingToken(), "x"},
                    }));
}

TEST_F(Reads, ATableCanBeMoved) {
  FencingToken token = run(acquire(kA, "x")).token;
  LockTable moved(std::move(*table));
  EXPECT_EQ(moved.inspect("x", 0).holders[0].token, token);
}

}  // namespace
}  // namespace dlm::server
