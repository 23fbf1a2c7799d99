// What must hold of every lock table, whatever was applied to it or read into it; for the targets that have
// one. And batches for their seeds.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "schema/operation.h"
#include "server/core/lock_table.h"

namespace dlm::fuzz {

// Applies the entries of a batch; of a damaged one those before the damage.
void apply_batch(server::LockTable& table, std::string_view batch);

// With limits that inputs can reach.
std::unique_ptr<server::LockTable> new_table();

// All bytes of a snapshot of it.
std::string snapshot_of(server::LockTable& table);
// Null: refused.
std::unique_ptr<server::LockTable> restored(std::string_view snapshot);

// Requires what the rules of locks say of holders, and that a member that joins can have the table: a
// snapshot of it is accepted and gives the same table. The copy goes on as the original does, which `more`, a
// batch, is to show; and a snapshot that is written meanwhile is of the moment at which it began.
void check(server::LockTable& table, std::string_view more);

// An entry of the first kind for a table without arcs.
Operation start_epoch(std::uint64_t era, std::string_view arcs);
std::string all_arcs();
std::string batch_of(const std::vector<Operation>& entries);

// Entries that bring about every kind of thing that a table has, then such as end them.
struct SeedBatches {
  std::vector<Operation> fill;
  std::vector<Operation> end;
};
const SeedBatches& seed_batches();

}  // namespace dlm::fuzz
