// A whole service in one process, on one loop: coordinator in memory, a server for each replica number with
// all groups on it, one router. What `dlm dev` runs, and a program's tests may. Here alone client, server and
// router meet.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/memory_coordinator.h"
#include "router/router_process.h"
#include "schema/limits.h"
#include "schema/text.h"
#include "schema/wire/event_loop.h"
#include "server/shard_node.h"

namespace dlm::cli {

struct DevOptions {
  std::uint32_t groups = 2;
  std::uint32_t spare_groups = 0;  // served as well, but not in the ring at first
  std::uint32_t replicas = 3;
  HostPort listen{"127.0.0.1", kRouterPortDefault};  // of the router; port 0: a free one
  std::uint32_t lease_ms_min = kLeaseMsMinDefault;
  std::uint32_t lease_ms_max = kLeaseMsMaxDefault;
  std::string data_dir;  // of everything, servers with --durability fsync; empty: everything is in memory
  server::LockTableLimits quotas;  // its leases are those above
};

// Loop thread only. Without a data folder everything it knows is in memory, and gone with it.
class DevCluster {
 public:
  struct Events {
    std::function<void()> on_ready;                         // locks can be taken. Once
    std::function<void(const std::string& why)> on_failed;  // to be destroyed, but not from within the call
  };

  // The router listens at once: throws std::system_error when it can't, and std::runtime_error when the data
  // folder can't be used. The loop must outlive it.
  DevCluster(wire::EventLoop& loop, const DevOptions& options);
  ~DevCluster();
  DevCluster(const DevCluster&) = delete;
  DevCluster& operator=(const DevCluster&) = delete;

  void start(Events events);
  // Lets the router take leave of its clients, then calls `done`, from the loop. To be destroyed then.
  void stop(std::function<void()> done);

  std::string router_address() const { return router_->address(); }

 private:
  void look_ready();
  bool serving() const;
  bool all_in_sync() const;

  wire::EventLoop& loop_;
  DevOptions options_;
  Events events_;
  coordinator::MemoryHub hub_;
  std::unique_ptr<coordinator::Coordinator> observer_;
  coordinator::ClusterView view_;
  std::vector<std::unique_ptr<server::ShardNode>> nodes_;
  std::unique_ptr<router::RouterProcess> router_;
  bool router_ready_ = false;
  std::chrono::steady_clock::time_point started_;
  boost::asio::steady_timer look_timer_;
};

}  // namespace dlm::cli
