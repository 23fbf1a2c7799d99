// The coordinator of a cluster that lives in one process: `dlm dev`, tests, embedded use. Same contract as
// ZooKeeper's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "coordinator/coordinator.h"

namespace dlm::coordinator {

struct MemoryHubOptions {
  std::string cluster = "in-memory";
  std::uint32_t session_timeout_ms = 4'000;
  // Ring and records that there were before.
  std::map<GroupId, VersionedConfig> groups = {};
  RingRecord ring = {};
  // Makes a change of them safe; called before anybody is told of it, under a lock. When it throws, what is
  // kept is not known, so all sessions end for good, with that reason.
  std::function<void(const ClusterView&)> keep = {};
};

// What the sessions of one cluster share. Thread-safe; sessions keep its contents alive, so they may outlive
// it.
//
// The controls below are for tests. A session is named by whoever makes it, and a control concerns all
// sessions of that name.
class MemoryHub {
 public:
  explicit MemoryHub(MemoryHubOptions options = {});

  // Ends the live sessions: their registrations go at once. A session that is cut off learns of it when it is
  // mended.
  void expire(const std::string& name);

  // Cuts sessions off, also those that start later, until mend(): state connecting, no views, writes
  // `unavailable`. Their registrations stay: unlike ZooKeeper the hub never ends a silent session by itself.
  void cut(const std::string& name);
  void mend(const std::string& name);

  // From now on every view and every answer reaches its session this much later.
  void set_delay_ms(std::uint32_t delay_ms);

  struct State;

 private:
  friend std::unique_ptr<Coordinator> make_session(MemoryHub&, Executor, std::string);
  std::shared_ptr<State> state_;
};

// A session of its own; begins with start(). `executor` must post, never run a task before it returns.
std::unique_ptr<Coordinator> make_session(MemoryHub& hub, Executor executor, std::string name = "");

}  // namespace dlm::coordinator
