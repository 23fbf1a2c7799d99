#include "schema/wire/event_loop.h"

#include <kj/debug.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <mutex>

#include "schema/wire/turn.h"

// How KJ runs inside Asio. KJ's event queue tells its port by setRunnable(true) that it is no longer empty;
// the pump then runs the queue until it is empty, at the end of the turn (see turn.h). Never at once:
// setRunnable is called from the depths of whoever made an event, and what other handlers are about to add
// shall leave in the same turn.
//
// Only kj::EventLoop::run() reports an empty queue back, without which the next setRunnable(true) would not
// come; only kj::WaitScope::poll() takes in events of other threads. So the pump calls the second when
// another thread called wake(), and the first always, and last.
//
// kj::TimerImpl is a heap of promises without a clock. The pump advances it, and one Asio timer stands at its
// next event.

namespace dlm::wire {
namespace {

using SteadyClock = std::chrono::steady_clock;
using boost::asio::io_context;

// Events per pump: more leave room for sockets in between.
constexpr unsigned kPumpTurnsMax = 10'000;

kj::TimePoint kj_now() {
  auto since_epoch =
      std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now().time_since_epoch());
  return kj::origin<kj::TimePoint>() + since_epoch.count() * kj::NANOSECONDS;
}

SteadyClock::time_point steady_time(kj::TimePoint time) {
  auto since_origin = (time - kj::origin<kj::TimePoint>()) / kj::NANOSECONDS;
  return SteadyClock::time_point(std::chrono::nanoseconds(since_origin));
}

// The way in for other threads, which may be used longer than the loop lives.
struct Gate {
  std::mutex mutex;
  io_context* io = nullptr;

  void post(std::function<void()> task) {
    std::lock_guard lock(mutex);
    if (io != nullptr) boost::asio::post(*io, std::move(task));
  }
};

}  // namespace

struct EventLoop::Impl final : private kj::EventPort, private kj::Timer {
  Impl()
      : timers(kj_now()),
        loop(static_cast<kj::EventPort&>(*this)),
        scope(loop),
        io(1),
        guard(io.get_executor()),
        next_timer(io),
        gate(std::make_shared<Gate>()) {
    gate->io = &io;
  }

  ~Impl() noexcept(false) {
    {
      std::lock_guard lock(gate->mutex);
      gate->io = nullptr;
    }
    closing = true;
    scope.cancelAllDetached();
  }

  kj::Timer& timer() { return *this; }

  // kj::EventPort
  bool wait() override {
    KJ_FAIL_REQUIRE("a promise was waited for on a loop of Asio: use EventLoop::wait_for");
  }
  bool poll() override { return woken.exchange(false); }
  void setRunnable(bool runnable) override {
    if (runnable) schedule_pump();
  }
  void wake() const override {
    woken.store(true);
    gate->post([this] { const_cast<Impl*>(this)->schedule_pump(); });
  }

  // kj::Timer: TimerImpl's own idea of now is that of the last pump, which may be long ago.
  kj::TimePoint now() const override { return kj_now(); }
  kj::Promise<void> atTime(kj::TimePoint time) override {
    auto promise = timers.atTime(time);
    arm(time);
    return promise;
  }
  kj::Promise<void> afterDelay(kj::Duration delay) override { return atTime(kj_now() + delay); }

  void schedule_pump() {
    if (pump_scheduled || closing) return;
    pump_scheduled = true;
    Turn::of(io).at_end(Turn::Phase::pump, this, nullptr,
                        [](void* self, std::shared_ptr<void>&&) { static_cast<Impl*>(self)->pump(); });
  }

  void pump() {
    timers.advanceTo(kj_now());
    if (woken.load()) scope.poll();
    loop.run(kPumpTurnsMax);
    pump_scheduled = false;  // only now: the events of this turn need no further pump
    if (loop.isRunnable()) schedule_pump();
    KJ_IF_MAYBE (next, timers.nextEvent()) {
      arm(*next);
    }
  }

  // Lets the Asio timer expire at `time` at the latest. An earlier expiry finds nothing to do, and arms
  // again.
  void arm(kj::TimePoint time) {
    SteadyClock::time_point when = steady_time(time);
    if (armed && armed_for <= when) return;
    armed = true;
    armed_for = when;
    next_timer.expires_at(when);
    next_timer.async_wait([this](const boost::system::error_code& cancelled) {
      if (cancelled) return;
      armed = false;
      schedule_pump();
    });
  }

  // Destroyed from the last to the first: handlers that never ran may own promises and capabilities, so they
  // go while the KJ loop is still there, and that before the timers its promises may hold.
  kj::TimerImpl timers;
  kj::EventLoop loop;
  kj::WaitScope scope;
  io_context io;
  boost::asio::executor_work_guard<io_context::executor_type> guard;
  boost::asio::steady_timer next_timer;
  std::shared_ptr<Gate> gate;
  mutable std::atomic<bool> woken = false;
  bool pump_scheduled = false;
  bool closing = false;
  bool armed = false;
  SteadyClock::time_point armed_for;
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}
EventLoop::~EventLoop() = default;

boost::asio::io_context& EventLoop::io() {
  return impl_->io;
}
kj::Timer& EventLoop::timer() {
  return impl_->timer();
}

void EventLoop::run(std::chrono::nanoseconds busy_poll) {
  Turn::run(impl_->io, busy_poll);
  impl_->io.restart();
}

void EventLoop::stop() {
  impl_->io.stop();
}

void EventLoop::post(std::function<void()> task) {
  boost::asio::post(impl_->io, std::move(task));
}

std::function<void(std::function<void()>)> EventLoop::executor() {
  return [gate = impl_->gate](std::function<void()> task) { gate->post(std::move(task)); };
}

std::uint64_t EventLoop::now_ms() {
  auto since_epoch = SteadyClock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count());
}

std::uint64_t EventLoop::unix_ms() {
  auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count());
}

void EventLoop::run_until(const bool& done) {
  while (!done) {
    KJ_REQUIRE(impl_->io.run_one() > 0, "the loop was stopped");
  }
}

}  // namespace dlm::wire
