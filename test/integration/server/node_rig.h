// Shard servers as objects in this process: real RPC over the loopback interface, coordinator in memory.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/memory_coordinator.h"
#include "schema/operation.h"
#include "schema/shard.capnp.h"
#include "schema/wire/codec.h"
#include "schema/wire/event_loop.h"
#include "schema/wire/rpc.h"
#include "server/shard_node.h"

namespace dlm::server {

class NodeRig {
 public:
  NodeRig();
  ~NodeRig();

  struct Node {
    std::unique_ptr<ShardNode> shard;
    bool ready = false;
    std::string failure;
  };

  ShardNodeOptions options(const std::string& id) const;
  // Starts a server of g1 (and g2); does not wait.
  Node& begin(const ShardNodeOptions& options);
  // Starts it and waits until it is registered.
  Node& start(const std::string& id);
  // As kill -9 would: its connections close, its registration goes, nothing is handed over.
  void kill(const std::string& id);
  // Until all of these are in the group's in-sync set and one of them serves.
  void await_in_sync(GroupId group, std::size_t members);
  // The id of the server that serves the group; "" for none.
  std::string primary(GroupId group) const;

  // Runs the loop until it holds. Fails the test after a generous time.
  void await(const char* what, const std::function<bool()>& holds);
  void run_ms(std::uint32_t ms);

  wire::EventLoop loop;
  coordinator::MemoryHub hub;
  std::map<std::string, Node> nodes;
  coordinator::ClusterView view;

 private:
  std::unique_ptr<coordinator::Coordinator> observer_;
};

// A router as far as a server sees one.
class FakeRouter {
 public:
  FakeRouter(NodeRig& rig, const std::string& address);
  ~FakeRouter();

  // Gives the status, and the message in `message`.
  Status greet(const std::string& cluster, std::uint16_t protocol, std::string& message);
  Status open(GroupId group);
  std::vector<Answer> submit(const std::vector<Operation>& operations);
  Answer ask(const Operation& operation);
  // Sends without waiting; nobody hears of the answers.
  void submit_and_forget(const std::vector<Operation>& operations);
  std::vector<Answer> later;
  bool takes_answers = true;  // false: calls of the listener are never answered

 private:
  class Listener;
  wire::LockChannel::Client channel();

  NodeRig& rig_;
  kj::Own<wire::RpcConnection> connection_;
  kj::Maybe<wire::ShardServer::Host::Client> host_;
  kj::Maybe<wire::LockChannel::Client> channel_;
  std::shared_ptr<FakeRouter*> self_;
};

Operation open_session(std::uint64_t session, std::string_view client);
Operation acquire(std::uint64_t session, std::uint64_t sequence, std::string_view resource,
                  std::uint32_t wait_ms = 0);
Operation release(std::uint64_t session, std::uint64_t sequence, std::string_view resource);
Operation heartbeat(std::uint64_t session);

}  // namespace dlm::server
