#include "node_rig.h"

#include <gtest/gtest.h>
#include <kj/debug.h>

namespace dlm::server {
namespace {

// Sanitizers and a loaded machine make everything slow; only a test that is going to fail waits this long.
constexpr std::uint64_t kPatienceMs = 30'000;

}  // namespace

// --- nodes -----------------------------------------------------------------------------------------------

NodeRig::NodeRig() : hub({.cluster = "rig", .session_timeout_ms = 2'000}) {
  observer_ = coordinator::make_session(hub, loop.executor(), "observer");
  observer_->start({[this](const coordinator::ClusterView& next) { view = next; },
                    [](coordinator::SessionState, const std::string&) {}});
}

NodeRig::~NodeRig() {
  nodes.clear();
  observer_.reset();
  run_ms(20);  // what was cancelled is cleared away
}

ShardNodeOptions NodeRig::options(const std::string& id) const {
  static std::uint64_t lives = 0;
  ShardNodeOptions options;
  options.id = id;
  options.incarnation = ++lives;
  options.groups = {GroupId(1), GroupId(2)};
  options.init_ring = {GroupId(1), GroupId(2)};
  options.silence_timeout_ms = 2'000;
  return options;
}

NodeRig::Node& NodeRig::begin(const ShardNodeOptions& options) {
  Node& node = nodes[options.id];
  node = Node();
  ShardNode::Events events;
  events.on_ready = [&node] { node.ready = true; };
  events.on_failed = [&node](const std::string& why) { node.failure = why; };
  node.shard = std::make_unique<ShardNode>(loop, coordinator::make_session(hub, loop.executor(), options.id),
                                           options, std::move(events));
  node.shard->start();
  return node;
}

NodeRig::Node& NodeRig::start(const std::string& id) {
  Node& node = begin(options(id));
  await("registration", [&] { return node.ready; });
  return node;
}

void NodeRig::kill(const std::string& id) {
  nodes.at(id).shard.reset();
}

std::string NodeRig::primary(GroupId group) const {
  for (const auto& [id, node] : nodes) {
    if (node.shard && node.shard->serves(group)) return id;
  }
  return "";
}

void NodeRig::await_in_sync(GroupId group, std::size_t members) {
  await("the group in sync", [&] {
    auto record = view.groups.find(group);
    return record != view.groups.end() && record->second.config.in_sync.size() == members &&
           !primary(group).empty();
  });
}

void NodeRig::await(const char* what, const std::function<bool()>& holds) {
  const std::uint64_t deadline_ms = wire::EventLoop::now_ms() + kPatienceMs;
  while (!holds()) {
    if (wire::EventLoop::now_ms() > deadline_ms)
      throw std::runtime_error(std::string("waited in vain for ") + what);
    run_ms(2);
  }
}

void NodeRig::run_ms(std::uint32_t ms) {
  loop.wait_for(loop.timer().afterDelay(ms * kj::MILLISECONDS));
}

// --- a router --------------------------------------------------------------------------------------------

class FakeRouter::Listener final : public wire::AnswerListener::Server {
 public:
  explicit Listener(std::weak_ptr<FakeRouter*> router) : router_(std::move(router)) {}

  kj::Promise<void> answers(AnswersContext context) override {
    auto router = router_.lock();
    for (auto answer : context.getParams().getList()) {
      if (router) (*router)->later.push_back(wire::read(answer));
    }
    if (router && !(*router)->takes_answers) return kj::NEVER_DONE;
    return kj::READY_NOW;
  }

 private:
  std::weak_ptr<FakeRouter*> router_;
};

FakeRouter::FakeRouter(NodeRig& rig, const std::string& address)
    : rig_(rig), self_(std::make_shared<FakeRouter*>(this)) {
  auto result =
      rig.loop.wait_for(wire::RpcConnection::connect(rig.loop, *parse_host_port(address), {}, 5'000));
  if (!result.connection) throw std::runtime_error("no connection: " + result.why);
  connection_ = kj::mv(result.connection);
}

FakeRouter::~FakeRouter() {
  channel_ = nullptr;
  host_ = nullptr;
}

Status FakeRouter::greet(const std::string& cluster, std::uint16_t protocol, std::string& message) {
  auto request = connection_->bootstrap().castAs<wire::ShardServer>().greetRequest();
  request.initPeer().setProtocol(protocol);
  request.getPeer().setCluster(cluster.c_str());
  request.getPeer().setName("r1");
  kj::Promise<capnp::Response<wire::ShardServer::GreetResults>> sent = request.send();
  auto response = rig_.loop.wait_for(kj::mv(sent));
  message = wire::as_text(response.getMessage());
  if (response.hasHost()) host_ = response.getHost();
  return static_cast<Status>(response.getStatus());
}

Status FakeRouter::open(GroupId group) {
  std::string message;
  Status status = host_ == nullptr ? greet("rig", kShardProtocolVersion, message) : Status::ok;
  if (status != Status::ok) return status;
  auto request = KJ_ASSERT_NONNULL(host_).locksRequest();
  request.setGroup(group.value);
  request.setListener(kj::heap<Listener>(self_));
  kj::Promise<capnp::Response<wire::ShardServer::Host::LocksResults>> sent = request.send();
  auto response = rig_.loop.wait_for(kj::mv(sent));
  if (response.hasChannel()) channel_ = response.getChannel();
  return static_cast<Status>(response.getStatus());
}

wire::LockChannel::Client FakeRouter::channel() {
  return KJ_ASSERT_NONNULL(channel_);
}

std::vector<Answer> FakeRouter::submit(const std::vector<Operation>& operations) {
  auto request = channel().submitRequest();
  auto list = request.initOperations(static_cast<unsigned>(operations.size()));
  for (unsigned i = 0; i < list.size(); ++i) wire::write(operations[i], list[i]);
  kj::Promise<capnp::Response<wire::LockChannel::SubmitResults>> sent = request.send();
  auto response = rig_.loop.wait_for(kj::mv(sent));
  std::vector<Answer> answers;
  for (auto answer : response.getAnswers()) answers.push_back(wire::read(answer));
  return answers;
}

Answer FakeRouter::ask(const Operation& operation) {
  std::vector<Answer> answers = submit({operation});
  EXPECT_EQ(answers.size(), 1U);
  return answers.empty() ? Answer() : answers.front();
}

void FakeRouter::submit_and_forget(const std::vector<Operation>& operations) {
  auto request = channel().submitRequest();
  auto list = request.initOperations(static_cast<unsigned>(operations.size()));
  for (unsigned i = 0; i < list.size(); ++i) wire::write(operations[i], list[i]);
  request.send().detach([](kj::Exception&&) {});
}

// --- operations ------------------------------------------------------------------------------------------

Operation open_session(std::uint64_t session, std::string_view client) {
  Operation op;
  op.kind = OperationKind::open_session;
  op.session = SessionId(session);
  op.client_id = client;
  op.lease_ms = 10'000;  // what a new group may give without asking the coordinator
  return op;
}

Operation acquire(std::uint64_t session, std::uint64_t sequence, std::string_view resource,
                  std::uint32_t wait_ms) {
  Operation op;
  op.kind = OperationKind::acquire;
  op.session = SessionId(session);
  op.sequence = Sequence(sequence);
  op.resource = resource;
  op.wait_ms = wait_ms;
  return op;
}

Operation release(std::uint64_t session, std::uint64_t sequence, std::string_view resource) {
  Operation op = acquire(session, sequence, resource);
  op.kind = OperationKind::release;
  return op;
}

Operation heartbeat(std::uint64_t session) {
  Operation op;
  op.kind = OperationKind::heartbeat;
  op.session = SessionId(session);
  return op;
}

}  // namespace dlm::server
