// What a Lock handle and the engine share about one hold.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "client/core/session_core.h"
#include "client/deadline_cell.h"
#include "dlm/clock.h"
#include "dlm/lock.h"

namespace dlm::client {

class Engine;

// The cell of a term, shared by all holds that live in it.
struct TermCell {
  TermCell(Term term_, std::uint64_t deadline_ms, std::uint64_t jeopardy_ms)
      : term(term_), deadline(deadline_ms, jeopardy_ms) {}
  const Term term;
  DeadlineCell deadline;
};

// Any thread. The identity is fixed when it is made.
class Hold {
 public:
  struct Identity {
    HoldId id;
    std::string resource;
    std::string owner_tag;
    LockMode mode = LockMode::exclusive;
    LeaseKind lease = LeaseKind::session;
    GroupId group;
    std::uint32_t count = 0;
    std::weak_ptr<Engine> engine;
    std::shared_ptr<TermCell> term;  // null: lives by its own lease alone
  };
  Hold(Identity identity, FencingToken token, std::uint64_t lease_deadline_ms,
       std::uint64_t lease_jeopardy_ms);

  const Identity& identity() const { return identity_; }
  FencingToken token() const { return FencingToken(token_.load(std::memory_order_acquire)); }

  LockState state();
  LostCause lost_cause();
  std::string lost_reason();
  BoottimeClock::time_point local_deadline() const;
  // The state turns to released, unless it is that already (then false) or lost.
  bool begin_release();
  // Nobody is to be called back any more.
  void silence();
  // What an operation on a hold that is lost answers.
  Error lost_error();

  void on_lost(std::function<void(LostCause)> callback);
  void on_jeopardy(std::function<void()> callback);
  std::stop_token stop_token();

  // I/O thread:
  void set_token(FencingToken token) { token_.store(token.value, std::memory_order_release); }
  // False: a reader has found the lease ended.
  bool set_lease(std::uint64_t deadline_ms, std::uint64_t jeopardy_ms);
  // The hold is lost; calls back, once.
  void lose(LostCause cause, const std::string& message);
  void jeopardy();

 private:
  void found_passed(LostCause cause);

  const Identity identity_;
  std::atomic<std::uint64_t> token_;
  DeadlineCell lease_;  // of its own; far away for session-bound holds
  std::atomic<LostCause> cause_{LostCause::none};
  std::atomic<bool> released_{false};
  std::mutex mutex_;
  std::string message_;
  bool told_ = false;  // lose() has been here
  std::function<void(LostCause)> on_lost_;
  std::function<void()> on_jeopardy_;
  std::optional<std::stop_source> stop_;
};

}  // namespace dlm::client
