#include "router/group_links.h"

#include <glog/logging.h>
#include <kj/debug.h>

#include <utility>
#include <vector>

#include "schema/shard.capnp.h"
#include "schema/wire/codec.h"
#include "schema/wire/shard_link.h"

namespace dlm::router {
namespace {

// By then the loss of a connection is known that made a call fail.
constexpr kj::Duration kLossDelay = 5 * kj::MILLISECONDS;

std::string words_of(const kj::Exception& e) {
  return std::string(e.getDescription().cStr());
}

std::vector<Answer> read_answers(capnp::List<wire::Answer>::Reader list) {
  std::vector<Answer> answers;
  answers.reserve(list.size());
  for (auto answer : list) answers.push_back(wire::read(answer));
  return answers;
}

QueryReport read_report(wire::Report::Reader from) {
  QueryReport report;
  report.status = static_cast<Status>(from.getStatus());
  report.message = wire::as_text(from.getMessage());
  switch (from.which()) {
    case wire::Report::LOCK:
      report.content = wire::read(from.getLock());
      break;
    case wire::Report::PAGE:
      report.content = wire::read(from.getPage());
      break;
    case wire::Report::GROUP:
      report.content = wire::read(from.getGroup());
      break;
    default:
      break;
  }
  return report;
}

void write_query(const Query& from, wire::Query::Builder to) {
  switch (from.kind) {
    case Query::Kind::inspect:
      to.setInspect(wire::as_bytes(from.resource));
      break;
    case Query::Kind::list: {
      auto list = to.initList();
      list.setPrefix(wire::as_bytes(from.resource));
      list.setGroup(from.group.value);
      list.setCursor(from.cursor);
      list.setLimit(from.limit);
      break;
    }
    case Query::Kind::status:
      to.setStatus();
      break;
    case Query::Kind::step_down: {
      auto step_down = to.initStepDown();
      step_down.setGroup(from.group.value);
      step_down.setPrimary(from.primary.c_str());
      break;
    }
    case Query::Kind::ring:
    case Query::Kind::locate:
    case Query::Kind::change_ring:
    case Query::Kind::recover:
      break;  // the router's own
  }
}

}  // namespace

// A server of one life. Listeners that the server still holds outlive it, and find `owner` empty then.
struct GroupLinks::Server final : kj::TaskSet::ErrorHandler,
                                  std::enable_shared_from_this<GroupLinks::Server> {
  Server(GroupLinks& links, const LinkChange& change)
      : owner(&links), id(change.server), name(to_string(change.name)) {}

  wire::LockChannel::Client channel(GroupId group);
  // Runs a call to its end. A failure is for `failed`, which tells whether the server just refused the
  // channel; any other ends the connection.
  template <class Failed>
  void run(kj::Promise<void> call, Failed failed);
  // Calls that were out need no end of their own: the core hears that the link is down.
  void forget_connection() {
    tasks = kj::heap<kj::TaskSet>(*this);
    channels.clear();
    host = nullptr;
  }
  void taskFailed(kj::Exception&& e) override { LOG(ERROR) << name << ": " << words_of(e); }

  GroupLinks* owner;
  const ServerId id;
  const std::string name;
  bool told_down = false;  // in the log, since it was up
  // In the order of their destruction, from the end: calls, capabilities, connection.
  std::unique_ptr<wire::ShardLink> link;
  kj::Maybe<wire::ShardServer::Host::Client> host;
  std::map<GroupId, wire::LockChannel::Client> channels;
  std::map<GroupId, std::string> refusals;  // why the last channel to the group was refused
  kj::Own<kj::TaskSet> tasks = kj::heap<kj::TaskSet>(*this);
};

class GroupLinks::Listener final : public wire::AnswerListener::Server {
 public:
  Listener(std::weak_ptr<GroupLinks::Server> server, GroupId group)
      : server_(std::move(server)), group_(group) {}

  kj::Promise<void> answers(AnswersContext context) override {
    auto server = server_.lock();
    if (server == nullptr || server->owner == nullptr) return kj::READY_NOW;
    GroupLinks& links = *server->owner;
    links.tell([&] {
      links.core_.late_answers(server->id, group_, read_answers(context.getParams().getList()),
                               wire::EventLoop::now_ms());
    });
    return kj::READY_NOW;
  }

