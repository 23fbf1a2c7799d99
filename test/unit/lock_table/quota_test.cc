// How much one client, and all of them, may have in a group.
#include <gtest/gtest.h>

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

Operation detached(Operation op) {
  op.lease = LeaseKind::detached;
  op.lease_ms = 60'000;
  return op;
}

TEST(Quota, AClientHoldsNoMoreLocksThanItMay) {
  LockTableLimits limits;
  limits.holds_per_client_max = 2;
  TableRig rig(limits);
  rig.open(kA, "a");
  rig.open(kB, "b");
  EXPECT_EQ(rig.run(acquire(kA, "x")).status, Status::ok);
  EXPECT_EQ(rig.run(acquire(kA, "y", "tag")).status, Status::ok) << "whatever its tags are";
  const Answer refused = rig.run(acquire(kA, "z"));
  EXPECT_EQ(refused.status, Status::over_quota);
  EXPECT_NE(refused.message.find("its limit of 2 locks in this group"), std::string::npos) << refused.message;
  EXPECT_FALSE(rig.held("z")) << "a lock of nobody costs nothing";
  EXPECT_EQ(rig.run(acquire(kA, "x")).status, Status::ok) << "again is not more";
  EXPECT_EQ(rig.run(acquire(kB, "z")).status, Status::ok) << "another client has a quota of its own";
  EXPECT_EQ(rig.run(release(kA, "y", {}, "tag")).status, Status::ok);
  EXPECT_EQ(rig.run(acquire(kA, "w")).status, Status::ok);
}

TEST(Quota, WhatIsWaitedForCountsAsItIsGrantedWithoutBeingAskedFor) {
  LockTableLimits limits;
  limits.holds_per_client_max = 2;
  TableRig rig(limits);
  rig.open(kA, "a");
  rig.open(kB, "b");
  rig.run(acquire(kB, "x"));
  rig.run(acquire(kB, "y"));
  EXPECT_EQ(rig.run(waiting(acquire(kA, "x"))).status, Status::queued);
  EXPECT_EQ(rig.run(waiting(acquire(kA, "y"))).status, Status::queued);
  EXPECT_EQ(rig.run(acquire(kA, "z")).status, Status::over_quota);
}

TEST(Quota, AClientWaitsForNoMoreThanItMay) {
  LockTableLimits limits;
  limits.waits_per_client_max = 1;
  TableRig rig(limits);
  rig.open(kA, "a");
  rig.open(kB, "b");
  rig.run(acquire(kB, "busy"));
  EXPECT_EQ(rig.run(waiting(acquire(kA, "busy", "1"))).status, Status::queued);
  const Answer full = rig.run(waiting(acquire(kA, "busy", "2")));
  EXPECT_EQ(full.status, Status::over_quota);
  EXPECT_NE(full.message.find("its limit of 1 requests that wait"), std::string::npos) << full.message;
  EXPECT_EQ(rig.table->stats().waiters, 1U);
}

TEST(Quota, DetachedHoldsCountBeyondTheSession) {
  LockTableLimits limits;
  limits.holds_per_client_max = 1;
  TableRig rig(limits);
  rig.open(kA, "a");
  EXPECT_EQ(rig.run(detached(acquire(kA, "x"))).status, Status::ok);
  Operation end;
  end.kind = OperationKind::close_session;
  end.session = kA;
  rig.apply(end);
  rig.open(kC, "a");
  EXPECT_EQ(rig.run(acquire(kC, "y")).status, Status::over_quota);
}

TEST(Quota, ACopyOfWhatWasRefusedThatComesLateIsRefusedAlike) {
  LockTableLimits limits;
  limits.holds_per_client_max = 1;
  TableRig rig(limits);
  rig.open(kA, "a");
  rig.run(acquire(kA, "x"));
  Operation again = acquire(kA, "y");
  again.sequence = Sequence(50);
  EXPECT_EQ(rig.run(again).status, Status::over_quota);
  rig.last_sequence[kA] = 50;
  rig.run(release(kA, "x"));
  EXPECT_EQ(rig.run(again).status, Status::over_quota) << "the client took the first answer";
  EXPECT_FALSE(rig.held("y"));
  EXPECT_EQ(rig.run(acquire(kA, "y")).status, Status::ok) << "who asks anew, under another number";
}

TEST(Quota, AGroupHasNoMoreSessionsThanItMay) {
  LockTableLimits limits;
  limits.sessions_max = 2;
  TableRig rig(limits);
  rig.open(kA, "a");
  rig.open(kB, "b");
  Operation open;
  open.kind = OperationKind::open_session;
  open.session = kC;
  open.client_id = "c";
  open.lease_ms = 10'000;
  const std::vector<Answer> answers = rig.apply(open).answers;
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].status, Status::over_quota);
  EXPECT_NE(answers[0].message.find("its limit of 2 sessions"), std::string::npos);
  rig.open(kB, "b");  // once more is not one more
  EXPECT_EQ(rig.table->stats().sessions, 2U);
}

TEST(Quota, HoldsAreCountedAnewFromASnapshot) {
  LockTableLimits limits;
  limits.holds_per_client_max = 2;
  TableRig rig(limits);
  rig.open(kA, "a");
  rig.run(acquire(kA, "x"));
  rig.run(acquire(kA, "y"));
  auto writer = rig.table->snapshot();
  auto reader = LockTable::restore();
  std::string chunk;
  bool more = true;
  while (more) {
    chunk.clear();
    more = writer->next(1'000, chunk);
    ASSERT_TRUE(reader->feed(chunk));
  }
  writer.reset();
  rig.table = reader->finish();
  ASSERT_NE(rig.table, nullptr);
  EXPECT_EQ(rig.run(acquire(kA, "z")).status, Status::over_quota);
  EXPECT_EQ(rig.run(release(kA, "x")).status, Status::ok);
  EXPECT_EQ(rig.run(acquire(kA, "z")).status, Status::ok);
}

}  // namespace
}  // namespace dlm::server
