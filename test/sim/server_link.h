// A lasting link to one server process, as schema/wire/shard_link.h has it: connects, greets, reconnects with
// back-off, and tells a process that died from one that is slow. Calls that are out when it goes down have
// failed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "test/sim/network.h"

namespace dlm::sim {

class ServerLink final : public Endpoint {
 public:
  struct Options {
    std::string address;  // name of the process
    std::string self;     // own router id or member name
    std::string server;   // member name expected there
    std::uint32_t connect_timeout_ms = 1'000;
  };
  struct Events {
    std::function<void()> on_up;
    std::function<void(bool gone)> on_down;
    std::function<void(Message&&)> on_message;
  };
  ServerLink(Process& process, Network& network, Options options, Events events);
  ~ServerLink();

  bool up() const { return up_; }
  void send(Message message) { network_.send(link_, process_, std::move(message)); }  // REQUIRES: up()
  // Drops the connection and connects anew; on_down comes later, never from within this call.
  void reconnect();

  void on_message(LinkId link, Message&& message) override;
  void on_closed(LinkId link) override;

 private:
  void connect();
  void greeted(const Greeted& greeting);
  void lost(bool gone);

  Process& process_;
  Network& network_;
  Options options_;
  Events events_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  LinkId link_;
  bool up_ = false;
  std::uint64_t attempt_ = 0;
  std::uint32_t backoff_ms_ = 0;
};

}  // namespace dlm::sim
