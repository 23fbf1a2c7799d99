// What clients say to a router, from the payloads of frames on: whatever they send, and in whatever order,
// the router goes on, passes on nothing that is the servers' own, and keeps nothing of a connection that is
// gone.
#include <glog/logging.h>

#include "router/client_edge.h"
#include "router/core/router_core.h"
#include "schema/client.capnp.h"
#include "schema/wire/event_loop.h"
#include "test/fuzz/fuzz.h"
#include "test/fuzz/messages.h"

namespace dlm::fuzz {
namespace {

using router::ClientEdge;
using router::ConnectionId;
using router::RouterCore;
using router::RouterOutput;

// What a part of an input is; its first byte.
enum class Kind : unsigned {
  frame,
  reconnect,
  time,  // passes: 100 ms for each unit of the next byte
  end_
};

wire::EventLoop& event_loop() {
  static wire::EventLoop loop;
  return loop;
}

coordinator::ClusterView view() {
  coordinator::ClusterView view;
  view.cluster = "blue";
  view.ring.version = 1;
  coordinator::ServerMember& server = view.servers["s1"];
  server.name = {"s1", 1};
  server.address = "127.0.0.1:1";
  for (GroupId group : {GroupId(1), GroupId(2)}) {
    view.ring.groups.push_back({group, 0.01});
    server.groups.push_back(group);
    coordinator::VersionedConfig& record = view.groups[group];
    record.version = 1;
    record.config.epoch = Epoch(1);
    record.config.primary = server.name;
    record.config.in_sync = {server.name};
  }
  return view;
}

class Router {
 public:
  Router() : edge_(event_loop(), core_, {.listen = {"127.0.0.1", 0}}, [] {}) {
    core_.view(view(), now_ms_);
    connection_ = core_.connect(now_ms_);
    turn();
  }

  void take(std::string_view part) {
    switch (static_cast<Kind>(take_choice(part, static_cast<unsigned>(Kind::end_)))) {
      case Kind::reconnect:
        core_.disconnect(connection_);
        connection_ = core_.connect(now_ms_);
        break;
      case Kind::time:
        now_ms_ += 100 * take_choice(part, 64);
        break;
      default:
        const kj::Array<capnp::word> words = words_of(part);
        edge_.frames(connection_, {words.asPtr()});
    }
    turn();
  }

  void finish() {
    core_.disconnect(connection_);
    turn();
    turn();  // what the first one told of is borrowed until the next
    require(core_.stats().connections == 0, "a connection that is gone is forgotten");
    require(core_.stats().pending == 0 && core_.stats().queries == 0, "so is all that came on it");
  }

 private:
  void turn() {
    RouterOutput output;
    for (bool again = true; again;) {
      output.clear();
      core_.turn(now_ms_, output);
      edge_.deliver(output, "r1");
      again = carry_out(output);
    }
  }

  // True: there were inputs in it.
  bool carry_out(const RouterOutput& output) {
    for (const router::LinkChange& link : output.links)
      if (link.kind == router::LinkChange::Kind::connect) core_.link_up(link.server, now_ms_);
    std::vector<std::pair<router::CallId, std::vector<Answer>>> answers;
    for (const router::Submit& submit : output.submits) answers.emplace_back(submit.call, answers_to(submit));
    std::vector<router::CallId> queries;
    for (const router::QueryCall& query : output.queries) queries.push_back(query.call);
    for (auto& [call, list] : answers) core_.submitted(call, std::move(list), now_ms_);
    for (router::CallId call : queries) core_.queried(call, true, {}, now_ms_);
    for (const router::RingWrite& write : output.ring_writes)
      core_.ring_written(write.call, coordinator::WriteResult::conflict, now_ms_);
    for (const router::GroupWrite& write : output.group_writes)
      core_.group_written(write.call, coordinator::WriteResult::conflict);
    return !output.links.empty() || !answers.empty() || !queries.empty() || !output.ring_writes.empty() ||
           !output.group_writes.empty();
  }

  static std::vector<Answer> answers_to(const router::Submit& submit) {
    std::vector<Answer> answers;
    for (const Operation& op : submit.operations) {
      require(op.kind < kFirstInternalOperation, "clients can't have a server's own operations done");
      require(static_cast<bool>(op.session), "every operation has a session");
      Answer& answer = answers.emplace_back();
      answer.session = op.session;
      answer.sequence = op.sequence;
      answer.group = submit.group;
      answer.ttl_ms = op.lease_ms;
      if (op.kind == OperationKind::acquire && op.wait_ms != 0) answer.status = Status::queued;
    }
    return answers;
  }

