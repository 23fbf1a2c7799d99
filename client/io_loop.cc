#include "client/io_loop.h"

#include "dlm/client.h"
#include "schema/wire/turn.h"

namespace dlm {

namespace client {

IoLoop::IoLoop(std::chrono::nanoseconds busy_poll)
    : io_(std::make_shared<boost::asio::io_context>()),
      work_(io_->get_executor()),
      thread_([io = io_, busy_poll] { wire::Turn::run(*io, busy_poll); }) {}

IoLoop::~IoLoop() {
  io_->stop();
  if (on_thread()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

}  // namespace client

IoThread::IoThread(std::chrono::microseconds busy_poll)
    : loop_(std::make_shared<client::IoLoop>(busy_poll)) {}

}  // namespace dlm
