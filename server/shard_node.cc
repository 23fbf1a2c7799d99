#include "server/shard_node.h"

#include <glog/logging.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "coordinator/core/ring_change.h"
#include "schema/limits.h"
#include "server/group_host.h"
#include "server/member_link.h"
#include "server/node_folder.h"
#include "server/shard_service.h"

namespace dlm::server {
namespace {

using coordinator::ClusterView;
using coordinator::ServerMember;
using coordinator::SessionState;
using coordinator::WriteResult;

constexpr std::uint32_t kRegisterGraceMs = 2'000;  // beyond the session timeout, for an earlier life to end
constexpr std::uint32_t kStopPatienceMs = 1'000;
constexpr std::uint32_t kStopPollMs = 1;
constexpr std::uint32_t kRingRetryMs = 500;

}  // namespace

// Of tasks that do not fail.
struct IgnoreFailures final : kj::TaskSet::ErrorHandler {
  void taskFailed(kj::Exception&&) override {}
};

struct ShardNode::Impl final : MemberNetwork, MemberEvents {
  using Links = std::map<MemberName, std::unique_ptr<MemberLink>>;
  Impl(wire::EventLoop& event_loop, std::unique_ptr<coordinator::Coordinator> session, ShardNodeOptions given,
       Events told)
      : loop(event_loop),
        options(std::move(given)),
        events(std::move(told)),
        coordinator(std::move(session)),
        service(std::make_shared<ServiceState>(ServiceState{event_loop, {}, {}, {}, {}})),
        start_timer(event_loop.io()),
        ring_timer(event_loop.io()),
        stop_timer(event_loop.io()) {
    if (options.incarnation == 0) options.incarnation = wire::EventLoop::unix_ms();
    service->self = MemberName{options.id, options.incarnation};
    service->channel_limits.call_timeout_ms = options.router_timeout_ms;
  }

  // Whoever may call back goes first: the coordinator, then links and connections, then what these use.
  ~Impl() {
    close();
    transfers.reset();
    links.clear();
    server = nullptr;
    service->hosts.clear();
  }

  void start();
  void close();
  void fail(const std::string& why);

  void on_view(const ClusterView& view);
  void on_session(SessionState state, const std::string& why);
  void outlive_earlier_lives();
  void open_data_folder();
  void make_hosts();
  void make_host(GroupId group);
  void register_self();
  void init_ring_if_missing();
  void settle_ring_if_due();
  void follow_members(const ClusterView& view);
  void drop_link(Links::iterator link, const char* why);
  void fail_later(GroupId from, GroupId to, std::uint64_t number, const std::string& why);

  void stop(std::function<void()> done);
  void poll_stopped(std::uint64_t deadline_ms, std::function<void()> done);
  void halt_where_it_left();
  bool leads_any() const;

  // MemberNetwork
  void send(GroupId group, Append&& message) override { send_to(message.to, group, std::move(message)); }
  void send(GroupId group, Install&& message) override { send_to(message.to, group, std::move(message)); }
  void send(const Transfer& transfer) override;
  template <class Message>
  void send_to(const MemberName& member, GroupId group, Message&& message);
  // MemberEvents
  void on_reply(GroupId group, const AppendReply& reply) override;
  void on_message_lost(GroupId group, const MemberName& member) override;
  void on_transferred(GroupId from, GroupId to, std::uint64_t number, const TransferReply& reply) override;
  void on_link_down(const MemberName& member, bool gone) override;

  // A task of a timer of ours; not run when the node is gone or failed meanwhile.
  template <class Task>
  void after(boost::asio::steady_timer& timer, std::uint32_t delay_ms, Task task) {
    timer.expires_after(std::chrono::milliseconds(delay_ms));
    timer.async_wait([alive = std::weak_ptr<bool>(life), task](const boost::system::error_code& cancelled) {
      if (!cancelled && !alive.expired()) task();
    });
  }

