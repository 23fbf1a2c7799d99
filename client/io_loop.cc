#include "client/io_loop.h"

#include "dlm/client.h"
#include "schema/wire/turn.h"

namespace dlm {

namespace client {

IoLoop::IoLoop()
    : io_(std::make_shared<boost::asio::io_context>()),
      work_(io_->get_executor()),
      thread_([io = io_] { wire::Turn::run(*io); }) {}

IoLoop::~IoLoop() {
  io_->stop();
  if (on_thread()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

}  // namespace client

IoThread::IoThread() : loop_(std::make_shared<client::IoLoop>()) {}

}  // namespace dlm
