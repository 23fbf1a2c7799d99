// The writing half of a connection: collects messages and sends everything that was queued in one turn of the
// loop with one write. Used from the socket's executor only.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>

#include "schema/wire/buffers.h"

namespace dlm::wire {

// A member of the object that owns the socket. Its handlers keep that owner alive.
class SocketWriter {
 public:
  // Called from handlers, never from within schedule(). After on_error nothing is sent any more.
  struct Events {
    std::function<void(const boost::system::error_code&)> on_error;
    std::function<void()> on_drained;  // everything queued is in the kernel's hands
  };
  SocketWriter(boost::asio::ip::tcp::socket& socket, Events events)
      : socket_(socket), events_(std::move(events)) {}

  // Where to append; then schedule().
  OutputBuffer& queue() { return queued_; }
  // Sends the queue at the end of the turn; until then it keeps `owner` alive.
  void schedule(std::shared_ptr<void> owner);
  std::size_t queued_bytes() const { return queued_.size_bytes() + writing_.size_bytes() - written_bytes_; }
  // Drops what is queued and sends nothing any more.
  void stop();
  // stop() was called, or a write failed: append no more.
  bool stopped() const { return stopped_; }

 private:
  void flush(std::shared_ptr<void> owner);
  void fail(const boost::system::error_code& error);

  boost::asio::ip::tcp::socket& socket_;
  Events events_;
  OutputBuffer queued_;
  OutputBuffer writing_;
  std::size_t written_bytes_ = 0;  // of writing_
  bool scheduled_ = false;
  bool waiting_ = false;  // for the kernel to take more of writing_
  bool stopped_ = false;
};

}  // namespace dlm::wire
