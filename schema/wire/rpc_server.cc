#include <kj/debug.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <system_error>

#include "schema/wire/rpc_connection.h"

namespace dlm::wire {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

// Out of descriptors or memory: trying again at once would only burn the processor.
constexpr std::chrono::milliseconds kAcceptPause(100);

class SocketRpcServer;

// What the handlers of the listening socket need; outlives the server by as much as they take to be
// cancelled.
struct Listener : std::enable_shared_from_this<Listener> {
  explicit Listener(boost::asio::io_context& io) : acceptor(io), pause(io) {}
  void accept();
  void close() {
    error_code ignored;
    acceptor.close(ignored);
    pause.cancel();
    server = nullptr;
  }

  tcp::acceptor acceptor;
  boost::asio::steady_timer pause;
  SocketRpcServer* server = nullptr;
};

class SocketRpcServer final : public RpcServer, private kj::TaskSet::ErrorHandler {
 public:
  SocketRpcServer(EventLoop& loop, const RpcLimits& limits, Bootstrap bootstrap)
      : loop_(loop),
        limits_(limits),
        bootstrap_(kj::mv(bootstrap)),
        listener_(std::make_shared<Listener>(loop.io())),
        connections_(*this) {}
  ~SocketRpcServer() noexcept(false) override { listener_->close(); }

  void listen(const HostPort& address);
  void accepted(tcp::socket socket);
  std::uint16_t port() const override { return port_; }
  void stop_accepting() override { listener_->close(); }

 private:
  void taskFailed(kj::Exception&& e) override { KJ_LOG(ERROR, "an RPC connection ended badly", e); }

  EventLoop& loop_;
  const RpcLimits limits_;
  Bootstrap bootstrap_;
  std::uint16_t port_ = 0;
  std::size_t connection_count_ = 0;
  std::shared_ptr<Listener> listener_;
  kj::TaskSet connections_;  // each task owns a connection and ends with it
};

void Listener::accept() {
  acceptor.async_accept([self = shared_from_this()](const error_code& error, tcp::socket socket) {
    if (self->server == nullptr) return;
    if (!error) {
      self->server->accepted(std::move(socket));
      return self->accept();
    }
    self->pause.expires_after(kAcceptPause);
    self->pause.async_wait([self](const error_code& cancelled) {
      if (!cancelled && self->server != nullptr) self->accept();
    });
  });
}

void SocketRpcServer::listen(const HostPort& address) {
  auto check = [&](const error_code& error) {
    if (!error) return;
    throw std::system_error(std::error_code(error.value(), std::system_category()),
                            "cannot listen on " + address.host + ":" + std::to_string(address.port));
  };
  error_code error;
  tcp::resolver resolver(loop_.io());
  auto found = resolver.resolve(address.host, std::to_string(address.port), tcp::resolver::passive, error);
  if (error) {
    throw std::system_error(std::make_error_code(std::errc::address_not_available),
                            "cannot listen on " + address.host + ": " + error.message());
  }
  tcp::endpoint endpoint = found.begin()->endpoint();
  tcp::acceptor& acceptor = listener_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  check(error);
  acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  check(error);
  acceptor.bind(endpoint, error);
  check(error);
  acceptor.listen(tcp::acceptor::max_listen_connections, error);
  check(error);
  port_ = acceptor.local_endpoint(error).port();
  check(error);
  listener_->server = this;
  listener_->accept();
}

void SocketRpcServer::accepted(tcp::socket socket) {
  if (connection_count_ >= limits_.connections_max) return;  // closes it
  KJ_IF_MAYBE (failure, kj::runCatchingExceptions([&] {
                 auto end = kj::heap<RpcEnd>(loop_, std::move(socket), limits_, bootstrap_());
                 ++connection_count_;
                 auto ended = end->on_disconnect();
                 connections_.add(ended.attach(kj::mv(end), kj::defer([this] { --connection_count_; })));
               })) {
    KJ_LOG(ERROR, "a connection could not be served", *failure);
  }
}

}  // namespace

kj::Own<RpcServer> RpcServer::listen(EventLoop& loop, const HostPort& address, const RpcLimits& limits,
                                     Bootstrap bootstrap) {
  auto server = kj::heap<SocketRpcServer>(loop, limits, kj::mv(bootstrap));
  server->listen(address);
  return server;
}

}  // namespace dlm::wire
