// What a group's primary has been asked and has not answered: submits whose answers are being collected,
// operations that wait to be logged, and reads and renewals that wait for a barrier. Internal to GroupCore.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "schema/operation.h"
#include "server/core/entry_codec.h"
#include "server/core/group_core.h"

namespace dlm::server {

// One operation of a submit that has no answer yet. In a batch, waiters stand in the order of the entries.
struct Waiter {
  static constexpr std::uint32_t kNobody = UINT32_MAX;
  std::uint32_t slot = kNobody;  // of its submit; kNobody: an entry of the primary's own
  SessionId session;
  Sequence sequence;
};

// Submits by slot. A submit is finished, and its slot free, when each of its operations has an answer.
class PendingSubmits {
 public:
  explicit PendingSubmits(GroupId group) : group_(group) {}

  // REQUIRES: count > 0.
  std::uint32_t open(ChannelId channel, RequestId request, std::size_t count);
  void answer(std::uint32_t slot, Answer&& answer, Epoch epoch, std::vector<GroupOutput::Finished>& finished);
  ChannelId channel(std::uint32_t slot) const { return slots_[slot].channel; }
  // What is still open of this channel finishes without a trace.
  void abandon(ChannelId channel);
  // Operations without an answer.
  std::size_t operations() const { return operations_; }

 private:
  struct Slot {
    ChannelId channel;  // none: abandoned, or free
    RequestId request;
    std::size_t missing = 0;
    std::vector<Answer> answers;
  };

  GroupId group_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::size_t operations_ = 0;
};

// Operations to be logged, in order, cut into batches.
class Collector {
 public:
  Collector(std::size_t operations_max, std::size_t bytes_max)
      : operations_max_(operations_max), bytes_max_(bytes_max) {}

  struct Collected {
    std::string entries;
    std::vector<Waiter> waiters;
  };

  void add(const Operation& op, const Waiter& waiter);
  bool empty() const { return writer_.count() == 0 && full_.empty(); }
  // The next batch. REQUIRES: not empty.
  Collected take(std::uint64_t unix_ms);
  // Bytes in batches that were not taken.
  std::size_t size_bytes() const { return full_bytes_ + (writer_.count() == 0 ? 0 : writer_.size_bytes()); }

  // Batches are numbered from 1: the one that what was last added is in, and the last one taken.
  std::uint64_t last_added() const { return taken_ + full_.size() + (writer_.count() == 0 ? 0 : 1); }
  std::uint64_t last_taken() const { return taken_; }

 private:
  struct Full {
    BatchWriter writer;
    std::vector<Waiter> waiters;
  };

  std::size_t operations_max_;
  std::size_t bytes_max_;
  BatchWriter writer_;
  std::vector<Waiter> waiters_;
  std::deque<Full> full_;
  std::size_t full_bytes_ = 0;
  std::uint64_t taken_ = 0;
};

// Renewals and queries that wait for the same barrier.
struct Reads {
  std::uint64_t after_batch = 0;  // they came after operations in this batch of the Collector
  std::uint64_t barrier = 0;      // 0: not taken, as that batch is not in the log yet

  struct Renewal {
    std::uint32_t slot = 0;
    OwnedOperation operation;
  };
  struct Query {
    RequestId request;
    GroupQuery query;
  };
  std::vector<Waiter> heartbeats;
  std::vector<Renewal> renewals;
  std::vector<Query> queries;
};

}  // namespace dlm::server
