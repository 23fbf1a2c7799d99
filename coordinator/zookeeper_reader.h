// The reading side: keeps a ClusterView in step with ZooKeeper's nodes, by watches. Internal to coordinator/.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "coordinator/coordinator.h"
#include "coordinator/zookeeper_client.h"

namespace dlm::coordinator {

// On the executor's thread. Watches fire once and are silent while disconnected, so every event leads to
// another read (which sets the watch again) and every new connection to reading all. A node whose content
// can't be understood is logged and counts as unchanged, or as absent when it never was readable.
class ZookeeperReader {
 public:
  struct Hooks {
    // Everything was read, and something differs from what was told last.
    std::function<void(const ClusterView&)> on_view;
    // A read was refused or makes no sense; nothing is told any more until read_all() is called again.
    std::function<void(const std::string& why)> on_trouble;
  };

  // `client` outlives this. `root`: the path below which the cluster lies.
  ZookeeperReader(ZookeeperClient& client, std::string root, Hooks hooks);

  void read_all();
  // The connection is gone; what is under way comes to nothing.
  void stop();
  // Of a watch. Events for other nodes are ignored.
  void on_event(const ZookeeperEvent& event);

 private:
  using Handler = void (ZookeeperReader::*)(const std::string& name, const ZookeeperResult& result);

  void get(const std::string& path, bool watch, const std::string& name, Handler handler);
  void list(const std::string& path, Handler handler);
  void finish(const std::string& path, std::uint64_t round, bool usable, const ZookeeperResult& result,
              const std::function<void()>& handle);
  void publish();
  void unreadable(const std::string& path, const std::string& why);

  void got_cluster(const std::string& name, const ZookeeperResult& result);
  void got_ring(const std::string& name, const ZookeeperResult& result);
  void got_group(const std::string& name, const ZookeeperResult& result);
  void got_server(const std::string& name, const ZookeeperResult& result);
  void got_router(const std::string& name, const ZookeeperResult& result);
  void listed_groups(const std::string& name, const ZookeeperResult& result);
  void listed_servers(const std::string& name, const ZookeeperResult& result);
  void listed_routers(const std::string& name, const ZookeeperResult& result);

  ZookeeperClient& client_;
  const std::string root_;
  const Hooks hooks_;
  ClusterView view_;
  std::optional<ClusterView> told_;
  bool reading_ = false;
  std::uint64_t round_ = 0;  // results of an earlier one are of a lost connection
  std::size_t reads_out_ = 0;
};

}  // namespace dlm::coordinator
