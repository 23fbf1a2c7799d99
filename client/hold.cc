#include "client/hold.h"

#include <algorithm>
#include <utility>

#include "client/boottime_timer.h"
#include "client/engine.h"

namespace dlm::client {

Hold::Hold(Identity identity, FencingToken token, std::uint64_t lease_deadline_ms,
           std::uint64_t lease_jeopardy_ms)
    : identity_(std::move(identity)),
      token_(token.value),
      lease_(lease_deadline_ms == 0 ? kNever : lease_deadline_ms,
             lease_deadline_ms == 0 ? kNever : lease_jeopardy_ms) {}

LockState Hold::state() {
  if (released_.load(std::memory_order_acquire)) return LockState::released;
  if (cause_.load(std::memory_order_acquire) != LostCause::none) return LockState::lost;
  std::uint64_t now_ms = boottime_ms();
  DeadlineCell::State lease = lease_.check(now_ms);
  DeadlineCell::State session = DeadlineCell::State::good;
  if (identity_.term) session = identity_.term->deadline.check(now_ms);
  if (lease == DeadlineCell::State::passed) {
    found_passed(LostCause::lease_ended);
    return LockState::lost;
  }
  if (session == DeadlineCell::State::passed) {
    found_passed(LostCause::deadline_passed);
    return LockState::lost;
  }
  bool endangered = lease == DeadlineCell::State::jeopardy || session == DeadlineCell::State::jeopardy;
  return endangered ? LockState::jeopardy : LockState::held;
}

// This thread was first to see it; the I/O thread will call back.
void Hold::found_passed(LostCause cause) {
  LostCause none = LostCause::none;
  if (!cause_.compare_exchange_strong(none, cause, std::memory_order_acq_rel)) return;
  std::shared_ptr<Engine> engine = identity_.engine.lock();
  if (!engine) return;
  if (cause == LostCause::lease_ended) {
    engine->lease_passed(identity_.id);
  } else {
    engine->term_passed(identity_.term->term);
  }
}

LostCause Hold::lost_cause() {
  state();
  return cause_.load(std::memory_order_acquire);
}

std::string Hold::lost_reason() {
  LostCause cause = lost_cause();
  if (cause == LostCause::none) return "";
  std::lock_guard guard(mutex_);
  std::string reason(to_string(cause));
  return message_.empty() ? reason : reason + ": " + message_;
}

Error Hold::lost_error() {
  Error error;
  error.resource = identity_.resource;
  error.group = identity_.group;
  error.message = lost_reason();
  switch (lost_cause()) {
    case LostCause::session_expired:
    case LostCause::deadline_passed:
      error.status = Status::session_expired;
      break;
    case LostCause::client_closed:
      error.status = Status::unavailable;
      break;
    case LostCause::lease_ended:
      error.status = Status::not_held;
      error.cause = EndCause::expired;
      break;
    case LostCause::not_held:
    case LostCause::none:
      error.status = Status::not_held;
      error.cause = EndCause::released;
      break;
  }
  return error;
}

BoottimeClock::time_point Hold::local_deadline() const {
  std::uint64_t deadline_ms = lease_.deadline_ms();
  if (identity_.term) deadline_ms = std::min(deadline_ms, identity_.term->deadline.deadline_ms());
  deadline_ms = std::min<std::uint64_t>(deadline_ms, std::uint64_t{INT64_MAX} / 1'000'000);
  return BoottimeClock::time_point(std::chrono::milliseconds(deadline_ms));
}

bool Hold::begin_release() {
  return !released_.exchange(true, std::memory_order_acq_rel);
}

void Hold::silence() {
  std::function<void(LostCause)> lost;
  std::function<void()> endangered;
  std::lock_guard guard(mutex_);
  lost.swap(on_lost_);
  endangered.swap(on_jeopardy_);
}

void Hold::on_lost(std::function<void(LostCause)> callback) {
  LockState now = state();
  {
    std::lock_guard guard(mutex_);
    if (!told_ && now != LockState::lost) {
      on_lost_ = std::move(callback);
      return;
    }
  }
  if (callback) callback(lost_cause());
}

void Hold::on_jeopardy(std::function<void()> callback) {
  std::lock_guard guard(mutex_);
  on_jeopardy_ = std::move(callback);
}

std::stop_token Hold::stop_token() {
  bool lost = state() == LockState::lost;
  std::stop_source source;
  {
    std::lock_guard guard(mutex_);
    if (!stop_) stop_.emplace();
    source = *stop_;
    lost = lost || told_;
  }
  if (lost) source.request_stop();
  return source.get_token();
}

bool Hold::set_lease(std::uint64_t deadline_ms, std::uint64_t jeopardy_ms) {
  return lease_.set(deadline_ms, jeopardy_ms);
}

void Hold::lose(LostCause cause, const std::string& message) {
  LostCause none = LostCause::none;
  bool first = cause_.compare_exchange_strong(none, cause, std::memory_order_acq_rel);
  std::function<void(LostCause)> callback;
  std::optional<std::stop_source> stop;
  {
    std::lock_guard guard(mutex_);
    if (told_) return;
    told_ = true;
    if (first || none == cause) message_ = message;
    callback.swap(on_lost_);
    stop = stop_;
    on_jeopardy_ = nullptr;
  }
  if (released_.load(std::memory_order_acquire)) return;
  if (stop) stop->request_stop();
  if (callback) callback(cause_.load(std::memory_order_acquire));
}

void Hold::jeopardy() {
  std::function<void()> callback;
  {
    std::lock_guard guard(mutex_);
    callback = on_jeopardy_;
  }
  if (callback && !released_.load(std::memory_order_acquire)) callback();
}

}  // namespace dlm::client
