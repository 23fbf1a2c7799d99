// In which order operations get into the log.
#include <gtest/gtest.h>

#include "server/core/group_core_pending.h"

namespace dlm::server {
namespace {

Operation of(OperationKind kind, std::uint64_t target = 0) {
  Operation op;
  op.kind = kind;
  op.target = Sequence(target);
  return op;
}

struct CollectorTest : testing::Test {
  void add(OperationKind kind, std::uint64_t target = 0) {
    collector.add(of(kind, target), Waiter(), !begins_something(kind));
  }
  // All that is there, batch by batch: the kinds, and the targets of the primary's own.
  std::vector<OperationKind> take_all() {
    std::vector<OperationKind> kinds;
    while (!collector.empty()) {
      const Collector::Collected batch = collector.take(0);
      BatchReader reader(batch.entries);
      Operation op;
      while (reader.next(op)) {
        kinds.push_back(op.kind);
        if (op.target) targets.push_back(op.target.value);
      }
      EXPECT_TRUE(reader.ok());
    }
    return kinds;
  }
  Collector collector{2, 1'000'000};
  std::vector<std::uint64_t> targets;
};

TEST_F(CollectorTest, KeepsTheOrderOfWhatGoesIntoOneBatch) {
  add(OperationKind::acquire);
  add(OperationKind::release);
  EXPECT_EQ(take_all(), (std::vector{OperationKind::acquire, OperationKind::release}));
}

TEST_F(CollectorTest, WhatGivesBackOvertakesNewWorkThatHasToWait) {
  for (int i = 0; i < 3; ++i) add(OperationKind::acquire);
  ASSERT_TRUE(collector.is_behind());
  add(OperationKind::release);
  const std::vector<OperationKind> kinds = take_all();
  ASSERT_EQ(kinds.size(), 4U);
  EXPECT_EQ(kinds.front(), OperationKind::release);
}

// An arc is taken before the answer to who asked for it is logged; had it the other way, both would own it.
TEST_F(CollectorTest, ThePrimarysOwnEntriesStayInOrderWhateverComesBetween) {
  add(OperationKind::acquire);
  add(OperationKind::take_arcs, 1);
  for (int i = 0; i < 3; ++i) add(OperationKind::acquire);
  ASSERT_TRUE(collector.is_behind());
  add(OperationKind::let_arcs, 2);
  add(OperationKind::move_out, 3);
  EXPECT_EQ(take_all().size(), 7U);
  EXPECT_EQ(targets, (std::vector<std::uint64_t>{1, 2, 3}));
}

}  // namespace
}  // namespace dlm::server
