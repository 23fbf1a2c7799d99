// Batches of the log, which come from a primary or a write-ahead log: what was read, written again, reads the
// same. Applied to a table, whatever is in them, they leave one that can be given to a member that joins,
// also when its arcs move to another group, and never end the process.
#include "server/core/entry_codec.h"
#include "test/fuzz/fuzz.h"
#include "test/fuzz/tables.h"

namespace dlm::fuzz {
namespace {

using server::BatchReader;
using server::BatchWriter;
using server::LockTable;
using server::OutgoingArc;

void check_reading(std::string_view batch) {
  BatchReader reader(batch);
  BatchWriter writer;
  writer.stamp(reader.stamp_unix_ms());
  Operation op;
  std::size_t count = 0;
  for (; reader.next(op); ++count) writer.add(op);
  require(count <= reader.count(), "a batch has as many entries as it says");
  if (!reader.ok()) return;
  require(count == reader.count(), "a whole batch has all the entries that it says");
  const std::string written = writer.take();

  BatchReader again(written);
  BatchWriter rewriter;
  rewriter.stamp(again.stamp_unix_ms());
  while (again.next(op)) rewriter.add(op);
  require(again.ok() && again.count() == count, "a batch that was read can be written and read");
  require(rewriter.take() == written, "a batch reads as it was written");
}

void move_arcs(LockTable& from, LockTable& to) {
  server::Effects ignored;
  for (const OutgoingArc& arc : from.outgoing()) {
    Operation op;
    op.kind = OperationKind::move_in;
    op.session = SessionId(1);
    op.target = Sequence(arc.number);
    op.resource = *arc.state;
    to.apply(op, 0, ignored);
    require(to.has_received(GroupId(1), arc.number), "an arc that was given away can be taken");
  }
}

Operation move_out() {
  static const std::string all = all_arcs();
  Operation op;
  op.kind = OperationKind::move_out;
  op.target = Sequence(2);
  op.resource = all;
  return op;
}

}  // namespace

// Parts: a batch for a group that has everything, one for a group to which its arcs move, one for both.
void run(std::string_view input) {
  std::vector<std::string_view> parts = parts_of(input);
  parts.resize(3);
  for (std::string_view part : parts) check_reading(part);

  server::Effects ignored;
  const std::string arcs = all_arcs();
  const auto giver = new_table();
  giver->apply(start_epoch(1, arcs), 0, ignored);
  apply_batch(*giver, parts[0]);
  const auto taker = new_table();
  taker->apply(start_epoch(1, server::encode_arcs({})), 0, ignored);
  apply_batch(*taker, parts[1]);
  move_arcs(*giver, *taker);
  check(*giver, parts[2]);
  check(*taker, parts[2]);
}

Seeds seeds() {
  const SeedBatches& batches = seed_batches();
  std::vector<Operation> moving = batches.fill;
  moving.push_back(move_out());
  const std::vector<Operation> sessions(batches.fill.begin(), batches.fill.begin() + 3);
  return {
      {"fill-and-end", join({batch_of(batches.fill), batch_of({}), batch_of(batches.end)})},
      {"move", join({batch_of(moving), batch_of({}), batch_of(batches.end)})},
      {"move-to-sessions", join({batch_of(moving), batch_of(sessions), batch_of(batches.end)})},
      {"empty", join({batch_of({})})},
  };
}

}  // namespace dlm::fuzz
