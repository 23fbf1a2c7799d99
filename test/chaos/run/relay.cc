#include "test/chaos/run/relay.h"

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <iostream>
#include <memory>
#include <random>
#include <utility>

namespace dlm::chaos {
namespace {

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kPiecesMax = 256;  // under way in one direction; more have to wait at their sender
constexpr std::size_t kPieceBytes = 16'384;

struct Piece {
  Clock::time_point due;
  std::string bytes;
};
using Pieces = asio::experimental::channel<void(boost::system::error_code, Piece)>;

// Both ends of one connection. The end of either is the end of both, as of a road that breaks.
struct Link {
  tcp::socket client;
  tcp::socket server;

  void close() {
    boost::system::error_code ignored;
    client.close(ignored);
    server.close(ignored);
  }
};

class Relay {
 public:
  explicit Relay(const RelayOptions& options)
      : options_(options),
        random_(options.seed),
        acceptor_(io_, tcp::endpoint(asio::ip::make_address(options.address), options.listen_port)) {}

  void run() {
    asio::co_spawn(io_, accept(), asio::detached);
    std::cout << kRelayReady << std::endl;
    io_.run();
  }

 private:
  asio::awaitable<void> accept() {
    for (;;) {
      tcp::socket client = co_await acceptor_.async_accept(use_awaitable);
      asio::co_spawn(io_, connect(std::move(client)), asio::detached);
    }
  }

  asio::awaitable<void> connect(tcp::socket client) {
    auto link = std::make_shared<Link>(Link{std::move(client), tcp::socket(io_)});
    const tcp::endpoint to(asio::ip::make_address(options_.address), options_.to_port);
    try {
      co_await link->server.async_connect(to, use_awaitable);
      link->client.set_option(tcp::no_delay(true));
      link->server.set_option(tcp::no_delay(true));
    } catch (const boost::system::system_error&) {
      link->close();
      co_return;
    }
    for (bool to_server : {true, false}) {
      auto pieces = std::make_shared<Pieces>(io_, kPiecesMax);
      asio::co_spawn(io_, take(link, to_server ? link->client : link->server, pieces), asio::detached);
      asio::co_spawn(io_, deliver(link, to_server ? link->server : link->client, pieces), asio::detached);
    }
  }

  asio::awaitable<void> take(std::shared_ptr<Link> link, tcp::socket& from, std::shared_ptr<Pieces> pieces) {
    try {
      std::array<char, kPieceBytes> buffer;
      for (Clock::time_point last = Clock::now();;) {
        const std::size_t got = co_await from.async_read_some(asio::buffer(buffer), use_awaitable);
        last = std::max(last, Clock::now() + delay());
        Piece piece{last, std::string(buffer.data(), got)};
        co_await pieces->async_send({}, std::move(piece), use_awaitable);
      }
    } catch (const boost::system::system_error&) {
      pieces->close();
      link->close();
    }
  }

  asio::awaitable<void> deliver(std::shared_ptr<Link> link, tcp::socket& to, std::shared_ptr<Pieces> pieces) {
    try {
      asio::steady_timer timer(io_);
      for (;;) {
        const Piece piece = co_await pieces->async_receive(use_awaitable);
        timer.expires_at(piece.due);
        co_await timer.async_wait(use_awaitable);
        co_await asio::async_write(to, asio::buffer(piece.bytes), use_awaitable);
      }
    } catch (const boost::system::system_error&) {
      pieces->close();
      link->close();
    }
  }

  std::chrono::milliseconds delay() {
    return std::chrono::milliseconds(options_.delay_ms + random_() % (options_.jitter_ms + 1));
  }

  const RelayOptions options_;
  std::mt19937_64 random_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
};

}  // namespace

int run_relay(const RelayOptions& options) {
  try {
    Relay(options).run();
  } catch (const std::exception& error) {
    std::cerr << "dlm-chaos relay: " << error.what() << '\n';
  }
  return EXIT_FAILURE;
}

}  // namespace dlm::chaos
