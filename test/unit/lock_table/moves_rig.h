// For tests of arcs that go from one group's table to another's.
#pragma once

#include <string>
#include <string_view>

#include "server/core/lock_table_arcs.h"
#include "server/core/lock_table_state.h"
#include "test/unit/lock_table/table_rig.h"

namespace dlm::server {

inline constexpr GroupId kSource{1};
inline constexpr GroupId kDestination{2};
inline constexpr OwnedArc kAll{0, UINT64_MAX};

inline Operation move_out(std::string_view arc) {
  Operation op;
  op.kind = OperationKind::move_out;
  op.target = Sequence(kDestination.value);
  op.resource = arc;
  return op;
}

inline Operation move_in(const OutgoingArc& arc, GroupId from = kSource) {
  Operation op;
  op.kind = OperationKind::move_in;
  op.session = SessionId(from.value);
  op.target = Sequence(arc.number);
  op.resource = *arc.state;
  return op;
}

// A source that owns everything, with sessions A, B and C, and a destination that owns nothing.
class Moves : public LockTableTest {
 protected:
  Moves() {
    std::string none = encode_arcs({});
    to.table = std::make_unique<LockTable>();
    to.apply(start_epoch(1, none));
  }

  const Effects& give(const OwnedArc& arc = kAll) {
    const std::string bytes = encode_arcs({&arc, 1});
    return apply(move_out(bytes));
  }
  const Effects& take() { return to.apply(move_in(table->outgoing().front())); }
  void move_all() {
    give();
    take();
  }
  // An operation of a client that has gone on to the destination, under its number at the source.
  Answer again(Operation op, std::uint64_t sequence) {
    op.sequence = Sequence(sequence);
    return to.run(op);
  }
  static std::size_t starts(const Effects& effects, TimerEvent::Kind kind) {
    std::size_t count = 0;
    for (const TimerEvent& event : effects.timers) count += event.kind == kind && event.start;
    return count;
  }

  TableRig to;
};

}  // namespace dlm::server