 private:
  std::weak_ptr<GroupLinks::Server> server_;
  GroupId group_;
};

wire::LockChannel::Client GroupLinks::Server::channel(GroupId group) {
  auto found = channels.find(group);
  if (found != channels.end()) return found->second;
  auto request = KJ_ASSERT_NONNULL(host).locksRequest();
  request.setGroup(group.value);
  request.setListener(kj::heap<Listener>(weak_from_this(), group));
  auto sent = request.send();
  wire::LockChannel::Client channel = sent.getChannel();  // calls may follow at once
  channels.emplace(group, channel);
  refusals.erase(group);
  tasks->add(sent.then(
      [this, group](capnp::Response<wire::ShardServer::Host::LocksResults>&& answer) {
        if (static_cast<Status>(answer.getStatus()) == Status::ok) return;
        refusals[group] = wire::as_text(answer.getMessage());
        channels.erase(group);
      },
      [this, group](kj::Exception&& e) {
        refusals[group] = words_of(e);
        channels.erase(group);
      }));
  return channel;
}

template <class Failed>
void GroupLinks::Server::run(kj::Promise<void> call, Failed failed) {
  tasks->add(call.catch_([this, failed = std::move(failed)](kj::Exception&& e) mutable -> kj::Promise<void> {
    if (owner == nullptr || failed(words_of(e))) return kj::READY_NOW;
    // If it was the connection, its loss is told now, which drops this task. Else the server has closed the
    // channel (or failed): whether it still holds our listener is unknown, so everything begins anew.
    return owner->loop_.timer().afterDelay(kLossDelay).then([this] {
      if (link != nullptr) link->reconnect();
    });
  }));
}

GroupLinks::GroupLinks(wire::EventLoop& loop, RouterCore& core, std::string self, wire::RpcLimits limits,
                       std::function<void()> wake)
    : loop_(loop), core_(core), self_(std::move(self)), limits_(limits), wake_(std::move(wake)) {}

GroupLinks::~GroupLinks() {
  for (auto& [id, server] : servers_) server->owner = nullptr;
}

GroupLinks::Server* GroupLinks::find(ServerId id) {
  auto found = servers_.find(id);
  return found == servers_.end() ? nullptr : found->second.get();
}

void GroupLinks::perform(const RouterOutput& output) {
  for (const LinkChange& link : output.links) change(link);
  for (const Submit& call : output.submits) submit(call);
  for (const QueryCall& call : output.queries) query(call);
  // Last, as an input ends what the output borrows.
  const TimeMs now = wire::EventLoop::now_ms();
  for (CallId call : std::exchange(unsent_submits_, {})) core_.submit_failed(call, "not connected", now);
  for (CallId call : std::exchange(unsent_queries_, {})) fail_query(call, "not connected");
}

void GroupLinks::fail_query(CallId call, const std::string& why) {
  QueryReport report;
  report.status = Status::unavailable;
  report.message = why;
  tell([&] { core_.queried(call, false, std::move(report), wire::EventLoop::now_ms()); });
}

void GroupLinks::change(const LinkChange& change) {
  if (change.kind == LinkChange::Kind::drop) {
    auto found = servers_.find(change.server);
    if (found == servers_.end()) return;
    LOG(INFO) << found->second->name << " left";
    found->second->owner = nullptr;
    servers_.erase(found);
    return;
  }
  if (change.kind == LinkChange::Kind::reconnect) {
    Server* server = find(change.server);
    if (server == nullptr) return;
    LOG(WARNING) << server->name << " does not answer: connecting anew";
    server->link->reconnect();
    return;
  }
  auto server = std::make_shared<Server>(*this, change);
  servers_[change.server] = server;
  wire::ShardLinkOptions options;
  options.cluster = core_.cluster();
  options.self = self_;
  options.server = server->name;
  options.limits = limits_;
  auto address = parse_host_port(change.address);
  if (!address) {
    LOG(ERROR) << server->name << " registered with the address \"" << printable(change.address)
               << "\", which is not host:port";
    return;
  }
  options.address = *address;
  Server* raw = server.get();  // the link, and with it these callbacks, belongs to it
  server->link = wire::ShardLink::make(
      loop_, std::move(options),
      {.on_up =
           [this, raw](wire::ShardServer::Host::Client host) {
             raw->forget_connection();
             raw->host = kj::mv(host);
             raw->told_down = false;
             LOG(INFO) << "connected to " << raw->name;
             tell([&] { core_.link_up(raw->id, wire::EventLoop::now_ms()); });
           },
       .on_down =
           [this, raw](bool gone, const std::string& why) {
             raw->forget_connection();
             if (!std::exchange(raw->told_down, true)) LOG(WARNING) << raw->name << ": " << why;
             tell([&] { core_.link_down(raw->id, gone, why, wire::EventLoop::now_ms()); });
           }});
}

void GroupLinks::submit(const Submit& submit) {
  Server* server = find(submit.server);
  if (server == nullptr || server->host == nullptr) return unsent_submits_.push_back(submit.call);
  std::uint64_t words = 0;
  for (const Operation& op : submit.operations) words += wire::words_of(op);
  auto request = server->channel(submit.group).submitRequest(wire::size_hint(words));
  auto list = request.initOperations(static_cast<unsigned>(submit.operations.size()));
  for (unsigned i = 0; i < list.size(); ++i) wire::write(submit.operations[i], list[i]);
  const CallId call = submit.call;
  const GroupId group = submit.group;
  server->run(
      request.send().then([this, server, call](capnp::Response<wire::LockChannel::SubmitResults>&& result) {
        if (server->owner == nullptr) return;
        tell([&] { core_.submitted(call, read_answers(result.getAnswers()), wire::EventLoop::now_ms()); });
      }),
      [this, server, call, group](const std::string& why) {
        auto refusal = server->refusals.find(group);
        const bool refused = refusal != server->refusals.end();
        tell([&] { core_.submit_failed(call, refused ? refusal->second : why, wire::EventLoop::now_ms()); });
        return refused;
      });
}

void GroupLinks::query(const QueryCall& call) {
  Server* server = find(call.server);
  if (server == nullptr || server->host == nullptr) return unsent_queries_.push_back(call.call);
  auto request = server->channel(call.group).queryRequest();
  write_query(call.query, request.initQuery());
  server->run(request.send().then([this, server, id = call.call](
                                      capnp::Response<wire::LockChannel::QueryResults>&& result) {
    if (server->owner == nullptr) return;
    tell([&] { core_.queried(id, true, read_report(result.getReport()), wire::EventLoop::now_ms()); });
  }),
              [this, server, id = call.call, group = call.group](const std::string& why) {
                auto refusal = server->refusals.find(group);
                const bool refused = refusal != server->refusals.end();
                fail_query(id, refused ? refusal->second : why);
                return refused;
              });
}

}  // namespace dlm::router
