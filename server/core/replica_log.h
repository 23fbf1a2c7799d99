// The part of a group's log that a replica keeps: a run of batches behind a base, whose own batch is known by
// index and epoch only. Everything up to the base is part of the applied state.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "server/core/replica.h"

namespace dlm::server {

class ReplicaLog {
 public:
  LogIndex base_index() const { return base_index_; }
  LogIndex last_index() const { return LogIndex(base_index_.value + batches_.size()); }
  std::size_t size_bytes() const { return bytes_; }

  // Whether the epoch of the batch at `index` is known: base_index() <= index <= last_index().
  bool covers(LogIndex index) const { return index >= base_index_ && index <= last_index(); }
  // REQUIRES: covers(index).
  Epoch epoch_at(LogIndex index) const;
  Epoch last_epoch() const { return epoch_at(last_index()); }
  // REQUIRES: base_index() < index <= last_index().
  const Batch& at(LogIndex index) const;

  // REQUIRES: batch.index == last_index() + 1.
  void append(Batch batch);
  // Drops what comes after `index`. REQUIRES: covers(index).
  void truncate_after(LogIndex index);
  // Begins anew behind a snapshot.
  void reset(LogIndex base_index, Epoch base_epoch);
  // Drops batches from the front, none above `upto`, until it has at most `bytes_max`.
  void trim(LogIndex upto, std::size_t bytes_max);

  // Appends to `out` the batches from `from` on, as many as fit `bytes_max`, but at least one if there is
  // one. REQUIRES: from > base_index().
  void copy_from(LogIndex from, std::size_t bytes_max, std::vector<Batch>& out) const;

 private:
  std::deque<Batch> batches_;
  LogIndex base_index_;
  Epoch base_epoch_;
  std::size_t bytes_ = 0;
};

}  // namespace dlm::server
