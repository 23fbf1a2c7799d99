// Timers for the coordinators' shells: a thread that runs small tasks later. Internal to coordinator/.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace dlm::coordinator {

// Safe to call from any thread. Tasks run on the timers' own thread, in the order of their deadlines and,
// with the same deadline, of their making; they are expected to do no more than to post to an executor. The
// thread starts with the first task.
class Timers {
 public:
  using Task = std::function<void()>;

  Timers() = default;
  ~Timers() { stop(); }
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  void after(std::uint32_t delay_ms, Task task);

  // Drops what has not begun and waits for what has. Nothing runs afterwards, and later tasks are dropped.
  // Not to be called by a task.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;

  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<Clock::time_point, Task> tasks_;  // insertion keeps the order of equal keys
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace dlm::coordinator
