#include "fake_shard_server.h"

#include <kj/debug.h>

#include <algorithm>

#include "schema/wire/codec.h"

namespace dlm::router {

Answer FakeGroup::granted(const Name& name) {
  Answer answer;
  answer.session = SessionId(name.first);
  answer.sequence = Sequence(name.second);
  answer.group = id;
  answer.token = FencingToken(++last_token_);
  answer.count = 1;
  return answer;
}

Answer FakeGroup::acquire(const Operation& op, const Name& name) {
  const std::string resource(op.resource);
  if (held.try_emplace(resource, name).second) return granted(name);
  auto& queue = waiting[resource];
  if (std::find(queue.begin(), queue.end(), name) == queue.end()) queue.push_back(name);
  Answer answer;
  answer.session = op.session;
  answer.sequence = op.sequence;
  answer.status = Status::queued;
  return answer;
}

void FakeGroup::release(const Operation& op, std::vector<Answer>& later) {
  const std::string resource(op.resource);
  held.erase(resource);
  auto& queue = waiting[resource];
  if (queue.empty()) return;
  const Name next = queue.front();
  queue.pop_front();
  held[resource] = next;
  Answer answer = granted(next);
  answers[next] = answer;
  later.push_back(answer);
}

Answer FakeGroup::apply(const Operation& op, std::vector<Answer>& later) {
  Answer answer;
  answer.session = op.session;
  answer.sequence = op.sequence;
  if (op.kind == OperationKind::open_session) {
    sessions.insert(op.session.value);
    answer.ttl_ms = op.lease_ms;
    return answer;
  }
  if (!sessions.contains(op.session.value)) {
    answer.status = Status::session_unknown;
    return answer;
  }
  if (op.kind == OperationKind::close_session) sessions.erase(op.session.value);
  if (!op.sequence) {
    answer.ttl_ms = 10'000;
    if (op.kind == OperationKind::heartbeat) answer.moved_to = moved_to;
    return answer;
  }
  if (away) {
    answer.status = Status::moved;
    return answer;
  }
  const Name name{op.session.value, op.sequence.value};
  if (auto known = answers.find(name); known != answers.end()) return known->second;
  if (op.kind == OperationKind::acquire) {
    const auto& queue = waiting[std::string(op.resource)];
    const bool repeat = std::find(queue.begin(), queue.end(), name) != queue.end();
    answer = acquire(op, name);
    if (repeat) return answer;
  } else {
    release(op, later);
  }
  applied.push_back((op.kind == OperationKind::acquire ? "acquire " : "release ") +
                    std::to_string(name.first) + "/" + std::to_string(name.second) + " " +
                    std::string(op.resource));
  if (answer.status != Status::queued) answers[name] = answer;
  return answer;
}

class FakeShardServer::Channel final : public wire::LockChannel::Server {
 public:
  Channel(std::shared_ptr<Shared> shared, std::shared_ptr<FakeGroup> group)
      : shared_(std::move(shared)), group_(std::move(group)) {}

  kj::Promise<void> submit(SubmitContext context) override {
    if (group_->broken) {
      shared_->listeners.erase(group_->id);
      return KJ_EXCEPTION(DISCONNECTED, "this channel is closed");
    }
    auto operations = context.getParams().getOperations();
    group_->submits.push_back(shared_->member + ": " + std::to_string(operations.size()));
    std::vector<Answer> answers;
    std::vector<Answer> later;
    for (auto from : operations) {
      const Operation op = wire::read(from);
      if (group_->primary == shared_->member) {
        answers.push_back(group_->apply(op, later));
        continue;
      }
      Answer refused;
      refused.session = op.session;
      refused.sequence = op.sequence;
      refused.status = Status::not_primary;
      answers.push_back(refused);
    }
    if (group_->silent) return kj::NEVER_DONE;
    auto list = context.getResults().initAnswers(static_cast<unsigned>(answers.size()));
    for (unsigned i = 0; i < list.size(); ++i) wire::write(answers[i], list[i]);
    return tell(later);
  }

  kj::Promise<void> query(QueryContext context) override {
    auto report = context.getResults().initReport();
    auto query = context.getParams().getQuery();
    if (query.isInspect()) {
      LockReport lock;
      lock.resource = wire::as_text(query.getInspect());
      lock.group = group_->id;
      if (group_->held.contains(lock.resource)) lock.holders.push_back({});
      wire::write(lock, report.initLock());
    } else if (query.isList()) {
      LockPage page;
      for (const auto& [resource, holder] : group_->held) {
        page.locks.emplace_back();
        page.locks.back().resource = resource;
      }
      wire::write(page, report.initPage());
    } else {
      GroupReport status;
      status.group = group_->id;
      status.locks_held = group_->held.size();
      wire::write(status, report.initGroup());
    }
    return kj::READY_NOW;
  }

 private:
  kj::Promise<void> tell(const std::vector<Answer>& later) {
    KJ_IF_MAYBE (listener, shared_->listeners[group_->id]) {
      if (later.empty()) return kj::READY_NOW;
      auto request = listener->answersRequest();
      auto list = request.initList(static_cast<unsigned>(later.size()));
      for (unsigned i = 0; i < list.size(); ++i) wire::write(later[i], list[i]);
      return request.send().ignoreResult();
    }
    return kj::READY_NOW;
  }

  std::shared_ptr<Shared> shared_;
  std::shared_ptr<FakeGroup> group_;
};

class FakeShardServer::Host final : public wire::ShardServer::Host::Server {
 public:
  explicit Host(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  kj::Promise<void> locks(LocksContext context) override {
    const GroupId group(context.getParams().getGroup());
    auto found = shared_->groups.find(group);
    if (found == shared_->groups.end()) {
      context.getResults().setStatus(static_cast<std::uint8_t>(Status::invalid_argument));
      context.getResults().setMessage("there is no such group here");
      return kj::READY_NOW;
    }
    shared_->listeners[group] = context.getParams().getListener();
    context.getResults().setChannel(kj::heap<Channel>(shared_, found->second));
    return kj::READY_NOW;
  }

 private:
  std::shared_ptr<Shared> shared_;
};

class FakeShardServer::Greeter final : public wire::ShardServer::Server {
 public:
  explicit Greeter(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  kj::Promise<void> greet(GreetContext context) override {
    auto results = context.getResults();
    if (wire::as_text(context.getParams().getPeer().getCluster()) != shared_->cluster) {
      results.setStatus(static_cast<std::uint8_t>(Status::invalid_argument));
      results.setMessage("another cluster");
      return kj::READY_NOW;
    }
    auto peer = results.initPeer();
    peer.setProtocol(kShardProtocolVersion);
    peer.setCluster(shared_->cluster);
    peer.setName(shared_->member);
    results.setHost(kj::heap<Host>(shared_));
    return kj::READY_NOW;
  }

 private:
  std::shared_ptr<Shared> shared_;
};

FakeShardServer::FakeShardServer(wire::EventLoop& loop, std::string cluster, std::string member,
                                 std::vector<std::shared_ptr<FakeGroup>> groups)
    : shared_(std::make_shared<Shared>()) {
  shared_->cluster = std::move(cluster);
  shared_->member = std::move(member);
  for (auto& group : groups) shared_->groups[group->id] = group;
  server_ =
      wire::RpcServer::listen(loop, {"127.0.0.1", 0}, {}, [shared = shared_]() -> capnp::Capability::Client {
        return wire::ShardServer::Client(kj::heap<Greeter>(shared));
      });
}

}  // namespace dlm::router
