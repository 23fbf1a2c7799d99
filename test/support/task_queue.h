// A loop for tests that need no sockets: tasks come from any thread and run, in order, in the thread that
// waits for something.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>

namespace dlm::test {

// Outlives everything that posts to it.
class TaskQueue {
 public:
  void post(std::function<void()> task) {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    posted_.notify_one();
  }

  // Runs tasks until `condition` holds, which is looked at after each. False: it did not within `limit`.
  template <class Condition>
  bool run_until(Condition condition, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (!run_one(deadline)) return condition();
    }
    return true;
  }

  void run_for(std::chrono::milliseconds time) {
    run_until([] { return false; }, time);
  }

 private:
  bool run_one(std::chrono::steady_clock::time_point deadline) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      if (!posted_.wait_until(lock, deadline, [this] { return !tasks_.empty(); })) return false;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
    return true;
  }

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> tasks_;
};

}  // namespace dlm::test
