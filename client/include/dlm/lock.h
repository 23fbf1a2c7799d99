// A lock that is held: releases itself, and knows when it is no longer safe to act on it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "dlm/clock.h"
#include "dlm/result.h"
#include "schema/types.h"

namespace dlm {

namespace client {
class Hold;
class Engine;
}  // namespace client

enum class LockState : std::uint8_t {
  held = 0,
  jeopardy = 1,  // still held, but a renewal is overdue: the local deadline nears
  lost = 2,      // may no longer be relied upon; final. lost_cause() says why
  released = 3,  // given back through this handle (or the handle was moved from); final
};

enum class LostCause : std::uint8_t {
  none = 0,             // not lost
  session_expired = 1,  // the group ended the client's session
  lease_ended = 2,      // its own lease (capped, detached) ended unrenewed
  deadline_passed = 3,  // no renewal was confirmed in time; the servers may or may not have ended it
  not_held = 4,  // a group answered that it is not held: released elsewhere, or the group lost its memory
  client_closed = 5,  // its Client was destroyed
};

std::string_view to_string(LockState);
std::string_view to_string(LostCause);

struct ReleaseInfo {
  std::uint32_t count = 0;  // acquisitions of the same owner that remain; 0: the lock is free of it
};

// Move-only handle of one acquisition. Thread-safe but for move, assignment and destruction. May outlive its
// Client: it is then LOST (client_closed). An empty (default, moved-from) handle is `released` and answers
// not_held to everything.
class Lock {
 public:
  Lock() noexcept;
  Lock(Lock&&) noexcept;
  Lock& operator=(Lock&&) noexcept;  // gives back what this one held, as the destructor does
  // Gives the lock back in the background: neither blocks nor throws. Should the release not get through, the
  // hold ends with its session or lease.
  ~Lock();

  // Gives the lock back and waits for the answer, at most the client's request time-out. From then on the
  // handle is `released`, whatever the answer. Errors: not_held (with the cause), session_expired,
  // unavailable (outcome unknown; goes on trying in the background). Not from a callback of the library
  // (invalid_argument): use async.h there.
  Result<ReleaseInfo> release();

  // Restarts the lease of a capped or detached hold; `lease`: a new one, else that of the acquire. Gives the
  // lease in force. For session-bound holds invalid_argument: their renewal goes by itself. Waits as
  // release() does.
  Result<std::chrono::milliseconds> renew(std::optional<std::chrono::milliseconds> lease = std::nullopt);

  // release() and renew() without blocking: `done` is called once, on the client's I/O thread (within the
  // call when the client is gone); it must neither block nor throw. start_release makes the handle `released`
  // at once.
  void start_release(std::function<void(Result<ReleaseInfo>)> done);
  void start_renew(std::optional<std::chrono::milliseconds> lease,
                   std::function<void(Result<std::chrono::milliseconds>)> done);

  // Makes the handle empty without giving the hold back: it ends with its session or lease. The token
  // identifies it.
  void detach() noexcept;

  bool valid() const noexcept;                                                        // not empty
  explicit operator bool() const noexcept { return state() <= LockState::jeopardy; }  // held

  // Compares the clock with the deadline at the time of the call: never says held or jeopardy beyond the
  // local deadline, also in a process that was stopped for a while. Never goes back from lost.
  LockState state() const noexcept;
  LostCause lost_cause() const noexcept;
  // "session expired: …" for people; empty while held.
  std::string lost_reason() const;

  // Sent along with what the lock protects, so that it can refuse a late holder. An upgrade by the same owner
  // raises it.
  FencingToken token() const noexcept;
  const std::string& resource() const noexcept;
  const std::string& owner_tag() const noexcept;
  LockMode mode() const noexcept;
  LeaseKind lease_kind() const noexcept;
  GroupId group() const noexcept;
  // Acquisitions of the owner right after this one (2 and more: reentrant).
  std::uint32_t count() const noexcept;

  // The moment at which it becomes LOST by itself unless a renewal is confirmed before. Earlier than the
  // servers' by construction: counted from when the confirmed request was sent, less 2% for clock drift.
  BoottimeClock::time_point local_deadline() const noexcept;

  // `callback` is called once when the lock is lost, on the client's I/O thread; if it is lost already,
  // within this call. It must not block and must not throw. Not called for a release, nor after the handle is
  // destroyed (a call that has begun may still be running then). A second on_lost replaces the first.
  void on_lost(std::function<void(LostCause)> callback);
  // The same, each time the lock gets into jeopardy.
  void on_jeopardy(std::function<void()> callback);
  // Stop is requested when the lock is lost (on the client's I/O thread); never by a release.
  std::stop_token stop_token() const noexcept;

 private:
  friend class client::Engine;
  explicit Lock(std::shared_ptr<client::Hold> hold) noexcept;
  std::shared_ptr<client::Hold> hold_;  // null: empty
};

}  // namespace dlm
