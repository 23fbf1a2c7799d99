#include "test/integration/coordinator/world.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "coordinator/memory_coordinator.h"
#include "coordinator/zookeeper_coordinator.h"

namespace dlm::coordinator {

GroupConfig config_of(std::uint64_t epoch, const std::string& author) {
  GroupConfig config;
  config.epoch = Epoch(epoch);
  config.primary = {"s1", 42};
  config.in_sync = {{"s1", 42}, {"s2", 7}};
  config.author = author;
  return config;
}

ServerMember member_of(const std::string& id, std::uint64_t incarnation) {
  return {{id, incarnation}, "127.0.0.1:7801", {GroupId(1), GroupId(2)}};
}

Session::Session(test::TaskQueue& queue, std::unique_ptr<Coordinator> coordinator)
    : queue_(queue), coordinator_(std::move(coordinator)) {}

void Session::start() {
  Coordinator::Events events;
  events.on_view = [this](const ClusterView& view) { views_.push_back(view); };
  events.on_session = [this](SessionState state, const std::string& why) {
    state_ = state;
    why_ = why;
  };
  coordinator_->start(std::move(events));
}

void Session::start_and_wait() {
  start();
  EXPECT_TRUE(queue_.run_until([this] { return !views_.empty(); })) << why_;
}

bool Session::wait_state(SessionState state) {
  return queue_.run_until([&] { return state_ == state; });
}

Session::Registration Session::register_server(const ServerMember& member, std::uint32_t patience_ms) {
  auto result = std::make_shared<Registration>();
  coordinator_->register_server(member, patience_ms, [result](bool ok, const std::string& why) {
    *result = {true, ok, why};
  });
  queue_.run_until([&] { return result->answered; });
  return *result;
}

std::optional<WriteResult> Session::propose(GroupId group, std::int64_t expected, const GroupConfig& config) {
  auto result = std::make_shared<std::optional<WriteResult>>();
  coordinator_->propose(group, expected, config, [result](WriteResult written) { *result = written; });
  queue_.run_until([&] { return result->has_value(); });
  return *result;
}

std::optional<WriteResult> Session::propose_ring(std::uint64_t expected, const RingRecord& ring) {
  auto result = std::make_shared<std::optional<WriteResult>>();
  coordinator_->propose_ring(expected, ring, [result](WriteResult written) { *result = written; });
  queue_.run_until([&] { return result->has_value(); });
  return *result;
}

std::optional<bool> Session::touch() {
  auto result = std::make_shared<std::optional<bool>>();
  coordinator_->touch([result](bool ok) { *result = ok; });
  queue_.run_until([&] { return result->has_value(); });
  return *result;
}

namespace {

class MemoryWorld final : public World {
 public:
  MakeSession maker(const std::string& name, std::uint32_t) override {
    return [this, name] { return make_session(hub_, executor(), name); };
  }
  void cut(const std::string& name) override { hub_.cut(name); }
  void mend(const std::string& name) override { hub_.mend(name); }
  void expire(const std::string& name) override { hub_.expire(name); }

 private:
  MemoryHub hub_;
};

std::string next_root() {
  static int count = 0;
  return "/test/" + std::to_string(getpid()) + "-" + std::to_string(++count);
}

}  // namespace

std::unique_ptr<World> make_memory_world() {
  return std::make_unique<MemoryWorld>();
}

std::unique_ptr<World> make_zookeeper_world() {
  return std::make_unique<ZookeeperWorld>();
}

ZookeeperWorld::ZookeeperWorld() : root_(next_root()) {
  server();
}

test::ZookeeperServer& ZookeeperWorld::server() {
  static test::ZookeeperServer server;
  return server;
}

MakeSession ZookeeperWorld::maker(const std::string& name, std::uint32_t session_timeout_ms) {
  std::unique_ptr<test::TcpProxy>& link = links_[name];
  if (!link) link = std::make_unique<test::TcpProxy>(server().port());
  ZookeeperOptions options;
  options.address = {link->address(), root_};
  options.session_timeout_ms = session_timeout_ms;
  return [this, options] { return make_zookeeper_coordinator(options, executor()); };
}

void ZookeeperWorld::cut(const std::string& name) {
  link(name).cut();
}

void ZookeeperWorld::mend(const std::string& name) {
  link(name).mend();
}

void ZookeeperWorld::expire(const std::string& name) {
  link(name).cut();
  // ZooKeeper looks for silent sessions once in a tick (500 ms).
  std::this_thread::sleep_for(std::chrono::milliseconds(kShortTimeoutMs + 2'000));
  link(name).mend();
}

}  // namespace dlm::coordinator
