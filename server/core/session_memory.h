// What a session remembers of its past operations, so that a repeat of one gets the answer of the first
// try.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
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

// Answers in the order of their sequences. Appending at the end and forgetting at the front are what happens
// mostly; where many operations of a session are under way at once, answers come in any order, so these lie
// in blocks, and one that comes late moves no more than a block.
class AnswerMemory {
  using Block = std::vector<StoredAnswer>;  // in order; not empty, but for a single one when there is none

 public:
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = StoredAnswer;
    using difference_type = std::ptrdiff_t;
    using pointer = const StoredAnswer*;
    using reference = const StoredAnswer&;

    reference operator*() const { return (*block_)[at_]; }
    pointer operator->() const { return &**this; }
    Iterator& operator++() {
      if (++at_ == block_->size()) {
        ++block_;
        at_ = 0;
      }
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    friend class AnswerMemory;
    Iterator(const Block* block, std::size_t at) : block_(block), at_(at) {}
    const Block* block_;
    std::size_t at_;
  };

  const StoredAnswer* find(Sequence sequence) const {
    if (size_ == 0 || last() < sequence) return nullptr;
    const std::size_t block = block_of(sequence);
    const std::size_t at = place_in(block, sequence);
    return blocks_[block][at].sequence == sequence ? &blocks_[block][at] : nullptr;
  }

  // False, and nothing done, when there is an answer of this sequence.
  bool insert(const StoredAnswer& answer) {
    if (size_ == 0 || last() < answer.sequence) {
      if (blocks_.empty() || blocks_.back().size() >= kBlockMax) blocks_.emplace_back();
      blocks_.back().push_back(answer);
      ++size_;
      return true;
    }
    const std::size_t block = block_of(answer.sequence);
    const std::size_t at = place_in(block, answer.sequence);
    Block& answers = blocks_[block];
    if (answers[at].sequence == answer.sequence) return false;
    answers.insert(answers.begin() + static_cast<std::ptrdiff_t>(at), answer);
    ++size_;
    if (answers.size() > kBlockMax) split(block);
    return true;
  }

  // Forgets all below `sequence`; each is told to `forgotten` first.
  template <class F>
  void forget_below(Sequence sequence, F&& forgotten) {
    std::size_t blocks = 0;  // forgotten as a whole
    for (; size_ != 0; ++blocks, begin_ = 0) {
      const Block& block = blocks_[blocks];
      for (; begin_ < block.size() && block[begin_].sequence < sequence; --size_) forgotten(block[begin_++]);
      if (begin_ < block.size()) break;
    }
    if (size_ == 0) return clear();
    blocks_.erase(blocks_.begin(), blocks_.begin() + static_cast<std::ptrdiff_t>(blocks));
    if (begin_ > blocks_.front().size() / 2) drop_forgotten();
  }

  std::size_t size() const { return size_; }
  Iterator begin() const { return size_ == 0 ? end() : Iterator(blocks_.data(), begin_); }
  Iterator end() const { return {blocks_.data() + blocks_.size(), 0}; }

 private:
  static constexpr std::size_t kBlockMax = 128;
  static constexpr std::size_t kKeptCapacity = 64;

  Sequence last() const { return blocks_.back().back().sequence; }
  // The first that ends at `sequence` or later; there is one.
  std::size_t block_of(Sequence sequence) const {
    const auto it =
        std::lower_bound(blocks_.begin(), blocks_.end(), sequence,
                         [](const Block& block, Sequence s) { return block.back().sequence < s; });
    return static_cast<std::size_t>(it - blocks_.begin());
  }
  std::size_t place_in(std::size_t block, Sequence sequence) const {
    const Block& answers = blocks_[block];
    const auto it =
        std::lower_bound(answers.begin() + (block == 0 ? begin_ : 0), answers.end(), sequence,
                         [](const StoredAnswer& answer, Sequence s) { return answer.sequence < s; });
    return static_cast<std::size_t>(it - answers.begin());
  }

  void split(std::size_t block) {
    if (block == 0) drop_forgotten();
    Block& answers = blocks_[block];
    const auto middle = answers.begin() + static_cast<std::ptrdiff_t>(answers.size() / 2);
    Block upper(middle, answers.end());
    answers.erase(middle, answers.end());
    blocks_.insert(blocks_.begin() + static_cast<std::ptrdiff_t>(block) + 1, std::move(upper));
  }
  void drop_forgotten() {
    blocks_.front().erase(blocks_.front().begin(), blocks_.front().begin() + begin_);
    begin_ = 0;
  }
  void clear() {
    begin_ = 0;
    if (blocks_.size() != 1 || blocks_.front().capacity() > kKeptCapacity) {
      blocks_ = {};
    } else {
      blocks_.front().clear();
    }
  }

  std::vector<Block> blocks_;
  std::uint32_t begin_ = 0;  // those before it in the first block are forgotten
  std::uint32_t size_ = 0;
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
