#include "world.h"

#include <chrono>

namespace dlm::router {

World::World() : hub({.cluster = "blue"}), watcher(make_session(hub, loop.executor(), "watcher")) {
  watcher->start({.on_view = [this](const coordinator::ClusterView& now) { view = now; },
                  .on_session = [](coordinator::SessionState, const std::string&) {}});
  for (unsigned i = 1; i <= 3; ++i) groups[GroupId(i)] = std::make_shared<FakeGroup>(GroupId(i));
}

World::~World() {
  router.reset();
  servers.clear();
  watcher.reset();
  run_for(20);
}

void World::until(const std::function<bool()>& done, const char* what) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!done()) {
    if (std::chrono::steady_clock::now() > give_up) {
      FAIL() << "waited in vain: " << what;
    }
    loop.io().run_one_for(std::chrono::milliseconds(5));
  }
}

void World::run_for(std::uint32_t ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (std::chrono::steady_clock::now() < end) loop.io().run_one_until(end);
}

void World::start_router(RouterProcessOptions options) {
  options.listen = {"127.0.0.1", 0};
  if (options.id.empty()) options.id = "r1";
  auto session = [this] { return make_session(hub, loop.executor(), "router"); };
  options.new_coordinator = session;
  router = std::make_unique<RouterProcess>(loop, session(), options);
  router->start(
      {.on_ready = [this] { ready = true; }, .on_failed = [this](const std::string& why) { failure = why; }});
}

void World::start_server(const std::string& server, std::uint64_t incarnation) {
  ServerInWorld& entry = servers[server];
  entry.name = {server, incarnation};
  std::vector<std::shared_ptr<FakeGroup>> all;
  coordinator::ServerMember member;
  for (auto& [id, group] : groups) {
    all.push_back(group);
    member.groups.push_back(id);
  }
  entry.server = std::make_unique<FakeShardServer>(loop, "blue", to_string(entry.name), all);
  entry.session = make_session(hub, loop.executor(), server);
  entry.session->start({.on_view = [](const coordinator::ClusterView&) {},
                        .on_session = [](coordinator::SessionState, const std::string&) {}});
  member.name = entry.name;
  member.address = entry.server->address();
  bool registered = false;
  entry.session->register_server(member, 1'000, [&](bool ok, const std::string& why) {
    EXPECT_TRUE(ok) << why;
    registered = true;
  });
  until([&] { return registered; }, "the registration of a server");
}

void World::kill_server(const std::string& server) {
  servers[server].server.reset();
  servers[server].session.reset();
}

void World::bootstrap(unsigned count, const std::string& server) {
  coordinator::RingRecord ring;
  for (unsigned i = 1; i <= count; ++i) ring.groups.push_back({GroupId(i), 1});
  bool written = false;
  watcher->propose_ring(0, ring, [&](coordinator::WriteResult result) {
    EXPECT_EQ(result, coordinator::WriteResult::accepted);
    written = true;
  });
  until([&] { return written; }, "the ring");
  for (unsigned i = 1; i <= count; ++i) elect(i, server);
}

void World::elect(unsigned group, const std::string& server) {
  coordinator::VersionedConfig next = view.groups[GroupId(group)];
  next.config.epoch = next.config.epoch.next();
  next.config.primary = servers[server].name;
  next.config.in_sync = {servers[server].name};
  groups[GroupId(group)]->primary = to_string(servers[server].name);
  bool written = false;
  watcher->propose(GroupId(group), next.version, next.config, [&](coordinator::WriteResult result) {
    EXPECT_EQ(result, coordinator::WriteResult::accepted);
    written = true;
  });
  until([&] { return written && view.groups[GroupId(group)].config.epoch == next.config.epoch; },
        "an election");
}

void World::start_all(RouterProcessOptions options) {
  until([&] { return !view.cluster.empty(); }, "the first view");
  start_server("s1");
  start_server("s2");
  bootstrap(1, "s1");
  start_router(std::move(options));
  until([&] { return ready; }, "the router");
}

std::unique_ptr<EdgeClient> World::client(std::uint64_t number) {
  auto client = std::make_unique<EdgeClient>(loop, router->port());
  client->hello(number);
  until([&] { return client->welcome; }, "a welcome");
  return client;
}

Operation World::acquire(std::uint64_t sequence, std::string_view resource, std::uint32_t deadline_ms) {
  Operation op;
  op.kind = OperationKind::acquire;
  op.sequence = Sequence(sequence);
  op.wait_ms = kWaitForeverMs;
  op.resource = resource;
  op.deadline_ms = deadline_ms;
  return op;
}

Operation World::release(std::uint64_t sequence, std::string_view resource) {
  Operation op = acquire(sequence, resource);
  op.kind = OperationKind::release;
  return op;
}

}  // namespace dlm::router
