// Operations of a group that wait to be sent, in the order in which they arrived. Internal to router/core.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "router/core/pending.h"

namespace dlm::router {

// May name slots whose use is over, or operations that went elsewhere: whoever takes one looks.
class Lane {
 public:
  std::size_t size() const { return refs_.size() - head_; }
  bool empty() const { return head_ == refs_.size(); }
  const PendingRef& front() const { return refs_[head_]; }
  void pop() {
    if (++head_ < refs_.size() && (head_ < kGapMin || head_ < refs_.size() / 2)) return;
    refs_.erase(refs_.begin(), begin());  // a lane that never gets empty must not grow for ever
    head_ = 0;
  }
  void push(const PendingRef& ref) { refs_.push_back(ref); }

  std::vector<PendingRef>::const_iterator begin() const {
    return refs_.begin() + static_cast<std::ptrdiff_t>(head_);
  }
  std::vector<PendingRef>::const_iterator end() const { return refs_.end(); }

  template <class Gone>
  void clean(Gone gone) {
    refs_.erase(refs_.begin(), begin());
    head_ = 0;
    std::erase_if(refs_, gone);
  }
  // Puts back what had left, each in its place.
  void merge(std::vector<PendingRef>& back) {
    back.insert(back.end(), begin(), end());
    std::sort(back.begin(), back.end(),
              [](const PendingRef& a, const PendingRef& b) { return a.arrival < b.arrival; });
    refs_.swap(back);
    head_ = 0;
  }

 private:
  static constexpr std::size_t kGapMin = 1'024;

  std::vector<PendingRef> refs_;
  std::size_t head_ = 0;  // those before it have left
};

}  // namespace dlm::router
