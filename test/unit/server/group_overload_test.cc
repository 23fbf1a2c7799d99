// A primary that is asked for more than it can do: what it refuses, what it does first.
#include <gtest/gtest.h>

#include "group_cluster.h"
#include "schema/limits.h"

namespace dlm::server {
namespace {

constexpr std::uint64_t kAnn = 1u << 16;
constexpr std::uint64_t kBob = 2u << 16;

class GroupOverloadTest : public ::testing::Test {
 protected:
  void begin(GroupOptions options) {
    options.replica.lease_ms_first = options.table.lease_ms_max;
    cluster_ = std::make_unique<GroupCluster>(2, options);
    for (int i = 0; i < 100 && cluster_->config().in_sync.size() < 2; ++i) cluster_->pass_ms(50);
    ASSERT_NE(primary(), "");
    ask(open_session(kAnn, "ann"));
    ask(open_session(kBob, "bob"));
  }
  std::string primary() const { return cluster_->primary(); }
  Answer ask(const Operation& op) { return cluster_->ask(primary(), op); }
  RequestId submit(const std::vector<Operation>& operations) {
    return cluster_->submit(primary(), operations);
  }
  // Acquires of names "r1", "r2", …, which live as long as this.
  std::vector<Operation> acquires(std::size_t count) {
    std::vector<Operation> list;
    for (std::size_t i = 0; i < count; ++i) {
      names_.push_back(std::make_unique<std::string>("r" + std::to_string(names_.size() + 1)));
      list.push_back(acquire(kAnn, ++sequence_, *names_.back()));
    }
    return list;
  }
  const Answer& answer(RequestId request, std::uint64_t sequence) const {
    for (const Answer& each : cluster_->answers(request)) {
      if (each.sequence == Sequence(sequence)) return each;
    }
    ADD_FAILURE() << "no answer to " << sequence;
    return cluster_->answers(request)[0];
  }

