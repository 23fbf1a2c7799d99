// The client's connection to the service: one router at a time, the next one when it fails.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/core/session_core.h"
#include "schema/client.capnp.h"
#include "schema/text.h"
#include "schema/types.h"
#include "schema/wire/backoff.h"
#include "schema/wire/frame.h"

namespace dlm::client {

struct RouterLinkOptions {
  std::vector<HostPort> routers;  // not empty
  std::string client_id;
  std::uint64_t seed = 0;  // of the first router and the pauses
};

// Tries the routers in turn, from a random one on, and greets; pauses, longer and longer, when all have
// failed. I/O thread only; callbacks never come from within a call.
class RouterLink {
 public:
  struct Events {
    std::function<HelloData()> hello;  // what to say of the sessions; called at each attempt
    std::function<void(const std::string& router)> on_up;
    std::function<void(const std::vector<wire::Words>&)> on_frames;  // throws kj::Exception on damaged ones
    // The connection was lost or an attempt failed; `why` of this router, all_reasons() of all.
    std::function<void(const std::string& router, const std::string& why)> on_down;
    // Every router refused this client with a status that waiting does not mend.
    std::function<void(Status status, const std::string& why)> on_refused;
  };

  RouterLink(boost::asio::io_context& io, RouterLinkOptions options, Events events);
  ~RouterLink();

  void start();
  // Ends all attempts. A router in use, having been told good-bye, closes the connection when it has done
  // what that takes; after `patience` it is closed from here. Only on_done is called from then on, once, when
  // there is no connection any more.
  void stop(std::chrono::milliseconds patience, std::function<void()> on_done);
  // Gives the router in use up for the next one.
  void reconnect(const std::string& why);

  bool up() const { return up_; }
  const std::string& router() const { return name_; }
  // Why there is no connection: each router's reason.
  std::string all_reasons() const;
  std::size_t queued_bytes() const { return connection_ ? connection_->queued_bytes() : 0; }
  // REQUIRES: up().
  void send(capnp::MessageBuilder& message) { connection_->send(message); }

 private:
  struct Known {  // a router of the list
    std::string name;
    std::string reason = "not tried yet";
    Status refusal = Status::ok;
  };
  void attempt();
  void resolved(const boost::system::error_code& error,
                boost::asio::ip::tcp::resolver::results_type endpoints);
  void connected(const boost::system::error_code& error);
  void greet();
  void first_frames(const std::vector<wire::Words>& frames);
  bool welcomed(const wire::Welcome::Reader& welcome);
  void failed(const std::string& why, Status refusal = Status::ok);
  void connection_closed(const std::string& why);
  void arm_timeout();

  boost::asio::io_context& io_;
  RouterLinkOptions options_;
  Events events_;
  wire::Backoff backoff_;
  std::vector<Known> known_;
  std::size_t current_ = 0;
  std::size_t failed_in_a_row_ = 0;
  std::string cluster_;  // of the first Welcome; empty: none yet
  std::string name_;     // of the router in use
  bool up_ = false;
  bool stopped_ = false;
  std::uint64_t up_since_ms_ = 0;
  // Handlers of earlier attempts find another number here and do nothing.
  std::uint64_t attempt_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<wire::FrameConnection> connection_;
  std::function<void()> on_stopped_;
};

}  // namespace dlm::client
