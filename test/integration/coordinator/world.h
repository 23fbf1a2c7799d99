// What the coordinators' tests run in: sessions with a record of what they were told, and a world that makes
// them, in memory or on a real ZooKeeper.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/coordinator.h"
#include "coordinator/lasting_coordinator.h"
#include "test/support/task_queue.h"
#include "test/support/tcp_proxy.h"
#include "test/support/zookeeper_server.h"

namespace dlm::coordinator {

// On a busy machine a session must not end by itself; one that is meant to must not take long.
inline constexpr std::uint32_t kLongTimeoutMs = 15'000;
inline constexpr std::uint32_t kShortTimeoutMs = 1'500;

GroupConfig config_of(std::uint64_t epoch, const std::string& author);
ServerMember member_of(const std::string& id, std::uint64_t incarnation);

// One session and what it heard. Waits run the queue, so other sessions go on meanwhile.
class Session {
 public:
  Session(test::TaskQueue& queue, std::unique_ptr<Coordinator> coordinator);

  Coordinator& coordinator() { return *coordinator_; }
  void start();
  // As start(), and waits for the first view.
  void start_and_wait();
  void end() { coordinator_.reset(); }

  const std::vector<ClusterView>& views() const { return views_; }
  const ClusterView& view() const { return views_.back(); }
  SessionState state() const { return state_.value_or(SessionState::connecting); }
  const std::string& why() const { return why_; }
  bool told_state() const { return state_.has_value(); }

  template <class Condition>
  bool wait_view(Condition condition) {
    return queue_.run_until([&] { return !views_.empty() && condition(views_.back()); });
  }
  bool wait_state(SessionState state);

  // The result; none: no answer within the limit.
  struct Registration {
    bool answered = false;
    bool ok = false;
    std::string why;
  };
  Registration register_server(const ServerMember& member, std::uint32_t patience_ms = 0);
  std::optional<WriteResult> propose(GroupId group, std::int64_t expected, const GroupConfig& config);
  std::optional<WriteResult> propose_ring(std::uint64_t expected, const RingRecord& ring);
  std::optional<bool> touch();

 private:
  test::TaskQueue& queue_;
  std::unique_ptr<Coordinator> coordinator_;
  std::vector<ClusterView> views_;
  std::optional<SessionState> state_;
  std::string why_;
};

class World {
 public:
  virtual ~World() = default;

  // A session that can be cut off by its name.
  std::unique_ptr<Session> make(const std::string& name, std::uint32_t session_timeout_ms = kLongTimeoutMs) {
    return std::make_unique<Session>(queue, maker(name, session_timeout_ms)());
  }
  // Makes any number of them, one after the other, all of one name.
  virtual MakeSession maker(const std::string& name, std::uint32_t session_timeout_ms) = 0;
  virtual void cut(const std::string& name) = 0;
  virtual void mend(const std::string& name) = 0;
  // Ends the session of that name, made with kShortTimeoutMs, from outside.
  virtual void expire(const std::string& name) = 0;

  std::unique_ptr<Session> start(const std::string& name, std::uint32_t session_timeout_ms = kLongTimeoutMs) {
    std::unique_ptr<Session> session = make(name, session_timeout_ms);
    session->start_and_wait();
    return session;
  }

  Executor executor() {
    return [this](std::function<void()> task) { queue.post(std::move(task)); };
  }

  test::TaskQueue queue;
};

std::unique_ptr<World> make_memory_world();
std::unique_ptr<World> make_zookeeper_world();

// What every test of the contract is run in.
struct WorldKind {
  const char* name;
  std::unique_ptr<World> (*make)();
};
inline constexpr WorldKind kAllWorlds[] = {{"Memory", make_memory_world},
                                           {"Zookeeper", make_zookeeper_world}};
inline void PrintTo(const WorldKind& kind, std::ostream* out) {
  *out << kind.name;
}
inline std::string name_of_world(const testing::TestParamInfo<WorldKind>& test) {
  return test.param.name;
}

// On the program's own ZooKeeper (one for all tests), below a path of this world's own. Each session has a
// link of its own.
class ZookeeperWorld final : public World {
 public:
  ZookeeperWorld();
  static test::ZookeeperServer& server();

  MakeSession maker(const std::string& name, std::uint32_t session_timeout_ms) override;
  void cut(const std::string& name) override;
  void mend(const std::string& name) override;
  void expire(const std::string& name) override;

  test::TcpProxy& link(const std::string& name) { return *links_.at(name); }
  const std::string& root() const { return root_; }
  Executor post() { return executor(); }

 private:
  const std::string root_;
  std::map<std::string, std::unique_ptr<test::TcpProxy>> links_;
};

}  // namespace dlm::coordinator
