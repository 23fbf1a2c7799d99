#include "test/sim/router_node.h"

#include <algorithm>
#include <set>
#include <utility>

#include "test/sim/alarm.h"
#include "test/sim/coordinator_client.h"
#include "test/sim/server_link.h"

namespace dlm::sim {

using router::ConnectionId;
using router::RouterCore;
using router::RouterOutput;
using router::ServerId;

namespace {

constexpr TimeUs kNewSessionPause = 500 * kMs;
constexpr TimeUs kLossDelay = 5 * kMs;

std::vector<router::GroupListing> listings_of(const std::vector<client::SessionInUse>& groups) {
  std::vector<router::GroupListing> listings;
  for (const client::SessionInUse& use : groups) listings.push_back({use.group, use.generation, use.renew});
  return listings;
}

}  // namespace

struct RouterNode::Life final : Endpoint {
  struct Server {
    std::unique_ptr<ServerLink> link;
    std::set<std::uint64_t> submits;  // out
    std::set<std::uint64_t> queries;
  };

  explicit Life(RouterNode& node);

  LocalMs now() const { return self.clock_ms(); }
  void begin_session();

  // clients
  void on_message(LinkId link, Message&& message) override;
  void on_closed(LinkId link) override;
  void take(ConnectionId connection, Message& message);
  void deliver(const RouterOutput& output);
  // servers
  void change(const router::LinkChange& change);
  void submit(const router::Submit& submit);
  void double_later(const Submit& message, ServerId server);
  void query(const router::QueryCall& call);
  void from_server(ServerId server, Message& message);
  void failed(Server& server, const CallFailed& failure);
  void fail_query(std::uint64_t call);
  // turns
  void wake();
  void turn();
  void arm();

