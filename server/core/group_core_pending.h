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

// New work, the first that is refused and the last that is done under overload. All else gives back, keeps
// alive or withdraws something.
inline bool begins_something(OperationKind kind) {
  return kind == OperationKind::acquire || kind == OperationKind::open_session;
}

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

  // REQUIRES: count > 0. taken() follows for each of them.
  std::uint32_t open(ChannelId channel, RequestId request, std::size_t count);
  void taken() { ++operations_; }
  void answer(std::uint32_t slot, Answer&& answer, Epoch epoch, std::vector<GroupOutput::Finished>& finished);
  ChannelId channel(std::uint32_t slot) const { return slots_[slot].channel; }
  // What is still open of this channel finishes without a trace.
  void abandon(ChannelId channel);
  // Operations that were taken and have no answer.
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

// Operations to be logged, in order, cut into batches. What is urgent goes into batches of its own, before
// the others: the primary's own entries, and when there is more than one batch also what clients give back.
// Of those each is in order.
class Collector {
 public:
  Collector(std::size_t operations_max, std::size_t bytes_max)
      : operations_max_(operations_max), bytes_max_(bytes_max) {}

  struct Collected {
    std::string entries;
    std::vector<Waiter> waiters;
  };

  // `may_overtake`: may go into the log before what was added earlier.
  void add(const Operation& op, const Waiter& waiter, bool may_overtake = false);
  bool empty() const { return lane_.empty() && urgent_.empty(); }
  // More is collected than the next batch takes.
  bool is_behind() const { return !lane_.full.empty(); }
  // The next batch. REQUIRES: not empty.
  Collected take(std::uint64_t unix_ms);
  // Bytes in batches that were not taken.
  std::size_t size_bytes() const { return lane_.size_bytes() + urgent_.size_bytes(); }

  // Batches of what is not urgent are numbered from 1: the one that what was last added is in, and the last
  // one taken. What is urgent is taken before any of those that were not, so who waits for these waits for
  // it, too.
  std::uint64_t last_added() const { return taken_ + lane_.batches(); }
  std::uint64_t last_taken() const { return taken_; }

 private:
  struct Full {
    BatchWriter writer;
    std::vector<Waiter> waiters;
  };
  struct Lane {
    BatchWriter writer;
    std::vector<Waiter> waiters;
    std::deque<Full> full;
    std::size_t full_bytes = 0;

    bool empty() const { return writer.count() == 0 && full.empty(); }
    std::size_t batches() const { return full.size() + (writer.count() == 0 ? 0 : 1); }
    std::size_t size_bytes() const { return full_bytes + (writer.count() == 0 ? 0 : writer.size_bytes()); }
    Collected take(std::uint64_t unix_ms);
  };

  std::size_t operations_max_;
  std::size_t bytes_max_;
  Lane lane_;
  Lane urgent_;
  std::uint64_t taken_ = 0;
};

// Renewals and queries that wait for the same barrier.
struct Reads {
  std::uint64_t after_batch = 0;  // they came after operations in this batch of the Collector
  std::uint64_t barrier = 0;      // 0: not taken, as that batch is not in the log yet
  LogIndex logged;  // in the log when the barrier was taken, and to be applied before the answer

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
