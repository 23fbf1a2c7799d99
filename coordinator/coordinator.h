// What the cluster agrees on outside the path of a lock operation: who is alive, each group's configuration,
// the ring. One interface; ZooKeeper and in-memory implementations hold the same contract (test/integration
// runs one suite against both).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/core/group_config.h"
#include "coordinator/core/ring.h"
#include "schema/types.h"

namespace dlm::coordinator {

struct ServerMember {
  MemberName name;
  std::string address;  // host:port of its ShardServer
  std::vector<GroupId> groups;
  bool durable = false;  // what its replicas acknowledge is on its disk
  bool operator==(const ServerMember&) const = default;
};

struct RouterMember {
  std::string id;
  std::string address;  // host:port of its client edge
  bool operator==(const RouterMember&) const = default;
};

// All of it, as last read. Maps are ordered, so that nothing depends on hashing.
struct ClusterView {
  std::string cluster;  // id, made when the first process met an empty coordinator
  std::map<std::string, ServerMember> servers;
  std::map<std::string, RouterMember> routers;
  std::map<GroupId, VersionedConfig> groups;
  RingRecord ring;
  bool operator==(const ClusterView&) const = default;
};

enum class WriteResult {
  accepted,
  conflict,     // the version was another: nothing was written; the view will show what is there
  unavailable,  // the coordinator can't be reached, and it is known (read back) that nothing was written
  unknown,      // the session ended before the outcome was known: only a view of a later session tells
};

enum class SessionState {
  connecting,  // not (or no longer) in touch; what was written stays until the session ends
  connected,
  ended,  // expired, or refused: ephemeral registrations are gone. Final; register anew through a new
          // Coordinator (lasting_coordinator.h does), or end the process.
};

// Runs a task on the loop that owns the user of a Coordinator. Callable from any thread.
using Executor = std::function<void(std::function<void()>)>;

// All calls are made from one thread, the executor's, and all callbacks come there. Destroying it ends the
// session (ephemeral registrations go at once) and no callback comes afterwards.
class Coordinator {
 public:
  struct Events {
    // The first call comes when everything was read once; then after every change, possibly several changes
    // at once.
    std::function<void(const ClusterView&)> on_view;
    // `why` is for people.
    std::function<void(SessionState, const std::string& why)> on_session;
  };

  virtual ~Coordinator() = default;

  virtual void start(Events events) = 0;

  // Ephemeral registrations, one server and one router per session. If an earlier registration of this id
  // still lives, waits until it ended or `patience_ms` passed: then ok is false and `why` says who is there.
  using Registered = std::function<void(bool ok, const std::string& why)>;
  virtual void register_server(const ServerMember& member, std::uint32_t patience_ms, Registered done) = 0;
  virtual void register_router(const RouterMember& member, std::uint32_t patience_ms, Registered done) = 0;

  // Compare-and-set of a group's record; `expected` 0: create. After a lost connection the outcome is read
  // back before `done` is called; `done` may therefore come late. The change also shows in on_view.
  using Written = std::function<void(WriteResult)>;
  virtual void propose(GroupId group, std::int64_t expected, const GroupConfig& config, Written done) = 0;

  // Compare-and-set of the ring by `expected` version; 0: create.
  virtual void propose_ring(std::uint64_t expected, const RingRecord& ring, Written done) = 0;

  // Proves contact: writes to the caller's own registration (without one: false). `done(true)` only when this
  // session's write arrived. The caller counts the session timeout from when it called.
  virtual void touch(std::function<void(bool)> done) = 0;

  // How long the coordinator keeps a silent session.
  virtual std::uint32_t session_timeout_ms() const = 0;
};

}  // namespace dlm::coordinator
