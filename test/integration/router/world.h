// A router over real sockets, with fake shard servers and the in-memory coordinator, all on one loop.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/memory_coordinator.h"
#include "edge_client.h"
#include "fake_shard_server.h"
#include "router/router_process.h"
#include "schema/wire/event_loop.h"

namespace dlm::router {

class World : public ::testing::Test {
 protected:
  World();
  ~World() override;

  // Runs the loop until `done` or a long time has passed (then the test fails).
  void until(const std::function<bool()>& done, const char* what);
  void run_for(std::uint32_t ms);

  void start_router(RouterProcessOptions options = {});
  // "s1#1", a member of all groups.
  void start_server(const std::string& server, std::uint64_t incarnation = 1);
  void kill_server(const std::string& server);
  // Writes the ring and the groups' first configurations: all groups have the primary `server`.
  void bootstrap(unsigned groups, const std::string& server);
  // Makes `server` the primary of the group, for itself and in the coordinator.
  void elect(unsigned group, const std::string& server);
  // The usual: servers s1 and s2, one group at s1, a router that is ready.
  void start_all(RouterProcessOptions options = {});
  std::unique_ptr<EdgeClient> client(std::uint64_t number);

  static Operation acquire(std::uint64_t sequence, std::string_view resource, std::uint32_t deadline_ms = 0);
  static Operation release(std::uint64_t sequence, std::string_view resource);

  struct ServerInWorld {
    coordinator::MemberName name;
    std::unique_ptr<FakeShardServer> server;
    std::unique_ptr<coordinator::Coordinator> session;
  };

  wire::EventLoop loop;
  coordinator::MemoryHub hub;
  coordinator::ClusterView view;
  std::unique_ptr<coordinator::Coordinator> watcher;
  std::map<GroupId, std::shared_ptr<FakeGroup>> groups;
  std::map<std::string, ServerInWorld> servers;
  std::unique_ptr<RouterProcess> router;
  std::string failure;
  bool ready = false;
};

}  // namespace dlm::router
