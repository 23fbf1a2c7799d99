// Times at which something has to be looked at again, soonest first. Entries are never removed, only
// outdated: who takes one checks whether it still means anything. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace dlm::client {

class DeadlineQueue {
 public:
  struct Entry {
    std::uint64_t at_ms = 0;
    std::uint64_t id = 0;
  };

  void push(std::uint64_t at_ms, std::uint64_t id) {
    heap_.push_back({at_ms, id});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  bool empty() const { return heap_.empty(); }
  const Entry& top() const { return heap_.front(); }
  void pop() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    heap_.pop_back();
  }

  // Drops what `outdated(entry)` says is dead once that is most of the queue, so that a million short
  // operations with long deadlines leave nothing behind. Constant on average when called after each push with
  // the count of live ids.
  template <class Outdated>
  void prune(std::size_t live, const Outdated& outdated) {
    if (heap_.size() < 4 * live + 64) return;
    std::erase_if(heap_, outdated);
    std::make_heap(heap_.begin(), heap_.end(), later);
  }

 private:
  // Ties by id, so that the order of events does not depend on the heap's history.
  static bool later(const Entry& a, const Entry& b) {
    return a.at_ms != b.at_ms ? a.at_ms > b.at_ms : a.id > b.id;
  }
  std::vector<Entry> heap_;
};

}  // namespace dlm::client
