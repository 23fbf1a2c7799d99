// States of arcs that are damaged, contradict themselves, or do not agree with what the table that takes them
// has.
#include <random>

#include "server/core/lock_table_moved.h"
#include "server/core/lock_table_state.h"
#include "test/unit/lock_table/moves_rig.h"

namespace dlm::server {
namespace {

TEST_F(Moves, DamagedStatesAreNotTaken) {
  run(acquire(kA, "x"));
  run(waiting(leased(acquire(kB, "x"), LeaseKind::capped)));
  run(acquire(kB, "x"));
  give();
  const std::string whole = *table->outgoing().front().state;
  MovedHead head;
  ASSERT_TRUE(LockTable::read_moved_head(whole, head));
  EXPECT_EQ(head.arc, kAll);
  EXPECT_EQ(head.last_token, table->stats().last_token);
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(LockTable::read_moved_head(whole.substr(0, size), head)) << size;
  // What can still be read after a flipped bit must not break the table.
  std::mt19937 random(1);
  for (int i = 0; i < 2'000; ++i) {
    std::string damaged = whole;
    damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    if (!LockTable::read_moved_head(damaged, head)) continue;
    TableRig other;
    std::string none = encode_arcs({});
    other.apply(start_epoch(1, none));
    OutgoingArc arc;
    arc.number = 1;
    arc.state = std::make_shared<const std::string>(damaged);
    other.apply(move_in(arc));
    EXPECT_NE(restored(chunks_of(*other.table->snapshot(), 1'000)), nullptr);
  }
}

// A hold of owner `number`, 0 or 1, in a state for state_with_holds().
MovedHold hold_of(std::uint32_t number, std::uint64_t token) {
  MovedHold hold;
  hold.token = FencingToken(kEra + token);
  hold.owner = hold.session = number;
  return hold;
}

// A state of one shared lock.
std::string state_with_holds(const std::vector<MovedHold>& holds) {
  MovedArc moved;
  moved.arc = kAll;
  moved.last_token = FencingToken(kEra + 9);
  moved.owners = {{"a", ""}, {"b", ""}};
  moved.sessions.resize(2);
  moved.sessions[0].id = kA;
  moved.sessions[1].id = kB;
  moved.sessions[1].client = 1;
  MovedLock& lock = moved.locks.emplace_back();
  lock.name = "x";
  lock.mode = LockMode::shared;
  lock.holds = holds;
  return encode_moved(moved);
}

TEST(MovedStates, WithAnOwnerTwiceInALockAreNotTaken) {
  MovedHead head;
  EXPECT_TRUE(LockTable::read_moved_head(state_with_holds({hold_of(0, 1), hold_of(1, 2)}), head));
  EXPECT_FALSE(
      LockTable::read_moved_head(state_with_holds({hold_of(0, 1), hold_of(1, 2), hold_of(0, 3)}), head));
}

TEST(MovedStates, WithATokenTwiceInALockAreNotTaken) {
  MovedHead head;
  EXPECT_FALSE(LockTable::read_moved_head(state_with_holds({hold_of(0, 1), hold_of(1, 1)}), head));
}

TEST(MovedStates, WithTwoOwnersOfOneNameAreNotTaken) {
  MovedArc moved;
  moved.arc = kAll;
  moved.owners = {{"a", "tag"}, {"at", "ag"}};
  MovedHead head;
  EXPECT_TRUE(LockTable::read_moved_head(encode_moved(moved), head));
  moved.owners.push_back({"a", "tag"});
  EXPECT_FALSE(LockTable::read_moved_head(encode_moved(moved), head));
}

TEST_F(Moves, ASessionWithoutABaseIsAdoptedUnderAnIdThatIsNotNone) {
  const SessionId odd(1);  // no client has such a one, but whoever speaks for clients might
  open(odd, "odd");
  run(acquire(odd, "x"));
  move_all();
  EXPECT_EQ(to.table->inspect("x", 0).holders.size(), 1U);
  const std::unique_ptr<LockTable> copy = restored(chunks_of(*to.table->snapshot(), 4096));
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->fingerprint(), to.table->fingerprint());
}

OwnedArc arc_of(std::string_view name) {
  const std::uint64_t hash = NameKey(name).hash;
  return {hash, hash};
}

// A client that numbers an operation as it numbered another one, which it sent to another group. Where the
// two meet, a number tells only one of them.
class NumbersUsedTwice : public Moves {
 protected:
  NumbersUsedTwice() {
    other.open(kA, "a");
    other.open(kB, "b");
    other.last_sequence.clear();
    for (auto [rig, name] : {std::pair<TableRig*, const char*>{this, "x"}, {&other, "y"}}) {
      rig->run(acquire(kA, name));
      EXPECT_EQ(rig->run(waiting(acquire(kB, name))).sequence, Sequence(1));
    }
  }

  void expect_restorable() {
    const std::unique_ptr<LockTable> copy = restored(chunks_of(*to.table->snapshot(), 4096));
    ASSERT_NE(copy, nullptr) << "no member could join any more";
    EXPECT_EQ(copy->fingerprint(), to.table->fingerprint());
  }

  void move_both() {
    const std::string bytes_of_x = encode_arcs(std::vector<OwnedArc>{arc_of("x")});
    const std::string bytes_of_y = encode_arcs(std::vector<OwnedArc>{arc_of("y")});
    apply(move_out(bytes_of_x));
    other.apply(move_out(bytes_of_y));
    to.apply(move_in(table->outgoing().front()));
    to.apply(move_in(other.table->outgoing().front(), GroupId(3)));
    expect_restorable();
  }

  TableRig other;
};

TEST_F(NumbersUsedTwice, TheSecondOfTwoWaitsIsDropped) {
  move_both();
  EXPECT_EQ(to.table->inspect("x", 9).waiters.size(), 1U);
  EXPECT_EQ(to.table->inspect("y", 9).waiters.size(), 0U);
}

TEST_F(NumbersUsedTwice, TheSecondOfTwoGrantsIsAHoldAllTheSame) {
  run(release(kA, "x"));
  other.run(release(kA, "y"));
  move_both();
  EXPECT_EQ(to.table->inspect("x", 9).holders.front().client_id, "b");
  EXPECT_EQ(to.table->inspect("y", 9).holders.front().client_id, "b");
  to.expire_session(to.table->live_session(kB));
  EXPECT_FALSE(to.held("x"));
  EXPECT_FALSE(to.held("y"));
}

TEST_F(NumbersUsedTwice, AWaitMayStillBeGranted) {
  run(release(kA, "x"));
  move_both();
  again(release(kA, "y"), 3);
  EXPECT_EQ(to.table->inspect("y", 9).holders.front().client_id, "b");
  expect_restorable();
}

// Which of two sessions goes by the base that both have is not told by where they lie.
TEST_F(Moves, ACopyKnowsWhichOfTwoClientsGoesByABaseThatBothUse) {
  to.open(kA, "a");
  to.open(kB, "b");
  to.close(kA);  // the session that comes takes its place
  TableRig other;
  other.open(kB, "stranger");
  other.run(acquire(kB, "x"));
  const std::string arcs = encode_arcs({&kAll, 1});
  other.apply(move_out(arcs));
  to.apply(move_in(other.table->outgoing().front()));

  TableRig copy;
  copy.table = restored(chunks_of(*to.table->snapshot(), 4096));
  ASSERT_NE(copy.table, nullptr);
  const SessionId later = kB.next().next();
  EXPECT_EQ(to.open(later, "c").status, Status::client_id_in_use);
  EXPECT_EQ(copy.open(later, "c").status, Status::client_id_in_use);
  EXPECT_EQ(copy.table->fingerprint(), to.table->fingerprint());
}

}  // namespace
}  // namespace dlm::server
