#include "schema/wire/rpc_connection.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <vector>

#include "schema/wire/socket_options.h"

namespace dlm::wire {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;
using Result = RpcConnection::Result;

class SocketRpcConnection final : public RpcConnection {
 public:
  SocketRpcConnection(EventLoop& loop, tcp::socket socket, const RpcLimits& limits)
      : end_(loop, std::move(socket), limits), bootstrap_(end_.peer_bootstrap()) {}
  capnp::Capability::Client bootstrap() override { return bootstrap_; }
  kj::Promise<void> on_disconnect() override { return end_.on_disconnect(); }
  std::size_t queued_bytes() const override { return end_.queued_bytes(); }

 private:
  mutable RpcEnd end_;
  // Asked for at once: before the first use, the RPC system does not read and would not see the connection's
  // end.
  capnp::Capability::Client bootstrap_;
};

// Resolves the name, then tries each of its addresses, all within one time limit.
struct Attempt : std::enable_shared_from_this<Attempt> {
  Attempt(kj::PromiseFulfiller<Result>& waiting, EventLoop& event_loop, const HostPort& host_port,
          const RpcLimits& rpc_limits)
      : fulfiller(&waiting),
        loop(event_loop),
        address(host_port),
        limits(rpc_limits),
        resolver(loop.io()),
        socket(loop.io()),
        timer(loop.io()) {}

  void start(std::uint32_t timeout_ms);
  void try_next();
  void connected(const error_code& error);
  void fail(ConnectError error, const std::string& why);
  void finish(Result result);
  void cancel();

  kj::PromiseFulfiller<Result>* fulfiller;  // null: done, or nobody waits
  EventLoop& loop;
  const HostPort address;
  const RpcLimits limits;
  tcp::resolver resolver;
  tcp::socket socket;
  boost::asio::steady_timer timer;
  std::vector<tcp::endpoint> endpoints;
  std::size_t next = 0;
  bool all_refused = true;
  std::string last_error;
};

void Attempt::start(std::uint32_t timeout_ms) {
  timer.expires_after(std::chrono::milliseconds(timeout_ms));
  timer.async_wait([self = shared_from_this(), timeout_ms](const error_code& cancelled) {
    if (cancelled) return;
    self->fail(ConnectError::unreachable, "no connection within " + format_duration_ms(timeout_ms));
  });
  error_code not_numeric;
  auto numeric = boost::asio::ip::make_address(address.host, not_numeric);
  if (!not_numeric) {
    endpoints.emplace_back(numeric, address.port);
    return try_next();
  }
  resolver.async_resolve(
      address.host, std::to_string(address.port),
      [self = shared_from_this()](const error_code& error, const tcp::resolver::results_type& found) {
        if (self->fulfiller == nullptr) return;
        if (error) return self->fail(ConnectError::unreachable, error.message());
        for (const auto& entry : found) self->endpoints.push_back(entry.endpoint());
        self->try_next();
      });
}

void Attempt::try_next() {
  if (next == endpoints.size()) {
    bool refused = all_refused && !endpoints.empty();
    return fail(refused ? ConnectError::refused : ConnectError::unreachable, last_error);
  }
  error_code ignored;
  socket.close(ignored);
  socket.async_connect(endpoints[next++],
                       [self = shared_from_this()](const error_code& error) { self->connected(error); });
}

void Attempt::connected(const error_code& error) {
  if (fulfiller == nullptr) return;
  bool refused = error == boost::asio::error::connection_refused;
  if (!error && connected_to_itself(socket)) refused = true;
  if (!error && !refused) {
    return finish({kj::heap<SocketRpcConnection>(loop, std::move(socket), limits), ConnectError::none, ""});
  }
  all_refused = all_refused && refused;
  last_error = refused ? "connection refused" : error.message();
  try_next();
}

void Attempt::fail(ConnectError error, const std::string& why) {
  finish({kj::Own<RpcConnection>(), error, address.host + ":" + std::to_string(address.port) + ": " + why});
}

void Attempt::finish(Result result) {
  if (fulfiller == nullptr) return;
  auto* waiting = fulfiller;
  cancel();
  waiting->fulfill(kj::mv(result));
}

void Attempt::cancel() {
  fulfiller = nullptr;
  resolver.cancel();
  timer.cancel();
  error_code ignored;
  socket.close(ignored);
}

struct AttemptWaiter {
  AttemptWaiter(kj::PromiseFulfiller<Result>& fulfiller, EventLoop& loop, const HostPort& address,
                const RpcLimits& limits, std::uint32_t timeout_ms)
      : attempt(std::make_shared<Attempt>(fulfiller, loop, address, limits)) {
    attempt->start(timeout_ms);
  }
  ~AttemptWaiter() { attempt->cancel(); }
  AttemptWaiter(const AttemptWaiter&) = delete;
  AttemptWaiter& operator=(const AttemptWaiter&) = delete;

  std::shared_ptr<Attempt> attempt;
};

}  // namespace

kj::Promise<Result> RpcConnection::connect(EventLoop& loop, const HostPort& address, const RpcLimits& limits,
                                           std::uint32_t timeout_ms) {
  return kj::newAdaptedPromise<Result, AttemptWaiter>(loop, address, limits, timeout_ms);
}

}  // namespace dlm::wire
