// A whole cluster of real processes: ZooKeeper, servers, routers, and workers full of clients; each on a host
// of its own where there are network namespaces.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dlm/client.h"
#include "test/chaos/history/history_file.h"
#include "test/chaos/run/hosts.h"
#include "test/chaos/run/process.h"
#include "test/chaos/run/zookeeper_ensemble.h"

namespace dlm::chaos {

// With namespaces; else free ports.
constexpr int kServerPort = 7800;
constexpr int kRouterPort = 7700;

struct ClusterOptions {
  std::string programs;  // folder of dlm-server, dlm-router and dlm-chaos
  std::string folder;    // for logs, journals and ZooKeeper's data
  bool namespaces = false;
  std::uint64_t seed = 1;
  std::uint32_t groups = 2;
  std::uint32_t replicas = 3;
  std::uint32_t routers = 2;
  std::uint32_t zookeepers = 1;
  std::uint32_t workers = 3;
  std::uint32_t clients = 4;  // of each worker, beside its observer and probes
  std::string session_timeout = "2s";
  std::string durability = "memory";  // or "fsync", with a data folder for each server
};

// The state of one group, as its primary tells.
struct GroupState {
  std::string primary;               // a server's name; empty: none
  std::vector<std::string> in_sync;  // servers' names
};

// One thread. Errors are std::runtime_error.
class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options);
  ~Cluster();

  // Starts all but the workers; every group is whole when this returns.
  void up();
  void start_workers();
  // Lets the workers give back what they hold, and reads all that they wrote down.
  void finish_workers(History& history);

  Hosts& hosts() { return hosts_; }
  ZookeeperEnsemble& zookeeper() { return *zookeeper_; }
  Process& process(const std::string& name) { return *processes_.at(name); }
  // A worker's next life, under names of its own.
  void start_worker(std::uint32_t number);
  void kill_worker(std::uint32_t number);

  std::vector<std::string> servers_of(std::uint32_t group) const;
  std::vector<std::string> routers() const;
  std::vector<std::string> zookeepers() const;
  static std::string worker_name(std::uint32_t number) { return "w" + std::to_string(number + 1); }
  static std::string group_name(std::uint32_t group) { return "g" + std::to_string(group + 1); }
  // What a failpoint in the process is switched on with: "point=crash@2"; empty: off.
  void set_failpoint(const std::string& name, const std::string& setting);

  std::optional<GroupState> state_of(std::uint32_t group);
  // All its replicas are in the in-sync set, and it serves.
  bool whole(std::uint32_t group);
  // Processes that have ended although nobody made them, and what logs tell of broken invariants.
  std::vector<std::string> casualties();

  const ClusterOptions& options() const { return options_; }

 private:
  struct WorkerLife {
    std::uint32_t number = 0;
    std::string journal;
    std::int64_t over_ns = 0;  // 0: it lives
  };
  void add_server(std::uint32_t number);
  void add_router(std::uint32_t number);
  std::string router_addresses() const;
  void end_life(std::uint32_t number);

  const ClusterOptions options_;
  Hosts hosts_;
  std::unique_ptr<ZookeeperEnsemble> zookeeper_;
  std::map<std::string, int> router_ports_;
  std::map<std::string, std::unique_ptr<Process>> processes_;  // servers, routers, workers
  std::vector<WorkerLife> lives_;
  std::unique_ptr<Client> client_;
};

}  // namespace dlm::chaos
