// Distributed locks in the shape of the standard's mutexes, for std::unique_lock, std::shared_lock, std::lock
// and std::scoped_lock.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "dlm/client.h"
#include "dlm/lock.h"

namespace dlm {

namespace client {
class MutexState;
}

// Meets the standard's TimedLockable. As a std::timed_mutex it is not reentrant; two objects with the same
// resource, in any process, exclude each other, and so do two threads on one object. lock() and its kin throw
// LockError on faults (unavailable, session expired, …) and give false on contention only. Waits are in line
// with all other clients (FIFO). Thread-safe; must not outlive `client`.
class Mutex {
 public:
  Mutex(Client& client, std::string resource);
  ~Mutex();  // a hold that is left is given back
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // After a try_lock() of this thread that failed: a random pause first, 50 ms at most, so that two
  // std::lock() of several mutexes in different orders do not back off from each other for ever.
  void lock();
  bool try_lock();
  template <class Rep, class Period>
  bool try_lock_for(const std::chrono::duration<Rep, Period>& wait) {
    return lock_within(to_wait(wait));
  }
  template <class Clock, class Duration>
  bool try_lock_until(const std::chrono::time_point<Clock, Duration>& until) {
    return lock_within(to_wait(until - Clock::now()));
  }
  // Gives the lock back in the background, in order before whatever this client asks next; does not block. A
  // hold that was lost meanwhile is just forgotten: ask state() before relying on what was done under it.
  void unlock() noexcept;

  // Of the current hold; REQUIRES: the calling thread holds the mutex. state(): also released, when nobody
  // does.
  FencingToken token() const;
  LockState state() const;
  BoottimeClock::time_point local_deadline() const;
  std::stop_token stop_token() const;

  const std::string& resource() const noexcept;

 private:
  template <class Rep, class Period>
  static std::chrono::milliseconds to_wait(const std::chrono::duration<Rep, Period>& wait);
  bool lock_within(std::optional<std::chrono::milliseconds> wait);
  friend class SharedMutex;
  std::unique_ptr<client::MutexState> state_;
};

// Meets the standard's SharedTimedLockable; all else as Mutex. Not upgradable. Neither readers nor writers
// starve: one line for both.
class SharedMutex {
 public:
  SharedMutex(Client& client, std::string resource);
  ~SharedMutex();
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  void lock();
  bool try_lock();
  template <class Rep, class Period>
  bool try_lock_for(const std::chrono::duration<Rep, Period>& wait) {
    return lock_within(LockMode::exclusive, Mutex::to_wait(wait));
  }
  template <class Clock, class Duration>
  bool try_lock_until(const std::chrono::time_point<Clock, Duration>& until) {
    return lock_within(LockMode::exclusive, Mutex::to_wait(until - Clock::now()));
  }
  void unlock() noexcept;

  void lock_shared();
  bool try_lock_shared();
  template <class Rep, class Period>
  bool try_lock_shared_for(const std::chrono::duration<Rep, Period>& wait) {
    return lock_within(LockMode::shared, Mutex::to_wait(wait));
  }
  template <class Clock, class Duration>
  bool try_lock_shared_until(const std::chrono::time_point<Clock, Duration>& until) {
    return lock_within(LockMode::shared, Mutex::to_wait(until - Clock::now()));
  }
  // As the standard asks, by the thread that locked it.
  void unlock_shared() noexcept;

  // Of the calling thread's own hold, else of the exclusive one.
  FencingToken token() const;
  LockState state() const;
  BoottimeClock::time_point local_deadline() const;
  std::stop_token stop_token() const;

  const std::string& resource() const noexcept;

 private:
  bool lock_within(LockMode mode, std::optional<std::chrono::milliseconds> wait);
  std::unique_ptr<client::MutexState> state_;
};

template <class Rep, class Period>
std::chrono::milliseconds Mutex::to_wait(const std::chrono::duration<Rep, Period>& wait) {
  // Rounded up, so that a try never ends early; clamped, so that any duration may be passed.
  constexpr std::chrono::milliseconds longest{kWaitForeverMs - 1};
  if (wait <= wait.zero()) return std::chrono::milliseconds{0};
  if (std::chrono::duration<double>(wait) >= std::chrono::duration<double>(longest)) return longest;
  return std::chrono::ceil<std::chrono::milliseconds>(wait);
}

}  // namespace dlm