  RouterCore core_{router::RouterOptions{}};
  ClientEdge edge_;
  ConnectionId connection_;
  std::uint64_t now_ms_ = wire::EventLoop::now_ms();
};

template <class Fill>
std::string frame(Fill fill) {
  return static_cast<char>(Kind::frame) + message_of<wire::ClientFrame>(fill);
}

std::string hello() {
  return frame([](wire::ClientFrame::Builder to) {
    auto said = to.initHello();
    said.setProtocolMin(kClientProtocolVersion);
    said.setProtocolMax(kClientProtocolVersion);
    said.setCluster("blue");
    said.setClientId("a client");
    said.setSessionBase(0x12340000);
    said.setTtlMs(kSessionTtlMsDefault);
    auto groups = said.initGroups(1);
    groups[0].setGroup(1);
    groups[0].setGeneration(3);
    groups[0].setRenew(true);
  });
}

std::string operations() {
  std::vector<Operation> list;
  for (OperationKind kind :
       {OperationKind::acquire, OperationKind::renew, OperationKind::cancel, OperationKind::release}) {
    Operation& op = list.emplace_back();
    op.kind = kind;
    op.sequence = Sequence(list.size());
    op.resource = "orders/42";
    op.owner_tag = "tag";
    op.client_id = "owner";
    op.token = FencingToken((std::uint64_t{1} << 40) + 1);
    op.target = Sequence(1);
    op.deadline_ms = 1'000;
    if (kind != OperationKind::acquire) continue;
    op.mode = LockMode::shared;
    op.lease = LeaseKind::detached;
    op.lease_ms = 30'000;
    op.wait_ms = kWaitForeverMs;
  }
  return frame([&](wire::ClientFrame::Builder to) {
    auto said = to.initOperations();
    said.setAckedBelow(1);
    auto operations = said.initList(static_cast<unsigned>(list.size()));
    for (unsigned i = 0; i < operations.size(); ++i) wire::write(list[i], operations[i]);
  });
}

template <class Ask>
std::string query(Ask ask) {
  return frame([&](wire::ClientFrame::Builder to) {
    auto said = to.initQuery();
    said.setId(7);
    said.setDeadlineMs(1'000);
    ask(said.initQuery());
  });
}

}  // namespace

void run(std::string_view input) {
  FLAGS_minloglevel = google::GLOG_FATAL;
  Router router;
  for (std::string_view part : parts_of(input)) router.take(part);
  router.finish();
}

Seeds seeds() {
  const std::string heartbeat = frame([](wire::ClientFrame::Builder to) {
    auto said = to.initHeartbeat();
    said.setNumber(5);
    said.initGroups(1)[0].setGroup(1);
  });
  const std::string bye = frame([](wire::ClientFrame::Builder to) { to.setBye(); });
  const std::string name = "orders/42";
  const std::string inspect = query([&](auto to) { to.setInspect(wire::as_bytes(name)); });
  const std::string locate = query([&](auto to) { to.setLocate(wire::as_bytes(name)); });
  const std::string status = query([](auto to) { to.setStatus(); });
  const std::string ring = query([](auto to) { to.setRing(); });
  const std::string list = query([&](auto to) {
    auto asked = to.initList();
    asked.setPrefix(wire::as_bytes(name));
    asked.setGroup(1);
    asked.setCursor(3);
    asked.setLimit(10);
  });
  const std::string step_down = query([](auto to) { to.initStepDown().setGroup(2); });
  const std::string change = query([](auto to) {
    RingChange asked;
    asked.kind = RingChange::Kind::weight;
    asked.group = GroupId(1);
    asked.weight = 0.02;
    wire::write(asked, to.initChangeRing());
  });
  const std::string recover = query([](auto to) {
    to.initRecoverGroup().setGroup(1);
    to.getRecoverGroup().setExpectedVersion(1);
  });
  const std::string reconnect(1, static_cast<char>(Kind::reconnect));
  const std::string second{static_cast<char>(Kind::time), 10};
  return {
      {"operations", join({hello(), operations(), heartbeat, second, operations(), bye})},
      {"again", join({hello(), operations(), reconnect, hello(), operations(), second, heartbeat})},
      {"reads", join({hello(), inspect, list, status, locate, second})},
      {"operators", join({hello(), ring, step_down, change, recover, second})},
      {"no-hello", join({operations()})},
  };
}

}  // namespace dlm::fuzz
