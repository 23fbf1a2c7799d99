// A repeated operation gets the first answer and has no effect; memory for this is bounded.
#include "test/unit/lock_table/table_rig.h"

namespace dlm::server {
namespace {

using ExactlyOnce = LockTableTest;

TEST_F(ExactlyOnce, EveryKindOfAnswerIsRepeatedToTheLetter) {
  run(acquire(kB, "busy", "tag"));
  run(shared(acquire(kB, "read")));
  std::string too_long(kResourceBytesMax + 1, 'x');
  std::vector<Operation> operations = {
      acquire(kA, "x"),
      leased(acquire(kA, "leased"), LeaseKind::detached, 30'000),
      acquire(kA, "x"),
      acquire(kA, "busy"),
      shared(acquire(kA, "read")),
      acquire(kA, "read"),
      release(kA, "never"),
      release(kA, "x", FencingToken(kEra + 1)),
      renew(kA, "leased", {}, 60'000),
      renew(kA, "x"),
      cancel(kA, 1, "x"),
      cancel(kA, 4, "busy"),
      acquire(kA, too_long),
      leased(acquire(kA, "y"), LeaseKind::capped, 10),
      release(kA, "x"),
  };
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    operations[i].sequence = Sequence(i + 1);
    answers.push_back(run(operations[i]));
  }
  std::uint64_t before = table->fingerprint();
  for (std::size_t i = operations.size(); i-- > 0;) {
    EXPECT_EQ(run(operations[i]), answers[i]);
    EXPECT_EQ(effects.answers.size(), 1U);
    EXPECT_TRUE(effects.timers.empty());
  }
  EXPECT_EQ(table->fingerprint(), before);
}

TEST_F(ExactlyOnce, AcknowledgedAnswersAreForgottenAndTheirRepeatIsStale) {
  Operation op = acquire(kA, "x");
  op.sequence = Sequence(1);
  run(op);
  Operation next = release(kA, "x");
  next.sequence = Sequence(2);
  next.acked_below = Sequence(2);
  run(next);
  EXPECT_EQ(run(op).status, Status::stale);
  EXPECT_FALSE(held("x"));
  EXPECT_EQ(run(next).status, Status::ok) << "not acknowledged yet";
}

TEST_F(ExactlyOnce, GrantFromTheQueueIsFoundAgainAfterItsHoldWasUpgraded) {
  run(acquire(kB, "x"));
  const Operation waited = [] {
    Operation op = waiting(shared(acquire(kA, "x")));
    op.sequence = Sequence(1);
    return op;
  }();
  run(waited);
  run(release(kB, "x"));
  const Answer granted = answer_to(kA, 1);
  Operation upgrade = acquire(kA, "x");
  upgrade.sequence = Sequence(2);
  upgrade.acked_below = Sequence(2);  // "queued" was an answer
  const Answer upgraded = run(upgrade);
  EXPECT_EQ(run(waited), granted);
  Operation cancelling = cancel(kA, 1, "x");
  cancelling.sequence = Sequence(3);
  const Answer cancelled = run(cancelling);
  EXPECT_EQ(cancelled.status, Status::ok) << "it is counted into what is held";
  EXPECT_EQ(cancelled.token, upgraded.token);
  EXPECT_EQ(cancelled.count, 2U);
}

TEST_F(ExactlyOnce, HeartbeatForgetsToo) {
  Operation op = acquire(kA, "x");
  op.sequence = Sequence(1);
  run(op);
  Operation beat = simple(OperationKind::heartbeat, kA, {});
  beat.acked_below = Sequence(2);
  apply(beat);
  EXPECT_TRUE(effects.answers.empty());
  op.kind = OperationKind::release;
  EXPECT_EQ(run(op).status, Status::stale);
}

TEST_F(ExactlyOnce, QueuedAcquireIsFoundAgainHoweverOldItIs) {
  run(acquire(kB, "x"));
  Operation op = leased(waiting(acquire(kA, "x")), LeaseKind::capped, 20'000);
  op.sequence = Sequence(1);
  Answer queued = run(op);
  Operation other = acquire(kA, "y");
  other.sequence = Sequence(2);
  other.acked_below = Sequence(2);
  run(other);
  EXPECT_EQ(run(op), queued);
  EXPECT_EQ(table->stats().waiters, 1U);
  run(release(kB, "x"));
  Answer granted = answer_to(kA, 1);
  EXPECT_EQ(granted.status, Status::ok);
  Operation again = leased(acquire(kA, "x"), LeaseKind::capped, 40'000);
  again.sequence = Sequence(3);
  run(again);
  EXPECT_EQ(run(op), granted) << "as it was then";
}

TEST_F(ExactlyOnce, WaitsThatEndedAreKeptTheLast256) {
  run(acquire(kB, "x"));
  for (std::uint64_t i = 1; i <= 257; ++i) {
    Operation op = waiting(acquire(kA, "x"));
    op.sequence = Sequence(i);
    op.acked_below = Sequence(i);
    run(op);
    expire_wait(kA, Sequence(i), "x");
  }
  Operation beat = simple(OperationKind::heartbeat, kA, {});
  beat.acked_below = Sequence(258);
  apply(beat);
  Operation repeat = waiting(acquire(kA, "x"));
  repeat.sequence = Sequence(2);
  EXPECT_EQ(run(repeat).status, Status::timed_out);
  EXPECT_EQ(answer_to(kA, 2).holder.client_id, "b");
  repeat.sequence = Sequence(257);
  EXPECT_EQ(run(repeat).status, Status::timed_out);
  repeat.sequence = Sequence(1);
  EXPECT_EQ(run(repeat).status, Status::stale);
}

TEST_F(ExactlyOnce, CountedGrantFromTheQueueIsRepeatedThoughAcknowledged) {
  run(acquire(kB, "x"));
  Operation op = waiting(acquire(kA, "x"));
  for (std::uint64_t i = 1; i <= 2; ++i) {
    op.sequence = Sequence(i);
    op.acked_below = Sequence(i);
    run(op);
  }
  run(release(kB, "x"));
  Answer second = answer_to(kA, 2);
  EXPECT_EQ(second.count, 2U);
  Operation beat = simple(OperationKind::heartbeat, kA, {});
  beat.acked_below = Sequence(3);
  apply(beat);
  EXPECT_EQ(run(op), second);
}

TEST_F(ExactlyOnce, AnswersComeBackWhateverOrderTheOperationsCameIn) {
  std::map<std::uint64_t, Answer> answers;
  for (std::uint64_t i : {5, 3, 9, 1, 7, 2}) {
    std::string name = std::to_string(i);
    Operation op = acquire(kA, name);
    op.sequence = Sequence(i);
    answers[i] = run(op);
    EXPECT_EQ(answers[i].status, Status::ok);
  }
  for (const auto& [i, answer] : answers) {
    Operation op = acquire(kA, "anything");
    op.sequence = Sequence(i);
    EXPECT_EQ(run(op), answer);
  }
}

TEST_F(ExactlyOnce, OverloadHasNoEffectAndIsNotRemembered) {
  LockTableLimits limits;
  limits.answers_per_session_max = 2;
  TableRig rig(limits);
  rig.open(kA, "a");
  rig.last_sequence.clear();
  rig.run(acquire(kA, "x"));
  rig.run(acquire(kA, "y"));
  Operation third = acquire(kA, "z");
  third.sequence = Sequence(3);
  const Answer full = rig.run(third);
  EXPECT_EQ(full.status, Status::overloaded);
  EXPECT_FALSE(full.message.empty());
  EXPECT_FALSE(rig.held("z"));
  third.acked_below = Sequence(2);
  EXPECT_EQ(rig.run(third).status, Status::ok);
}

TEST_F(ExactlyOnce, HolderToldInAnAnswerIsTheSameWhenThatHolderIsLongGone) {
  open(SessionId(0x70000), "passing");
  run(acquire(SessionId(0x70000), "x", "tag"));
  Operation op = acquire(kA, "x");
  op.sequence = Sequence(1);
  Answer refused = run(op);
  EXPECT_EQ(refused.holder.client_id, "passing");
  close(SessionId(0x70000));
  EXPECT_EQ(run(op), refused);
}

}  // namespace
}  // namespace dlm::server
