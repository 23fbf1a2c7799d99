// The router's client edge: accepts connections, reads frames into the core's inputs, writes the core's
// output as frames. Decides nothing.
#pragma once

#include <capnp/common.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "router/core/router_core.h"
#include "router/cut_off_log.h"
#include "schema/client.capnp.h"
#include "schema/text.h"
#include "schema/wire/event_loop.h"
#include "schema/wire/frame.h"

namespace dlm::router {

struct EdgeOptions {
  HostPort listen;
  wire::FrameLimits frames;
  std::uint32_t half_frame_ms = 10'000;             // a frame whose beginning came is to be whole after this
  std::uint32_t lease_ms_min = kLeaseMsMinDefault;  // told to clients; the servers check
  std::uint32_t lease_ms_max = kLeaseMsMaxDefault;
};

// Loop thread only. The core must outlive it.
class ClientEdge {
 public:
  // Listens at once. `wake` is called after each input to the core. Throws std::system_error when the address
  // can't be listened on.
  ClientEdge(wire::EventLoop& loop, RouterCore& core, EdgeOptions options, std::function<void()> wake);
  ~ClientEdge();  // cuts all connections
  ClientEdge(const ClientEdge&) = delete;
  ClientEdge& operator=(const ClientEdge&) = delete;

  std::uint16_t port() const { return port_; }
  void start();  // begins to accept
  void stop_accepting();
  // Closes every connection, once what is queued for it has left (a second at most).
  void close_all(const std::string& why);
  std::size_t connections() const { return clients_.size(); }

  // Reads what came on one of the core's connections. (Not private, as fuzz targets have no sockets.)
  void frames(ConnectionId id, const std::vector<wire::Words>& payloads);

  // The part of a turn's output that is for clients.
  void deliver(const RouterOutput& output, const std::string& router_id);

 private:
  struct Guard {  // handlers on their way hold it; the edge empties it when it goes
    ClientEdge* edge = nullptr;
  };
  struct Message;
  struct Client {
    std::shared_ptr<wire::FrameConnection> connection;
    std::uint64_t frames = 0;    // as it was looked at last
    std::uint32_t stuck_ms = 0;  // in the middle of a frame
  };

  void accept();
  void accepted(boost::asio::ip::tcp::socket socket);
  void frame(ConnectionId id, wire::Words words);
  void take_hello(ConnectionId id, wire::Hello::Reader hello);
  bool take_operations(ConnectionId id, wire::Operations::Reader list);
  void take_query(ConnectionId id, wire::GroupQuery::Reader query);
  bool take_listings(ConnectionId id, capnp::List<wire::GroupSession>::Reader list);
  void closed(ConnectionId id, const std::string& why);
  void watch();
  void look_for_half_frames(std::uint32_t passed_ms);
  wire::FrameConnection* find(ConnectionId id);
  void send_batch(wire::FrameConnection& to, const ClientBatch& batch);
  void send_report(wire::FrameConnection& to, const ClientReport& report);

  RouterCore& core_;
  EdgeOptions options_;
  std::function<void()> wake_;
  std::shared_ptr<Guard> guard_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  boost::asio::steady_timer watch_;
  std::uint16_t port_ = 0;
  boost::unordered_flat_map<std::uint64_t, Client> clients_;
  CutOffLog cut_offs_;
  // For one frame at a time; members for their memory.
  std::vector<Operation> operations_;
  std::vector<GroupListing> listings_;
  std::vector<capnp::word> scratch_;
};

}  // namespace dlm::router
