// Snapshots of the lock table's state; see LockTable::SnapshotWriter and SnapshotReader for what they
// promise.
#pragma once

#include <memory>

#include "server/core/lock_table.h"
#include "server/core/lock_table_state.h"

namespace dlm::server {

// The state must outlive the writer.
std::unique_ptr<LockTable::SnapshotWriter> write_snapshot(LockState& state);
// Fills `state`, which is that of `empty`.
std::unique_ptr<LockTable::SnapshotReader> read_snapshot(std::unique_ptr<LockTable> empty, LockState& state);

}  // namespace dlm::server
