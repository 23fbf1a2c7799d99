// A client of the edge that sends what it is told to and keeps what comes, in order.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "schema/client.capnp.h"
#include "schema/operation.h"
#include "schema/report.h"
#include "schema/wire/event_loop.h"
#include "schema/wire/frame.h"

namespace dlm::router {

class EdgeClient {
 public:
  EdgeClient(wire::EventLoop& loop, std::uint16_t port);
  ~EdgeClient();

  void hello(std::uint64_t number, const std::string& cluster = "",
             std::uint16_t protocol = kClientProtocolVersion);
  void send(const std::vector<Operation>& operations);
  void heartbeat(std::uint64_t number, const std::vector<std::uint32_t>& groups);
  void inspect(std::uint64_t id, const std::string& resource);
  void status(std::uint64_t id);
  void locate(std::uint64_t id, const std::string& resource);
  void change_ring(std::uint64_t id, const RingChange& change);
  void bye();
  void send_raw(const std::string& bytes);  // past the frames
  void send(capnp::MessageBuilder& message) { connection_->send(message); }
  void drop();

  bool welcome = false;
  std::string cluster;
  std::string refusal;
  std::string closed;                                    // why; empty: open
  std::map<std::uint64_t, std::vector<Answer>> answers;  // by sequence
  std::vector<std::string> events;                       // "opened g1 ttl 10000 cause 1 moved to g2"
  std::size_t frames = 0;
  struct Report {
    Status status = Status::ok;
    std::string message;
    LockReport lock;
    ClusterReport cluster;
    RingReport ring;
    PlaceReport place;
  };
  std::map<std::uint64_t, Report> reports;

  bool has(std::uint64_t sequence, Status status) const;

 private:
  void receive(wire::Words words);
  int socket_ = -1;
  std::shared_ptr<wire::FrameConnection> connection_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace dlm::router
