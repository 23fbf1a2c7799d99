#include "test/chaos/workload/graveyard.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "test/chaos/workload/journal.h"

namespace dlm::chaos {

Graveyard::~Graveyard() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    changed_.notify_one();
  }
  thread_.join();
}

void Graveyard::bury(std::unique_ptr<Client> client, std::vector<Lock> locks, std::int64_t until_ns) {
  std::lock_guard lock(mutex_);
  graves_.push_back({std::move(client), std::move(locks), until_ns});
  changed_.notify_one();
}

void Graveyard::run() {
  std::unique_lock lock(mutex_);
  while (!closing_ || !graves_.empty()) {
    auto next = std::min_element(graves_.begin(), graves_.end(),
                                 [](const Grave& a, const Grave& b) { return a.until_ns < b.until_ns; });
    if (next == graves_.end()) {
      changed_.wait(lock);
      continue;
    }
    const std::int64_t left_ns = next->until_ns - now_ns();
    if (left_ns > 0) {
      changed_.wait_for(lock, std::chrono::nanoseconds(left_ns));
      continue;
    }
    Grave over = std::move(*next);
    graves_.erase(next);
    lock.unlock();
    over.locks.clear();
    over.client.reset();  // takes up to a second when no router can be reached
    lock.lock();
  }
}

}  // namespace dlm::chaos
