// Cap'n Proto RPC over Boost.Asio sockets: the inside of the cluster. Two-party connections with limits,
// deadlines and errors that say whether a peer refused, vanished or was slow.
#pragma once

#include <capnp/capability.h>
#include <capnp/message.h>
#include <kj/async.h>
#include <kj/function.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "schema/limits.h"
#include "schema/text.h"
#include "schema/wire/event_loop.h"

namespace dlm::wire {

struct RpcLimits {
  std::size_t message_bytes_max = kRpcMessageBytesMax;  // longer: the connection is cut
  std::size_t queue_bytes_max = 256u << 20;             // unsent bytes beyond this: the connection is cut
  std::size_t connections_max = 4096;                   // of a server: further ones are closed at once
};

// How much of a message that has so many words may be read. In proportion to its size: the elements of a list
// may take no room at all, so a few bytes could claim to be millions of them.
capnp::ReaderOptions limits_of_message(std::size_t words);

enum class ConnectError {
  none,
  refused,      // nobody listens there: the process is dead
  unreachable,  // anything else, a time-out included
};

// The client end of a connection. Loop thread only. Destroying it cancels its calls; drop its capabilities
// first.
class RpcConnection {
 public:
  virtual ~RpcConnection() noexcept(false) = default;
  virtual capnp::Capability::Client bootstrap() = 0;
  // Done (never failed) once the connection is lost, from either side.
  virtual kj::Promise<void> on_disconnect() = 0;
  virtual std::size_t queued_bytes() const = 0;

  struct Result {
    kj::Own<RpcConnection> connection;  // null: see error
    ConnectError error = ConnectError::none;
    std::string why;  // for people
  };
  // Never fails: the result says. Destroying the promise cancels the attempt.
  static kj::Promise<Result> connect(EventLoop& loop, const HostPort& address, const RpcLimits& limits,
                                     std::uint32_t timeout_ms);
};

// The listening end. Each accepted connection gets a bootstrap capability of its own, so that what a peer
// said of itself stays with its connection.
class RpcServer {
 public:
  using Bootstrap = kj::Function<capnp::Capability::Client()>;
  virtual ~RpcServer() noexcept(false) = default;  // closes all connections
  virtual std::uint16_t port() const = 0;
  // Stops listening; connections live on.
  virtual void stop_accepting() = 0;

  // Throws std::system_error when the address can't be listened on. Port 0: a free one.
  static kj::Own<RpcServer> listen(EventLoop& loop, const HostPort& address, const RpcLimits& limits,
                                   Bootstrap bootstrap);
};

// The promise with a deadline: rejects with DISCONNECTED and `what` in the text after timeout_ms.
template <class T>
kj::Promise<T> with_deadline(EventLoop& loop, kj::Promise<T> promise, std::uint32_t timeout_ms,
                             const char* what) {
  auto late = loop.timer().afterDelay(timeout_ms * kj::MILLISECONDS).then([what]() -> kj::Promise<T> {
    return kj::Exception(kj::Exception::Type::DISCONNECTED, __FILE__, __LINE__,
                         kj::str(what, ": no answer in time"));
  });
  return promise.exclusiveJoin(kj::mv(late));
}

}  // namespace dlm::wire
