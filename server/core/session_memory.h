// What a session remembers of its past operations, so that a repeat of one gets the answer of the first
// try.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "schema/types.h"
#include "server/core/lock_table_messages.h"

namespace dlm::server {

// A final answer, in 32 bytes. What an answer tells besides lies in a few numbers whose meaning depends on
// its kind.
struct StoredAnswer {
  Sequence sequence;
  std::uint64_t number = 0;  // the token; with has_holder: since when the holder holds
  std::uint32_t count =
      0;  // acquisitions; with has_holder: the holder's owner, of which this keeps a reference
  std::uint32_t ttl_ms = 0;  // the lease in force; with a reason: the reason's number
  Status status = Status::ok;
  EndCause cause = EndCause::none;
  Reason reason = Reason::none;
  bool has_holder = false;
  std::uint32_t place =
      0;  // of the resource's hash, the upper half: an arc that moves takes its answers along
};

// A token whose hold expired. Tokens are given by groups, so those of names that were in different groups may
// be equal: the place of the name goes with it.
struct ExpiredToken {
  FencingToken token;
  std::uint32_t place = 0;  // as above
  bool operator==(const ExpiredToken&) const = default;
};

// Answers in the order of their sequences. Appending at the end and forgetting at the front are cheap: that
// is what happens.
class AnswerMemory {
 public:
  const StoredAnswer* find(Sequence sequence) const {
    if (begin_ == answers_.size() || answers_.back().sequence < sequence) return nullptr;
    auto it = place_of(sequence);
    return it != answers_.end() && it->sequence == sequence ? &*it : nullptr;
  }

  // False, and nothing done, when there is an answer of this sequence.
  bool insert(const StoredAnswer& answer) {
    if (begin_ == answers_.size() || answers_.back().sequence < answer.sequence) {
      answers_.push_back(answer);
      return true;
    }
    auto it = place_of(answer.sequence);
    if (it->sequence == answer.sequence) return false;
    answers_.insert(it, answer);
    return true;
  }

  // Forgets all below `sequence`; each is told to `forgotten` first.
  template <class F>
  void forget_below(Sequence sequence, F&& forgotten) {
    while (begin_ != answers_.size() && answers_[begin_].sequence < sequence) forgotten(answers_[begin_++]);
    if (begin_ == answers_.size()) {
      begin_ = 0;
      if (answers_.capacity() > kKeptCapacity) answers_ = {};
      answers_.clear();
    } else if (begin_ > answers_.size() / 2) {
      answers_.erase(answers_.begin(), answers_.begin() + static_cast<std::ptrdiff_t>(begin_));
      begin_ = 0;
    }
  }

  std::size_t size() const { return answers_.size() - begin_; }
  auto begin() const { return answers_.begin() + static_cast<std::ptrdiff_t>(begin_); }
  auto end() const { return answers_.end(); }

 private:
  static constexpr std::size_t kKeptCapacity = 64;

  std::vector<StoredAnswer>::const_iterator place_of(Sequence sequence) const {
    return std::lower_bound(begin(), end(), sequence,
                            [](const StoredAnswer& a, Sequence s) { return a.sequence < s; });
  }

  std::vector<StoredAnswer> answers_;
  std::size_t begin_ = 0;  // those before it are forgotten
};

// The last waits that ended otherwise than in a hold of their own. The client counts "queued" as the answer
// to an acquire, so these may be asked for when acked_below has long passed them.
class EndedWaits {
 public:
  static constexpr std::size_t kMax = 256;

  const StoredAnswer* find(Sequence sequence) const {
    for (const StoredAnswer& ended : ring_)
      if (ended.sequence == sequence) return &ended;
    return nullptr;
  }

  // The one that is forgotten for it is told to `forgotten` first.
  template <class F>
  void add(const StoredAnswer& ended, F&& forgotten) {
    if (ring_.size() < kMax) {
      ring_.push_back(ended);
      return;
    }
    forgotten(ring_[oldest_]);
    ring_[oldest_] = ended;
    oldest_ = (oldest_ + 1) % kMax;
  }

  std::size_t size() const { return ring_.size(); }
  // From the oldest.
  const StoredAnswer& operator[](std::size_t i) const { return ring_[(oldest_ + i) % ring_.size()]; }

 private:
  std::vector<StoredAnswer> ring_;
  std::size_t oldest_ = 0;
};

}  // namespace dlm::server
