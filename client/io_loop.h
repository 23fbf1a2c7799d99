// The I/O thread behind one or more clients.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <thread>

namespace dlm::client {

// Held by a shared_ptr by everybody who has handlers on it. Its thread ends with the last of them, which may
// go on that very thread.
class IoLoop {
 public:
  // Throws std::system_error when no thread can be started. `busy_poll` as in IoThread.
  explicit IoLoop(std::chrono::nanoseconds busy_poll = {});
  ~IoLoop();
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  boost::asio::io_context& io() { return *io_; }
  bool on_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  // Shared with the thread, which may end after this.
  std::shared_ptr<boost::asio::io_context> io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace dlm::client
