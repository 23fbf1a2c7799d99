// What both ends of an RPC connection are made of.
#pragma once

#include <capnp/rpc-twoparty.h>

#include "schema/wire/rpc_stream.h"

namespace dlm::wire {

// The RPC system refuses to send what is longer than its own reading limit, so the limit on messages is given
// to it as that. What was received may be traversed more than once: RpcStream's readers have a limit of their
// own.
inline capnp::ReaderOptions rpc_options(const RpcLimits& limits) {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = limits.message_bytes_max / sizeof(capnp::word);
  return options;
}

// One end: stream, network, RPC system. Destroyed in the opposite order.
class RpcEnd {
 public:
  // The client's end.
  RpcEnd(EventLoop& loop, boost::asio::ip::tcp::socket socket, const RpcLimits& limits)
      : stream_(loop, std::move(socket), limits),
        network_(stream_, capnp::rpc::twoparty::Side::CLIENT, rpc_options(limits)),
        system_(capnp::makeRpcClient(network_)) {}
  // The server's.
  RpcEnd(EventLoop& loop, boost::asio::ip::tcp::socket socket, const RpcLimits& limits,
         capnp::Capability::Client bootstrap)
      : stream_(loop, std::move(socket), limits),
        network_(stream_, capnp::rpc::twoparty::Side::SERVER, rpc_options(limits)),
        system_(capnp::makeRpcServer(network_, kj::mv(bootstrap))) {}

  capnp::Capability::Client peer_bootstrap() {
    capnp::MallocMessageBuilder message;
    auto server = message.initRoot<capnp::rpc::twoparty::VatId>();
    server.setSide(capnp::rpc::twoparty::Side::SERVER);
    return system_.bootstrap(server);
  }
  kj::Promise<void> on_disconnect() {
    // Rejected only when this object goes first, which ends the connection as well.
    return network_.onDisconnect().catch_([](kj::Exception&&) {});
  }
  std::size_t queued_bytes() { return stream_.queued_bytes() + network_.getCurrentQueueSize(); }

 private:
  RpcStream stream_;
  capnp::TwoPartyVatNetwork network_;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> system_;
};

}  // namespace dlm::wire
