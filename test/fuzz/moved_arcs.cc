// What goes with an arc from one group to another: what was read, written again, reads the same; and a table
// that takes it is one that can be given to a member that joins.
#include "server/core/lock_table_moved.h"
#include "test/fuzz/fuzz.h"
#include "test/fuzz/tables.h"

namespace dlm::fuzz {

// Parts: a batch for the group that gets the arc, the arc, a batch for it afterwards.
void run(std::string_view input) {
  std::vector<std::string_view> parts = parts_of(input);
  parts.resize(3);
  server::MovedArc moved;
  if (!server::decode_moved(parts[1], moved)) return;
  const std::string written = server::encode_moved(moved);
  server::MovedArc again;
  require(server::decode_moved(written, again), "an arc that was read can be written and read");
  require(server::encode_moved(again) == written, "an arc reads as it was written");

  server::Effects ignored;
  const auto table = new_table();
  table->apply(start_epoch(1, server::encode_arcs({})), 0, ignored);
  apply_batch(*table, parts[0]);
  Operation op;
  op.kind = OperationKind::move_in;
  op.session = SessionId(1);
  op.target = Sequence(1);
  op.resource = parts[1];
  table->apply(op, 0, ignored);
  check(*table, parts[2]);
}

Seeds seeds() {
  server::Effects ignored;
  const std::string arcs = all_arcs();
  const SeedBatches& batches = seed_batches();
  const auto giver = new_table();
  giver->apply(start_epoch(1, arcs), 0, ignored);
  apply_batch(*giver, batch_of(batches.fill));
  Operation op;
  op.kind = OperationKind::move_out;
  op.target = Sequence(2);
  op.resource = arcs;
  giver->apply(op, 0, ignored);
  const std::string moved = *giver->outgoing().front().state;
  const std::vector<Operation> sessions(batches.fill.begin(), batches.fill.begin() + 3);
  return {
      {"to-nobody", join({batch_of({}), moved, batch_of(batches.end)})},
      {"to-sessions", join({batch_of(sessions), moved, batch_of(batches.end)})},
  };
}

}  // namespace dlm::fuzz
