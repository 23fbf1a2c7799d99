// Connected sockets on 127.0.0.1, and a loop that is run until something is true.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <utility>

namespace dlm::wire {

using boost::asio::ip::tcp;

inline std::pair<tcp::socket, tcp::socket> connected_sockets(boost::asio::io_context& io) {
  tcp::acceptor acceptor(io, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  tcp::socket one(io);
  one.connect(acceptor.local_endpoint());
  return {std::move(one), acceptor.accept()};
}

// Gives up, and fails the test, after a minute.
inline void run_until(boost::asio::io_context& io, const std::function<bool()>& done) {
  auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  io.restart();
  while (!done()) {
    if (std::chrono::steady_clock::now() > limit) {
      ADD_FAILURE() << "what was waited for did not happen";
      return;
    }
    io.run_one_for(std::chrono::milliseconds(100));
    io.restart();
  }
}

}  // namespace dlm::wire