  std::unique_ptr<GroupCluster> cluster_;
  std::vector<std::unique_ptr<std::string>> names_;
  std::uint64_t sequence_ = 0;
};

TEST_F(GroupOverloadTest, ARefusalTellsWhenToComeBack) {
  GroupOptions options;
  options.pending_operations_max = 10;
  begin(options);
  RequestId request = submit(acquires(30));
  cluster_->settle();
  EXPECT_EQ(answer(request, 1).status, Status::ok) << "the first ones are taken";
  const Answer& refused = answer(request, 30);
  EXPECT_EQ(refused.status, Status::overloaded);
  EXPECT_GT(refused.retry_after_ms, 0U);
}

TEST_F(GroupOverloadTest, WhatGivesBackIsTakenWhereNoAcquireIs) {
  GroupOptions options;
  options.pending_operations_max = 10;
  begin(options);
  ask(acquire(kBob, 1, "b"));
  RequestId full = submit(acquires(10));
  RequestId refused = submit(acquires(1));
  RequestId released = submit({release(kBob, 2, "b")});
  cluster_->settle();
  EXPECT_EQ(cluster_->answers(full)[9].status, Status::ok);
  EXPECT_EQ(cluster_->answers(refused)[0].status, Status::overloaded);
  EXPECT_EQ(cluster_->answers(released)[0].status, Status::ok);
}

TEST_F(GroupOverloadTest, WhatGivesBackGoesBeforeTheAcquiresThatWaitToBeLogged) {
  GroupOptions options;
  options.batch_operations_max = 4;
  begin(options);
  ask(acquire(kBob, 1, "b"));
  std::vector<Operation> list = acquires(40);
  list.push_back(acquire(kAnn, ++sequence_, "b", kWaitForeverMs));
  const std::uint64_t waits = sequence_;
  RequestId many = submit(list);
  RequestId released = submit({release(kBob, 2, "b")});
  RequestId again = submit({acquire(kBob, 3, "c")});
  cluster_->settle();
  EXPECT_EQ(cluster_->answers(released)[0].status, Status::ok);
  EXPECT_EQ(answer(many, waits).status, Status::ok) << "when it came the lock was free again";
  EXPECT_GT(cluster_->answers(again)[0].token, answer(many, 40).token) << "acquires keep their order";
  cluster_->pass_ms(200);
  EXPECT_TRUE(cluster_->agree());
}

TEST_F(GroupOverloadTest, WhatFitsIntoOneBatchKeepsItsOrder) {
  begin({});
  ask(acquire(kBob, 1, "b"));
  std::vector<Operation> list = acquires(3);
  list.push_back(acquire(kAnn, ++sequence_, "b", kWaitForeverMs));
  RequestId many = submit(list);
  submit({release(kBob, 2, "b")});
  cluster_->settle();
  EXPECT_EQ(answer(many, sequence_).status, Status::queued) << "it came before the release";
}

TEST_F(GroupOverloadTest, AHeartbeatDoesNotWaitForTheBacklog) {
  GroupOptions options;
  options.batch_operations_max = 4;
  begin(options);
  RequestId many = submit(acquires(400));
  RequestId beat = submit({heartbeat(kBob)});
  cluster_->settle();
  EXPECT_EQ(cluster_->answers(beat)[0].status, Status::ok);
  EXPECT_LT(cluster_->finish_order(beat), cluster_->finish_order(many));
}

TEST_F(GroupOverloadTest, NothingOvertakesTheOpeningOfItsSession) {
  GroupOptions options;
  options.batch_operations_max = 4;
  begin(options);
  constexpr std::uint64_t kCy = 3u << 16;
  submit(acquires(40));
  Operation cancel;
  cancel.kind = OperationKind::cancel;
  cancel.session = SessionId(kCy);
  cancel.sequence = Sequence(2);
  cancel.target = Sequence(1);
  cancel.resource = "mine";
  RequestId begun = submit({open_session(kCy, "cy"), acquire(kCy, 1, "mine"), cancel, heartbeat(kCy)});
  cluster_->settle();
  ASSERT_EQ(cluster_->answers(begun).size(), 4U);
  for (const Answer& each : cluster_->answers(begun))
    EXPECT_EQ(each.status, Status::ok) << each.sequence.value << ": " << each.message;
}

TEST_F(GroupOverloadTest, AnAcquireThatWouldComeTooLateIsRefused) {
  GroupOptions options;
  options.batch_operations_max = 1'000;
  begin(options);
  cluster_->cut_off(cluster_->config().in_sync[1].server);
  RequestId first = submit(acquires(1'000));
  cluster_->pass_ms(100);
  cluster_->mend(cluster_->config().in_sync[1].server);
  for (int i = 0; i < 100 && !cluster_->is_finished(first); ++i) cluster_->pass_ms(10);
  ASSERT_TRUE(cluster_->is_finished(first));
  // A thousand take 100 ms and more, so what comes behind three thousand takes longer than 50.
  submit(acquires(3'000));
  Operation late = acquires(1)[0];
  late.deadline_ms = 50;
  Operation patient = acquires(1)[0];
  patient.deadline_ms = 60'000;
  RequestId refused = submit({late});
  RequestId taken = submit({patient});
  cluster_->settle();
  EXPECT_EQ(cluster_->answers(refused)[0].status, Status::overloaded);
  EXPECT_EQ(cluster_->answers(taken)[0].status, Status::ok);
}

TEST_F(GroupOverloadTest, ASessionWithManyHoldsEndsInTurnsWithTheWorkOfOthers) {
  GroupOptions options;
  options.table.holds_per_sweep = 10;
  begin(options);
  submit(acquires(200));
  cluster_->settle();
  const auto held = [&] { return cluster_->core(primary()).table().stats().locks_held; };
  ASSERT_EQ(held(), 200U);
  Operation close;
  close.kind = OperationKind::close_session;
  close.session = SessionId(kAnn);
  RequestId closed = submit({close});
  RequestId other = submit({acquire(kBob, 1, "other")});
  cluster_->settle();
  EXPECT_EQ(cluster_->answers(closed)[0].status, Status::ok);
  EXPECT_EQ(cluster_->answers(other)[0].status, Status::ok);
  for (int i = 0; i < 100 && held() > 1; ++i) cluster_->pass_ms(10);
  EXPECT_EQ(held(), 1U) << "by itself, without anything being asked";
  cluster_->pass_ms(200);
  EXPECT_TRUE(cluster_->agree());
}

TEST_F(GroupOverloadTest, TheNextPrimaryGoesOnWithASessionThatIsEnding) {
  GroupOptions options;
  options.table.holds_per_sweep = 10;
  begin(options);
  submit(acquires(2'000));
  cluster_->settle();
  Operation close;
  close.kind = OperationKind::close_session;
  close.session = SessionId(kAnn);
  const std::string first = primary();
  submit({close});
  cluster_->kill(first);
  cluster_->unregister(first);
  for (int i = 0; i < 1'000 && (primary().empty() || primary() == first); ++i) cluster_->pass_ms(10);
  ASSERT_NE(primary(), "");
  ask(close);  // the router would ask again
  for (int i = 0; i < 1'000 && cluster_->core(primary()).table().stats().locks_held > 0; ++i)
    cluster_->pass_ms(10);
  EXPECT_EQ(cluster_->core(primary()).table().stats().locks_held, 0U);
}

}  // namespace
}  // namespace dlm::server