  RouterNode& self;
  RouterCore core;
  bool turn_scheduled = false;
  Alarm alarm{self, [this] { wake(); }};
  std::map<LinkId, ConnectionId> connection_of;
  std::map<ConnectionId, LinkId> link_of;
  std::map<ServerId, Server> servers;
  std::vector<std::uint64_t> unsent_submits;
  std::vector<std::uint64_t> unsent_queries;
  std::unique_ptr<CoordinatorClient> coordinator;
};

RouterNode::Life::Life(RouterNode& node) : self(node), core(node.options_.core) {
  begin_session();
}

void RouterNode::Life::begin_session() {
  CoordinatorClient::Options options;
  options.self = coordinator::RouterMember{self.name(), self.name()};
  options.groups = self.options_.groups;
  options.session_timeout_ms = self.options_.session_timeout_ms;
  coordinator = std::make_unique<CoordinatorClient>(
      self, self.network_, std::move(options),
      CoordinatorClient::Events{.on_view =
                                    [this](const coordinator::ClusterView& view) {
                                      core.view(view, now());
                                      wake();
                                    },
                                .on_ended =
                                    [this] {
                                      // It loses nothing with its session: serves on and begins another.
                                      self.post(kNewSessionPause, [this] { begin_session(); });
                                    },
                                .on_registered = {}});
}

// --- clients ---------------------------------------------------------------------------------------------

void RouterNode::Life::on_message(LinkId link, Message&& message) {
  auto [found, is_new] = connection_of.try_emplace(link);
  if (is_new) {
    found->second = core.connect(now());
    link_of[found->second] = link;
  }
  take(found->second, message);
  wake();
}

void RouterNode::Life::take(ConnectionId connection, Message& message) {
  if (auto* hello = std::get_if<Hello>(&message)) {
    const std::vector<router::GroupListing> listings = listings_of(hello->data.groups);
    router::Hello greeting;
    greeting.protocol_min = greeting.protocol_max = kClientProtocolVersion;
    greeting.client_id = hello->client_id;
    greeting.session_base = hello->data.session_base;
    greeting.ttl_ms = hello->data.ttl_ms;
    greeting.groups = listings;
    core.hello(connection, greeting, now());
  } else if (auto* operations = std::get_if<Operations>(&message)) {
    std::vector<Operation> list;
    for (const OwnedOperation& operation : operations->list) list.push_back(operation.view());
    core.operations(connection, operations->acked_below, list, now());
  } else if (auto* beat = std::get_if<Beat>(&message)) {
    core.heartbeat(connection, beat->number, listings_of(beat->groups), now());
  } else if (auto* asked = std::get_if<ClientQuery>(&message)) {
    core.query(connection, asked->id, asked->deadline_ms, std::move(asked->query), now());
  } else if (std::holds_alternative<Bye>(message)) {
    core.bye(connection, now());
  }
}

void RouterNode::Life::on_closed(LinkId link) {
  auto found = connection_of.find(link);
  if (found == connection_of.end()) return;
  core.disconnect(found->second);
  link_of.erase(found->second);
  connection_of.erase(found);
  wake();
}

void RouterNode::Life::deliver(const RouterOutput& output) {
  const auto send = [&](ConnectionId connection, Message message) {
    auto found = link_of.find(connection);
    if (found != link_of.end()) self.network_.send(found->second, self, std::move(message));
  };
  for (ConnectionId connection : output.welcomes) send(connection, Welcome{});
  for (const router::ClientBatch& batch : output.batches) {
    send(batch.connection, ToClient{{batch.sessions.begin(), batch.sessions.end()},
                                    {batch.answers.begin(), batch.answers.end()}});
  }
  for (const router::ClientReport& report : output.reports)
    send(report.connection, ReportToClient{report.id, report.report});
  for (const router::ClientClose& close : output.closes) {
    auto found = link_of.find(close.connection);
    if (found == link_of.end()) continue;
    if (close.refused) send(close.connection, Refusal{close.status, close.message});
    self.network_.close(found->second, self);
    connection_of.erase(found->second);
    link_of.erase(found);
  }
}

// --- servers ---------------------------------------------------------------------------------------------

void RouterNode::Life::change(const router::LinkChange& change) {
  if (change.kind == router::LinkChange::Kind::drop) {
    servers.erase(change.server);
    return;
  }
  if (change.kind == router::LinkChange::Kind::reconnect) {
    auto found = servers.find(change.server);
    if (found != servers.end()) found->second.link->reconnect();
    return;
  }
  const ServerId id = change.server;
  Server& server = servers[id];
  server.link = std::make_unique<ServerLink>(
      self, self.network_, ServerLink::Options{change.address, self.name(), to_string(change.name), 1'000},
      ServerLink::Events{.on_up =
                             [this, id] {
                               core.link_up(id, now());
                               wake();
                             },
                         .on_down =
                             [this, id](bool gone) {
                               Server& down = servers.at(id);
                               down.submits.clear();
                               down.queries.clear();
                               core.link_down(id, gone, "connection lost", now());
                               wake();
                             },
                         .on_message = [this, id](Message&& message) { from_server(id, message); }});
}

void RouterNode::Life::submit(const router::Submit& submit) {
  auto found = servers.find(submit.server);
  if (found == servers.end() || !found->second.link->up()) return unsent_submits.push_back(submit.call.value);
  Submit message{submit.call.value, submit.group, {}};
  bool only_beats = !submit.operations.empty();
  for (const Operation& operation : submit.operations) {
    only_beats = only_beats && operation.kind == OperationKind::heartbeat;
    message.operations.emplace_back(operation);
  }
  if (only_beats) ++self.heartbeat_submits_[submit.group];
  found->second.submits.insert(message.call);
  double_later(message, submit.server);
  found->second.link->send(std::move(message));
}

// Copies that come late, also when the client has left this router meanwhile.
void RouterNode::Life::double_later(const Submit& message, ServerId server) {
  if (!self.world().random.percent(self.options_.doubled_percent)) return;
  Submit copy = message;
  copy.call = 0;
  std::erase_if(copy.operations, [](const OwnedOperation& operation) {
    return operation.view().kind == OperationKind::heartbeat ||
           operation.view().kind == OperationKind::close_session;
  });
  self.post(self.world().random.below(self.options_.doubled_delay + 1), [this, copy, server]() mutable {
    auto found = servers.find(server);
    if (found != servers.end() && found->second.link->up()) found->second.link->send(copy);
  });
}

void RouterNode::Life::query(const router::QueryCall& call) {
  auto found = servers.find(call.server);
  if (found == servers.end() || !found->second.link->up()) return unsent_queries.push_back(call.call.value);
  server::GroupQuery query;
  query.kind = static_cast<server::GroupQuery::Kind>(call.query.kind);
  query.text = call.query.resource;
  query.cursor = call.query.cursor;
  query.limit = call.query.limit;
  found->second.queries.insert(call.call.value);
  found->second.link->send(Query{call.call.value, call.group, std::move(query)});
}

void RouterNode::Life::from_server(ServerId id, Message& message) {
  Server& server = servers.at(id);
  if (auto* submitted = std::get_if<Submitted>(&message)) {
    if (server.submits.erase(submitted->call) != 0)
      core.submitted(router::CallId(submitted->call), std::move(submitted->answers), now());
  } else if (auto* late = std::get_if<LateAnswers>(&message)) {
    server.link->send(LateTaken{late->group});
    core.late_answers(id, late->group, std::move(late->answers), now());
  } else if (auto* queried = std::get_if<Queried>(&message)) {
    if (server.queries.erase(queried->call) == 0) return;
    router::QueryReport report;
    report.status = queried->report.status;
    report.message = queried->report.message;
    if (auto* lock = std::get_if<LockReport>(&queried->report.content)) report.content = std::move(*lock);
    if (auto* page = std::get_if<LockPage>(&queried->report.content)) report.content = std::move(*page);
    if (auto* group = std::get_if<GroupReport>(&queried->report.content)) report.content = std::move(*group);
    core.queried(router::CallId(queried->call), true, std::move(report), now());
  } else if (const auto* failure = std::get_if<CallFailed>(&message)) {
    failed(server, *failure);
  }
  wake();
}

void RouterNode::Life::failed(Server& server, const CallFailed& failure) {
  if (server.queries.erase(failure.call) != 0) return fail_query(failure.call);
  if (server.submits.erase(failure.call) == 0) return;
  core.submit_failed(router::CallId(failure.call), "refused", now());
  if (failure.refused_channel) return;
  // The server has closed the channel: everything begins anew.
  self.post(kLossDelay, [this, link = server.link.get()] {
    for (auto& [id, other] : servers) {
      if (other.link.get() == link) return link->reconnect();
    }
  });
}

void RouterNode::Life::fail_query(std::uint64_t call) {
  router::QueryReport report;
  report.status = Status::unavailable;
  report.message = "not connected";
  core.queried(router::CallId(call), false, std::move(report), now());
  wake();
}

// --- turns -----------------------------------------------------------------------------------------------

void RouterNode::Life::wake() {
  if (std::exchange(turn_scheduled, true)) return;
  self.post(self.world().random.below(self.options_.turn_delay + 1), [this] { turn(); });
}

void RouterNode::Life::turn() {
  turn_scheduled = false;
  RouterOutput output;
  core.turn(now(), output);
  deliver(output);
  for (const router::LinkChange& link : output.links) change(link);
  for (const router::Submit& call : output.submits) submit(call);
  for (const router::QueryCall& call : output.queries) query(call);
  // Last, as an input ends what the output borrows.
  for (std::uint64_t call : std::exchange(unsent_submits, {})) {
    core.submit_failed(router::CallId(call), "not connected", now());
    wake();
  }
  for (std::uint64_t call : std::exchange(unsent_queries, {})) fail_query(call);
  arm();
}

void RouterNode::Life::arm() {
  const LocalMs next = core.next_turn();
  if (next == router::kNever) return;
  if (next <= now()) return wake();
  alarm.set(next);
}

// --- the process -----------------------------------------------------------------------------------------

RouterNode::RouterNode(World& world, Network& network, const std::string& name, const Clock& clock,
                       const Options& options)
    : Process(world, name, clock), network_(network), options_(options) {}
RouterNode::~RouterNode() = default;

void RouterNode::begin_life() {
  state_ = std::make_unique<Life>(*this);
}
void RouterNode::end_life() {
  state_.reset();
}
void RouterNode::woken() {
  state_->wake();
}
Endpoint* RouterNode::acceptor() {
  return state_.get();
}
router::RouterStats RouterNode::stats() const {
  return state_ ? state_->core.stats() : router::RouterStats{};
}
std::uint64_t RouterNode::heartbeat_submits(GroupId group) const {
  auto found = heartbeat_submits_.find(group);
  return found == heartbeat_submits_.end() ? 0 : found->second;
}

}  // namespace dlm::sim