  wire::EventLoop& loop;
  ShardNodeOptions options;
  Events events;
  std::unique_ptr<coordinator::Coordinator> coordinator;
  std::shared_ptr<ServiceState> service;
  kj::Own<wire::RpcServer> server;
  std::string address;
  std::optional<NodeFolder> data;  // of a durable node
  Links links;
  ClusterView view;
  std::string session_trouble;
  bool registering = false;
  bool proposing_ring = false;
  bool failed = false;
  bool stopping = false;
  boost::asio::steady_timer start_timer;
  boost::asio::steady_timer ring_timer;
  boost::asio::steady_timer stop_timer;
  std::shared_ptr<bool> life = std::make_shared<bool>(true);
  std::set<MemberName> move_targets;  // primaries of other groups that arcs were for
  IgnoreFailures ignore_failures;
  std::optional<kj::TaskSet> transfers{std::in_place, ignore_failures};  // to groups that are led here too
};

// --- beginning and end -----------------------------------------------------------------------------------

void ShardNode::Impl::start() {
  server = wire::RpcServer::listen(loop, options.listen, options.rpc,
                                   [state = service]() mutable { return make_shard_service(state); });
  const std::string& host = options.listen.host;
  const bool is_v6 = host.find(':') != std::string::npos;
  const std::string actual = (is_v6 ? "[" + host + "]" : host) + ":" + std::to_string(server->port());
  address = options.advertise.empty() ? actual : options.advertise;
  LOG(INFO) << coordinator::to_string(service->self) << " listens on " << actual << ", known as " << address;

  coordinator::Coordinator::Events told;
  told.on_view = [this](const ClusterView& next) { on_view(next); };
  told.on_session = [this](SessionState state, const std::string& why) { on_session(state, why); };
  coordinator->start(std::move(told));
  after(start_timer, options.start_timeout_ms, [this] {
    if (registering) return;
    fail("no contact with the coordinator: " + (session_trouble.empty() ? "no answer" : session_trouble) +
         "; start it, or give its right address");
  });
}

// Ends everything that can call back or be called; the rest is memory.
void ShardNode::Impl::close() {
  life.reset();
  start_timer.cancel();
  ring_timer.cancel();
  stop_timer.cancel();
  for (auto& [group, host] : service->hosts) host->halt();
  service->cluster.clear();
  if (server) server->stop_accepting();
  coordinator.reset();
}

void ShardNode::Impl::fail(const std::string& why) {
  if (std::exchange(failed, true)) return;
  LOG(ERROR) << coordinator::to_string(service->self) << " gives up: " << why;
  // Not at once: the caller may be the coordinator, or a link.
  loop.post([this, why, alive = std::weak_ptr<bool>(life)] {
    if (alive.expired()) return;
    close();
    if (events.on_failed) events.on_failed(why);
  });
}

// --- the coordinator -------------------------------------------------------------------------------------

void ShardNode::Impl::on_session(SessionState state, const std::string& why) {
  if (state == SessionState::ended) {
    fail("the coordinator's session ended for good (" + why + ")");
  } else if (state == SessionState::connecting) {
    session_trouble = why;
    LOG(WARNING) << "not in touch with the coordinator: " << why;
  } else {
    session_trouble.clear();
    LOG(INFO) << "in touch with the coordinator";
  }
}

void ShardNode::Impl::on_view(const ClusterView& next) {
  if (failed) return;
  view = next;
  if (!registering && !view.cluster.empty()) {
    registering = true;
    start_timer.cancel();
    service->cluster = view.cluster;
    make_hosts();
    if (failed) return;
    register_self();
  }
  init_ring_if_missing();
  follow_members(view);
  for (auto& [group, host] : service->hosts) host->on_view(view);
  if (stopping) halt_where_it_left();
  settle_ring_if_due();
}

// The incarnation is the wall clock's, which may have been set back since an earlier life. A later one must
// be higher: that is how others tell that the earlier is over.
void ShardNode::Impl::outlive_earlier_lives() {
  for (const auto& [group, record] : view.groups) {
    for (const MemberName& member : record.config.in_sync) {
      if (member.server != options.id || member.incarnation < service->self.incarnation) continue;
      service->self.incarnation = member.incarnation + 1;
    }
  }
}

// The folder says under which name this server goes on.
void ShardNode::Impl::open_data_folder() {
  data.emplace(options.data_dir, options.id, view);
  if (data->incarnation()) {
    service->self.incarnation = *data->incarnation();
  } else {
    outlive_earlier_lives();
  }
  data->begin(service->self, options.groups);
}

// Not before the coordinator is in touch: it tells the session timeout that holds.
void ShardNode::Impl::make_hosts() {
  try {
    options.data_dir.empty() ? outlive_earlier_lives() : open_data_folder();
    for (GroupId group : options.groups) make_host(group);
  } catch (const std::runtime_error& error) {  // DamagedFolder, std::system_error
    fail(error.what());
  }
}

void ShardNode::Impl::make_host(GroupId group) {
  GroupOptions group_options;
  group_options.replica.group = group;
  group_options.replica.self = service->self;
  group_options.replica.silence_timeout_ms = options.silence_timeout_ms;
  group_options.replica.ping_interval_ms = std::max<TimeMs>(1, options.silence_timeout_ms / 10);
  group_options.replica.coordinator_timeout_ms = coordinator->session_timeout_ms();
  group_options.replica.lease_ms_first = std::min(options.table.lease_ms_max, kSessionTtlMsDefault);
  group_options.replica.durable = data.has_value();
  group_options.table = options.table;
  NodeFolder::Group disk;
  if (data) disk = data->open(group);
  for (const std::string& line : disk.opened.notes) LOG(INFO) << to_string(group) << ": " << line;
  auto host =
      std::make_shared<GroupHost>(loop, group_options, *coordinator, *this, std::move(disk.opened.recovered));
  if (data)
    host->use_disk(std::move(disk.folder), disk.identity, std::move(disk.opened.log),
                   [this](const std::string& why) { fail("the disk failed: " + why); });
  service->hosts.emplace(group, std::move(host));
}

void ShardNode::Impl::register_self() {
  const ServerMember member{service->self, address, options.groups, data.has_value()};
  const std::uint32_t patience_ms = coordinator->session_timeout_ms() + kRegisterGraceMs;
  coordinator->register_server(member, patience_ms, [this](bool ok, const std::string& why) {
    if (failed) return;
    if (!ok) return fail("server id " + options.id + " can't be registered: " + why);
    LOG(INFO) << coordinator::to_string(service->self) << " is registered";
    if (events.on_ready) events.on_ready();
  });
}

void ShardNode::Impl::init_ring_if_missing() {
  if (options.init_ring.empty() || view.cluster.empty() || view.ring.version != 0 || proposing_ring) return;
  coordinator::RingRecord ring;
  for (GroupId group : options.init_ring) ring.groups.push_back({group, 1});
  proposing_ring = true;
  coordinator->propose_ring(0, ring, [this](WriteResult result) {
    proposing_ring = false;
    if (result == WriteResult::accepted) LOG(INFO) << "made the cluster's first ring";
    if ((result != WriteResult::unavailable && result != WriteResult::unknown) || failed) return;
    after(ring_timer, kRingRetryMs, [this] { init_ring_if_missing(); });
  });
}

// Every primary may end a change in which all groups are through, and one of them comes first.
void ShardNode::Impl::settle_ring_if_due() {
  if (proposing_ring || !coordinator::all_done(view.ring, view.groups)) return;
  const bool leads = std::any_of(service->hosts.begin(), service->hosts.end(),
                                 [](const auto& host) { return host.second->core().serving(); });
  if (!leads) return;
  proposing_ring = true;
  coordinator->propose_ring(view.ring.version, coordinator::settled(view.ring), [this](WriteResult result) {
    proposing_ring = false;
    if (result == WriteResult::accepted) LOG(INFO) << "the change of the ring is through";
    if (result == WriteResult::accepted || failed) return;
    after(ring_timer, kRingRetryMs, [this] { settle_ring_if_due(); });
  });
}

// A link to every other member that shares a group, and while the ring changes to all others.
void ShardNode::Impl::follow_members(const ClusterView& next) {
  std::set<MemberName> wanted;
  for (const auto& [id, member] : next.servers) {
    if (member.name.server == service->self.server) continue;
    const bool shares = std::any_of(member.groups.begin(), member.groups.end(),
                                    [&](GroupId group) { return service->hosts.contains(group); });
    const std::optional<HostPort> at = parse_host_port(member.address);
    const bool may_get_arcs = next.ring.changing() || move_targets.contains(member.name);
    if ((!shares && !may_get_arcs) || !at) continue;
    wanted.insert(member.name);
    auto known = links.find(member.name);
    if (known != links.end() && known->second->address() == member.address) continue;
    if (known != links.end()) drop_link(known, " has another address now");
    wire::ShardLinkOptions link;
    link.cluster = next.cluster;
    link.self = coordinator::to_string(service->self);
    link.server = coordinator::to_string(member.name);
    link.address = *at;
    link.limits = options.rpc;
    link.connect_timeout_ms = options.silence_timeout_ms;
    links.emplace(member.name, std::make_unique<MemberLink>(loop, std::move(link), service->self, member.name,
                                                            options.silence_timeout_ms, *this));
  }
  for (auto link = links.begin(); link != links.end();) {
    if (wanted.contains(link->first)) {
      ++link;
    } else {
      drop_link(link++, " left the cluster");
    }
  }
}

void ShardNode::Impl::drop_link(Links::iterator link, const char* why) {
  for (const auto& [from, to, number] : link->second->transfers_out())
    fail_later(from, to, number, coordinator::to_string(link->first) + why);
  const MemberName member = link->first;
  links.erase(link);
  // What was out on it gets no answer.
  on_link_down(member, false);
}

// --- members ---------------------------------------------------------------------------------------------

template <class Message>
void ShardNode::Impl::send_to(const MemberName& member, GroupId group, Message&& message) {
  auto link = links.find(member);
  if (link != links.end()) {
    link->second->send(group, MemberLink::Message(std::move(message)));
  } else {
    on_message_lost(group, member);  // not registered, so nobody knows its address
  }
}

// To whom the record says leads the group: itself, for one.
void ShardNode::Impl::send(const Transfer& transfer) {
  auto record = view.groups.find(transfer.to);
  const MemberName primary = record == view.groups.end() ? MemberName() : record->second.config.primary;
  auto here = service->hosts.find(transfer.to);
  if (primary == service->self && here != service->hosts.end()) {
    transfers->add(here->second->move_in(transfer).then(
        [this, from = transfer.from, to = transfer.to, number = transfer.number](TransferReply&& reply) {
          on_transferred(from, to, number, reply);
        }));
    return;
  }
  if (primary && move_targets.insert(primary).second) follow_members(view);
  auto link = links.find(primary);
  if (link != links.end()) return link->second->send(transfer);
  const std::string why =
      primary ? coordinator::to_string(primary) + " is not registered" : "it has no primary";
  fail_later(transfer.from, transfer.to, transfer.number, why);
}

void ShardNode::Impl::fail_later(GroupId from, GroupId to, std::uint64_t number, const std::string& why) {
  loop.post([this, alive = std::weak_ptr<bool>(life), from, to, number, why] {
    if (!alive.expired()) on_transferred(from, to, number, {Status::unavailable, why, 0, {}, 0});
  });
}

void ShardNode::Impl::on_transferred(GroupId from, GroupId to, std::uint64_t number,
                                     const TransferReply& reply) {
  auto host = service->hosts.find(from);
  if (host != service->hosts.end()) host->second->on_transferred(to, number, reply);
}

void ShardNode::Impl::on_reply(GroupId group, const AppendReply& reply) {
  auto host = service->hosts.find(group);
  if (host != service->hosts.end()) host->second->on_reply(reply);
}

void ShardNode::Impl::on_message_lost(GroupId group, const MemberName& member) {
  auto host = service->hosts.find(group);
  if (host != service->hosts.end()) host->second->on_link_down(member, false);
}

void ShardNode::Impl::on_link_down(const MemberName& member, bool gone) {
  for (auto& [group, host] : service->hosts) host->on_link_down(member, gone);
}

// --- orderly stop ----------------------------------------------------------------------------------------

bool ShardNode::Impl::leads_any() const {
  return std::any_of(service->hosts.begin(), service->hosts.end(),
                     [](const auto& host) { return host.second->core().replica().role() == Role::primary; });
}

void ShardNode::Impl::stop(std::function<void()> done) {
  stopping = true;
  bool handing_over = false;
  for (auto& [group, host] : service->hosts) handing_over = host->leave() || handing_over;
  LOG(INFO) << coordinator::to_string(service->self)
            << (handing_over ? " stops, handing over its groups" : " stops");
  const std::uint64_t patience_ms = handing_over ? kStopPatienceMs : 0;
  poll_stopped(wire::EventLoop::now_ms() + patience_ms, std::move(done));
}

// Where it has left the set it must not look like one that joins: it is about to be gone.
void ShardNode::Impl::halt_where_it_left() {
  for (auto& [group, host] : service->hosts) {
    const Replica& replica = host->core().replica();
    if (!replica.config().config.has(service->self)) host->halt();
  }
}

void ShardNode::Impl::poll_stopped(std::uint64_t deadline_ms, std::function<void()> done) {
  after(stop_timer, kStopPollMs, [this, deadline_ms, done = std::move(done)] {
    halt_where_it_left();
    if (!leads_any() || wire::EventLoop::now_ms() >= deadline_ms) return done();
    poll_stopped(deadline_ms, done);
  });
}

// --- the public face -------------------------------------------------------------------------------------

ShardNode::ShardNode(wire::EventLoop& loop, std::unique_ptr<coordinator::Coordinator> coordinator,
                     ShardNodeOptions options, Events events)
    : impl_(std::make_unique<Impl>(loop, std::move(coordinator), std::move(options), std::move(events))) {}
ShardNode::~ShardNode() = default;

void ShardNode::start() {
  impl_->start();
}
void ShardNode::stop(std::function<void()> done) {
  impl_->stop(std::move(done));
}
const coordinator::MemberName& ShardNode::name() const {
  return impl_->service->self;
}
std::string ShardNode::address() const {
  return impl_->address;
}

bool ShardNode::serves(GroupId group) const {
  auto host = impl_->service->hosts.find(group);
  return host != impl_->service->hosts.end() && host->second->core().serving();
}

std::string ShardNode::describe() const {
  std::string text;
  for (const auto& [group, host] : impl_->service->hosts) text += host->core().describe() + "\n";
  return text;
}

}  // namespace dlm::server
