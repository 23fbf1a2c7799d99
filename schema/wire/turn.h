// The end of a turn of an Asio loop. A turn handles what is ready: sockets that were read, timers, posted
// tasks. What these make necessary is done once, when all of them are through: KJ's events first, then the
// decisions of the pure cores, then the writes, and last what nobody waits for. So one wake-up takes in what
// has come from everybody and sends to each what there is for it at once, however many connections there are.
#pragma once

#include <array>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

namespace dlm::wire {

// One for each io_context that is run by a single thread; belongs to that thread.
class Turn final : public boost::asio::execution_context::service {
 public:
  // In this order; a later phase begins when nothing is left of the earlier ones, also of what it adds
  // itself.
  enum class Phase : std::size_t {
    pump,        // KJ's events
    decide,      // the turn of a core
    send,        // what has been queued on connections
    afterwards,  // what none of these must wait for
  };

  // The turn of this io_context.
  static Turn& of(boost::asio::execution_context& context);
  // Runs the io_context turn by turn until it is stopped or out of work. Only so are turns as large as they
  // can be: an io_context that is run otherwise gets each of them as a handler of its own.
  // Waits awake for up to `busy_poll` (see busy_polling.h).
  static void run(boost::asio::io_context& io, std::chrono::nanoseconds busy_poll = {});

  // Calls `task(self, owner)` at the end of this turn. `owner` keeps `self` alive until then (it may be null
  // when nothing needs to), and is handed over. Never within the call.
  using Task = void (*)(void* self, std::shared_ptr<void>&& owner);
  void at_end(Phase phase, void* self, std::shared_ptr<void> owner, Task task);
  // The same for a member function of an object in a shared_ptr.
  template <auto member, class T>
  void at_end(Phase phase, std::shared_ptr<T> owner) {
    T* self = owner.get();
    at_end(phase, self, std::move(owner),
           [](void* object, std::shared_ptr<void>&&) { (static_cast<T*>(object)->*member)(); });
  }

  // For Asio: services are made by it.
  explicit Turn(boost::asio::execution_context& context);
  static boost::asio::execution_context::id id;

 private:
  struct Entry {
    void* self;
    std::shared_ptr<void> owner;
    Task task;
  };

  void shutdown() override;
  bool empty() const { return pending_ == 0; }
  void end();
  bool run_phase();
  void post_end();

  boost::asio::io_context& io_;
  std::array<std::vector<Entry>, 4> phases_;
  std::vector<Entry> spare_;  // empty; kept for its memory
  std::size_t pending_ = 0;   // in all phases
  // While something is pending: the loop is not out of work.
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  bool driven_ = false;  // by run(), which calls end()
  bool end_posted_ = false;
};

}  // namespace dlm::wire
