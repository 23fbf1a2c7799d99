// Which sequences have been answered: gives the next sequence, and the one below which everything was. Pure.
#pragma once

#include <cstdint>
#include <deque>

#include "schema/types.h"

namespace dlm::client {

class AnswerWindow {
 public:
  Sequence take() {
    answered_.push_back(false);
    return Sequence(first_ + answered_.size() - 1);
  }

  // Every answer to a sequence below this has come.
  Sequence acked_below() const { return Sequence(first_); }

  // Also more than once, and for sequences long passed.
  void answered(Sequence sequence) {
    if (sequence.value < first_ || sequence.value - first_ >= answered_.size()) return;
    answered_[sequence.value - first_] = true;
    while (!answered_.empty() && answered_.front()) {
      answered_.pop_front();
      ++first_;
    }
  }

 private:
  std::uint64_t first_ = 1;
  std::deque<bool> answered_;  // from first_ on
};

}  // namespace dlm::client
