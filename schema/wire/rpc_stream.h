// Cap'n Proto messages on an Asio socket, for TwoPartyVatNetwork. Reads many messages with one read; sends
// all that were written in one turn of the loop with one write.
#pragma once

#include <capnp/serialize-async.h>

#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "schema/wire/rpc.h"

namespace dlm::wire {

// Loop thread only. A lost connection, a message over the limit and a peer that does not read are
// DISCONNECTED exceptions out of tryReadMessage (or null: closed by the peer between two messages).
// Destroying it closes the socket.
class RpcStream final : public capnp::MessageStream {
 public:
  RpcStream(EventLoop& loop, boost::asio::ip::tcp::socket socket, const RpcLimits& limits);
  ~RpcStream();
  RpcStream(const RpcStream&) = delete;
  RpcStream& operator=(const RpcStream&) = delete;

  // Descriptors are not passed; the options are the stream's own; the scratch space is not used. One at a
  // time.
  kj::Promise<kj::Maybe<capnp::MessageReaderAndFds>> tryReadMessage(
      kj::ArrayPtr<kj::AutoCloseFd> fd_space, capnp::ReaderOptions options,
      kj::ArrayPtr<capnp::word> scratch_space) override;
  // Done at once: the message was copied, queued_bytes() tells how much is not sent yet. On a connection that
  // is being lost the message is dropped, and the reading side tells.
  kj::Promise<void> writeMessage(kj::ArrayPtr<const int> fds,
                                 kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) override;
  kj::Promise<void> writeMessages(
      kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>> messages) override;
  kj::Maybe<int> getSendBufferSize() override;
  // Sends what is queued, for at most a second, and then closes this half of the connection.
  kj::Promise<void> end() override;

  std::size_t queued_bytes() const;

  struct State;

 private:
  EventLoop& loop_;
  std::shared_ptr<State> state_;
};

}  // namespace dlm::wire
