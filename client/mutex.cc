#include "dlm/mutex.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "client/error.h"

namespace dlm {

namespace client {

// std::lock() locks one, tries the others, and when a try fails gives back what it has and begins with the
// one that was taken. Two threads that do so against each other would go on in step for ever: what one gives
// back the other gets, while what that one gave back is asked for at once. So a thread whose try failed
// pauses before its next lock(), at random, longer each time.
class BackOff {
 public:
  using Duration = std::chrono::steady_clock::duration;

  void failed(Duration round_trip) {
    longest_ = std::min<Duration>(std::max(4 * round_trip, 2 * longest_), kLongest);
    due_ = true;
  }
  void succeeded() {
    longest_ = Duration::zero();
    due_ = false;
  }
  void pause() {
    if (!std::exchange(due_, false)) return;
    std::uniform_int_distribution<Duration::rep> length(0, longest_.count());
    std::this_thread::sleep_for(Duration(length(random_)));
  }

 private:
  static constexpr std::chrono::milliseconds kLongest{50};
  Duration longest_{0};
  bool due_ = false;
  std::minstd_rand random_{std::random_device{}()};
};

// The holds taken through one mutex object: one exclusive, or one shared per thread.
class MutexState {
 public:
  MutexState(Client& client, std::string resource) : client_(client), resource_(std::move(resource)) {}

  const std::string& resource() const { return resource_; }

  // Each acquisition is an owner of its own, or the lock would be reentrant across threads.
  bool acquire(LockMode mode, std::optional<std::chrono::milliseconds> wait) {
    static std::atomic<std::uint64_t> acquisitions{0};
    AcquireOptions options;
    options.mode = mode;
    options.wait = wait;
    options.owner_tag = "mutex-" + std::to_string(acquisitions.fetch_add(1, std::memory_order_relaxed) + 1);
    thread_local BackOff back_off;
    bool is_try = wait == std::chrono::milliseconds(0);
    if (!wait) back_off.pause();
    auto asked = std::chrono::steady_clock::now();
    Result<Lock> lock = client_.acquire(resource_, std::move(options));
    if (!lock) {
      if (lock.error().status != Status::timed_out) throw LockError(std::move(lock.error()));
      if (is_try) back_off.failed(std::chrono::steady_clock::now() - asked);
      return false;
    }
    if (is_try) back_off.succeeded();
    std::lock_guard guard(mutex_);
    if (mode == LockMode::exclusive) {
      // Another one here was lost: its holder has not unlocked yet, and never needs to any more.
      exclusive_ = std::move(*lock);
      exclusive_thread_ = std::this_thread::get_id();
    } else {
      shared_.insert_or_assign(std::this_thread::get_id(), std::move(*lock));
    }
    return true;
  }

  void release_exclusive() {
    Lock ended;
    std::lock_guard guard(mutex_);
    // Not that of another thread, which got the lock after this thread's hold was lost.
    if (exclusive_thread_ != std::this_thread::get_id()) return;
    ended = std::move(exclusive_);
    exclusive_thread_ = std::thread::id();
  }

  void release_shared() {
    Lock ended;
    std::lock_guard guard(mutex_);
    auto at = shared_.find(std::this_thread::get_id());
    if (at == shared_.end()) return;
    ended = std::move(at->second);
    shared_.erase(at);
  }

  // What `look` sees in the calling thread's hold, else in the exclusive one.
  template <class Look>
  auto look(const Look& look_at) const {
    std::lock_guard guard(mutex_);
    auto at = shared_.find(std::this_thread::get_id());
    return look_at(at != shared_.end() ? at->second : exclusive_);
  }

 private:
  Client& client_;
  const std::string resource_;
  mutable std::mutex mutex_;
  Lock exclusive_;
  std::thread::id exclusive_thread_;
  std::map<std::thread::id, Lock> shared_;
};

}  // namespace client

Mutex::Mutex(Client& client, std::string resource)
    : state_(std::make_unique<client::MutexState>(client, std::move(resource))) {}
Mutex::~Mutex() = default;

void Mutex::lock() {
  lock_within(std::nullopt);
}
bool Mutex::try_lock() {
  return lock_within(std::chrono::milliseconds(0));
}
bool Mutex::lock_within(std::optional<std::chrono::milliseconds> wait) {
  return state_->acquire(LockMode::exclusive, wait);
}
void Mutex::unlock() noexcept {
  state_->release_exclusive();
}

FencingToken Mutex::token() const {
  return state_->look([](const Lock& lock) { return lock.token(); });
}
LockState Mutex::state() const {
  return state_->look([](const Lock& lock) { return lock.state(); });
}
BoottimeClock::time_point Mutex::local_deadline() const {
  return state_->look([](const Lock& lock) { return lock.local_deadline(); });
}
std::stop_token Mutex::stop_token() const {
  return state_->look([](const Lock& lock) { return lock.stop_token(); });
}
const std::string& Mutex::resource() const noexcept {
  return state_->resource();
}

SharedMutex::SharedMutex(Client& client, std::string resource)
    : state_(std::make_unique<client::MutexState>(client, std::move(resource))) {}
SharedMutex::~SharedMutex() = default;

void SharedMutex::lock() {
  lock_within(LockMode::exclusive, std::nullopt);
}
bool SharedMutex::try_lock() {
  return lock_within(LockMode::exclusive, std::chrono::milliseconds(0));
}
void SharedMutex::unlock() noexcept {
  state_->release_exclusive();
}
void SharedMutex::lock_shared() {
  lock_within(LockMode::shared, std::nullopt);
}
bool SharedMutex::try_lock_shared() {
  return lock_within(LockMode::shared, std::chrono::milliseconds(0));
}
void SharedMutex::unlock_shared() noexcept {
  state_->release_shared();
}
bool SharedMutex::lock_within(LockMode mode, std::optional<std::chrono::milliseconds> wait) {
  return state_->acquire(mode, wait);
}

FencingToken SharedMutex::token() const {
  return state_->look([](const Lock& lock) { return lock.token(); });
}
LockState SharedMutex::state() const {
  return state_->look([](const Lock& lock) { return lock.state(); });
}
BoottimeClock::time_point SharedMutex::local_deadline() const {
  return state_->look([](const Lock& lock) { return lock.local_deadline(); });
}
std::stop_token SharedMutex::stop_token() const {
  return state_->look([](const Lock& lock) { return lock.stop_token(); });
}
const std::string& SharedMutex::resource() const noexcept {
  return state_->resource();
}

}  // namespace dlm
