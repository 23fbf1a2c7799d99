#include "coordinator/timers.h"

#include <utility>

namespace dlm::coordinator {

void Timers::after(std::uint32_t delay_ms, Task task) {
  std::lock_guard lock(mutex_);
  if (stopped_) return;
  tasks_.emplace(Clock::now() + std::chrono::milliseconds(delay_ms), std::move(task));
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_one();
}

void Timers::stop() {
  std::multimap<Clock::time_point, Task> dropped;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(tasks_);
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Timers::run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (tasks_.empty()) {
      changed_.wait(lock);
      continue;
    }
    auto first = tasks_.begin();
    if (Clock::time_point due = first->first; due > Clock::now()) {
      changed_.wait_until(lock, due);
      continue;
    }
    Task task = std::move(first->second);
    tasks_.erase(first);
    lock.unlock();
    task();
    task = nullptr;  // what it holds may be destroyed only without the lock
    lock.lock();
  }
}

}  // namespace dlm::coordinator
