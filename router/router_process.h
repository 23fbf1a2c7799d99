// A router: the core, its client edge, its links to the groups and its registration, on one loop.
// `dlm-router` runs one; `dlm dev` and the tests embed it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "coordinator/coordinator.h"
#include "router/core/router_core.h"
#include "schema/text.h"
#include "schema/wire/event_loop.h"
#include "schema/wire/frame.h"
#include "schema/wire/rpc.h"

namespace dlm::router {

struct RouterProcessOptions {
  std::string id{};  // as coordinator::valid_server_id wants it; empty: made of the advertised address
  HostPort listen{"127.0.0.1", kRouterPortDefault};  // port 0: a free one
  std::string advertise{};  // host:port under which clients reach it; empty: the address it listens on
  std::uint32_t registration_patience_ms = 15'000;  // for an earlier router of this id to be gone
  std::uint32_t lease_ms_min = kLeaseMsMinDefault;  // told to clients; the servers check
  std::uint32_t lease_ms_max = kLeaseMsMaxDefault;
  RouterOptions core{};
  wire::FrameLimits frames{};
  std::uint32_t half_frame_ms = 10'000;  // see client_edge.h
  wire::RpcLimits rpc{};
  // Makes a new coordinator session after the first has ended. Meanwhile, and for good when this is empty,
  // the router serves from its last view.
  std::function<std::unique_ptr<coordinator::Coordinator>()> new_coordinator{};
};

// Loop thread only. Destroying it cuts all connections and ends the registration.
class RouterProcess {
 public:
  struct Events {
    // Registered, and a first view has come. Once.
    std::function<void()> on_ready;
    // It can't become ready: another router has its id, or the coordinator refused it. `why` says what to do.
    std::function<void(const std::string& why)> on_failed;
  };

  // Listens at once, serves from start() on. The loop must outlive it. Throws std::system_error when the
  // address can't be listened on.
  RouterProcess(wire::EventLoop& loop, std::unique_ptr<coordinator::Coordinator> coordinator,
                RouterProcessOptions options);
  ~RouterProcess();
  RouterProcess(const RouterProcess&) = delete;
  RouterProcess& operator=(const RouterProcess&) = delete;

  // Events come from the loop, never from within a call; the router may be destroyed in them.
  void start(Events events);
  // An orderly end: stops accepting, ends the registration, sends what is queued for clients and closes their
  // connections, then calls `done` (in 1.5 s at most), from the loop. Their sessions live on at the groups.
  void stop(std::function<void()> done);

  const std::string& id() const;
  std::string address() const;  // host:port, as advertised
  std::uint16_t port() const;
  bool ready() const;
  RouterStats stats() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace dlm::router
