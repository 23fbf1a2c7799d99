// A shard server, whole: its listening socket, its registration, its groups and its links to the other
// members. What `dlm-server` runs, and what `dlm dev` and tests run several of in one process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/coordinator.h"
#include "schema/text.h"
#include "schema/wire/event_loop.h"
#include "schema/wire/rpc.h"
#include "server/core/lock_table.h"

namespace dlm::server {

struct ShardNodeOptions {
  std::string id;
  std::uint64_t incarnation = 0;  // differs between the lives of an id; 0: the wall clock's milliseconds
  std::vector<GroupId> groups;
  HostPort listen{"127.0.0.1", 0};
  std::string advertise;           // host:port that others connect to; empty: what it listens on
  std::vector<GroupId> init_ring;  // the ring to create if there is none; empty: waits until somebody does
  std::uint32_t silence_timeout_ms = 750;
  std::uint32_t start_timeout_ms = 10'000;  // to hear from the coordinator for the first time
  std::uint32_t router_timeout_ms = 5'000;  // a router that takes no later answers for so long is cut off
  // Where what is acknowledged is made safe first, and where it goes on after a restart; empty: memory is all
  // there is.
  std::string data_dir;
  LockTableLimits table;
  wire::RpcLimits rpc;
};

// Loop thread only. Serves from when it is registered until it is destroyed, which closes all connections and
// frees what it knows; the coordinator's session, which it owns, ends with it.
class ShardNode {
 public:
  struct Events {
    // Registered: others know it. Once.
    std::function<void()> on_ready;
    // It can't go on: not registered in time, or the coordinator's session ended for good. `why` is one line
    // that says what to do. Once; it serves nothing any more and is to be destroyed, but not from within the
    // call.
    std::function<void(const std::string& why)> on_failed;
  };

  ShardNode(wire::EventLoop& loop, std::unique_ptr<coordinator::Coordinator> coordinator,
            ShardNodeOptions options, Events events);
  ~ShardNode();
  ShardNode(const ShardNode&) = delete;
  ShardNode& operator=(const ShardNode&) = delete;

  // Listens and begins to register. Throws std::system_error when the address can't be listened on.
  void start();
  // An orderly end: hands its groups to backups where there are any, then calls `done`, after a second at the
  // latest. To be destroyed then.
  void stop(std::function<void()> done);

  const coordinator::MemberName& name() const;
  std::string address() const;       // as others know it; after start()
  bool serves(GroupId group) const;  // as primary
  std::string describe() const;      // for logs: a line for each group

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dlm::server
