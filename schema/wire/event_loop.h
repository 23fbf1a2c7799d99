// One thread's event loop: KJ's promises and Cap'n Proto RPC inside a Boost.Asio io_context, with Asio's
// timers, signals and sockets beside them. KJ's events are pumped from one posted handler; see event_loop.cc
// for why.
#pragma once

#include <kj/async.h>
#include <kj/timer.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>

namespace dlm::wire {

// Belongs to the thread that constructs it; all but post(), stop() and executor()'s tasks must be used there.
class EventLoop {
 public:
  EventLoop();
  ~EventLoop();  // REQUIRES: everything that uses the loop is gone, capabilities first
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  boost::asio::io_context& io();
  kj::Timer& timer();

  // Runs until stop(). May be called again afterwards. Waits awake for up to `busy_poll` (see
  // busy_polling.h).
  void run(std::chrono::nanoseconds busy_poll = {});
  // From any thread; run() returns soon, at the latest after the handlers that are ready.
  void stop();
  // Runs `task` on the loop, later. From any thread, also before run().
  void post(std::function<void()> task);
  // post() as a value, for coordinators.
  std::function<void(std::function<void()>)> executor();

  // Milliseconds of a monotonic clock (CLOCK_MONOTONIC), and of the wall clock: what shells pass to pure
  // cores.
  static std::uint64_t now_ms();
  static std::uint64_t unix_ms();

  // Runs the loop until the promise is done: tests and programs' beginnings only.
  template <class T>
  T wait_for(kj::Promise<T> promise);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  void run_until(const bool& done);
};

template <class T>
T EventLoop::wait_for(kj::Promise<T> promise) {
  bool done = false;
  kj::Maybe<kj::Exception> failure;
  if constexpr (std::is_void_v<T>) {
    auto running = promise
                       .then([&] { done = true; },
                             [&](kj::Exception&& e) {
                               failure = kj::mv(e);
                               done = true;
                             })
                       .eagerlyEvaluate(nullptr);
    run_until(done);
    KJ_IF_MAYBE (e, failure) {
      kj::throwFatalException(kj::mv(*e));
    }
  } else {
    kj::Maybe<T> result;
    auto running = promise
                       .then(
                           [&](T&& value) {
                             result = kj::mv(value);
                             done = true;
                           },
                           [&](kj::Exception&& e) {
                             failure = kj::mv(e);
                             done = true;
                           })
                       .eagerlyEvaluate(nullptr);
    run_until(done);
    KJ_IF_MAYBE (e, failure) {
      kj::throwFatalException(kj::mv(*e));
    }
    KJ_IF_MAYBE (value, result) {
      return kj::mv(*value);
    }
    KJ_UNREACHABLE;
  }
}

}  // namespace dlm::wire
