#include "group_cluster.h"

#include <algorithm>
#include <utility>

namespace dlm::server {

GroupCluster::GroupCluster(int members, const GroupOptions& options) : options_(options) {
  if (!options_.replica.group) options_.replica.group = GroupId(1);
  ring.version = 1;
  ring.groups = {{GroupId(1), 1}};
  for (int i = 1; i <= members; ++i) {
    const std::string server = "s" + std::to_string(i);
    nodes_[server];
    start(server);
  }
  tell_views();
}

void GroupCluster::start(const std::string& server) {
  Node& node = nodes_.at(server);
  node = Node{};
  node.name = MemberName{server, ++incarnations_};
  GroupOptions options = options_;
  options.replica.self = node.name;
  node.core = std::make_unique<GroupCore>(options);
}

// --- faults ----------------------------------------------------------------------------------------------

void GroupCluster::kill(const std::string& server) {
  Node& dead = nodes_.at(server);
  dead.core.reset();
  std::erase_if(messages_, [&](const Message& message) { return message.from == server; });
  for (auto& [id, node] : nodes_) {
    if (node.core && !node.cut_off) node.core->on_link_down(dead.name, true, now());
  }
}

void GroupCluster::restart(const std::string& server) {
  start(server);
  tell_views();
}

void GroupCluster::unregister(const std::string& server) {
  nodes_.at(server).registered = false;
  tell_views();
}

void GroupCluster::cut_off(const std::string& server) {
  nodes_.at(server).cut_off = true;
}
void GroupCluster::mend(const std::string& server) {
  nodes_.at(server).cut_off = false;
}
void GroupCluster::cut_from_coordinator(const std::string& server) {
  nodes_.at(server).sees_coordinator = false;
}

void GroupCluster::hold_touches(const std::string& server) {
  nodes_.at(server).touches = false;
}

// The write that was under way has arrived after all.
void GroupCluster::reach_coordinator(const std::string& server) {
  nodes_.at(server).sees_coordinator = true;
  nodes_.at(server).touches = true;
  nodes_.at(server).core->on_touched(true, now_ms_, now());
  changed_ = true;
}

bool GroupCluster::connected(const std::string& a, const std::string& b) const {
  return !nodes_.at(a).cut_off && !nodes_.at(b).cut_off;
}

// --- running ---------------------------------------------------------------------------------------------

void GroupCluster::tell_views() {
  std::vector<MemberName> alive;
  for (const auto& [id, node] : nodes_) {
    if (node.registered) alive.push_back(node.name);
  }
  for (auto& [id, node] : nodes_) {
    if (node.core && node.sees_coordinator) node.core->on_view(record_, alive, ring, now());
  }
  changed_ = true;
}

void GroupCluster::settle() {
  for (bool busy = true; busy;) {
    changed_ = false;
    for (auto& [id, node] : nodes_) {
      if (node.core) turn(id);
    }
    busy = changed_ || !messages_.empty();
    while (!messages_.empty()) {
      Message message = std::move(messages_.front());
      messages_.pop_front();
      deliver(message);
    }
  }
}

void GroupCluster::pass_ms(TimeMs ms) {
  const TimeMs end = now_ms_ + ms;
  settle();
  while (now_ms_ < end) {
    TimeMs next = end;
    for (auto& [id, node] : nodes_) {
      if (node.core) next = std::min(next, node.core->next_turn());
    }
    now_ms_ = std::max(now_ms_ + 1, next);
    settle();
  }
}

void GroupCluster::turn(const std::string& server) {
  GroupOutput output;
  GroupCore& core = *nodes_.at(server).core;
  core.turn(now(), output);
  if (core.has_put_off()) changed_ = true;
  carry_out(server, output);
}

void GroupCluster::carry_out(const std::string& server, GroupOutput& output) {
  Node& node = nodes_.at(server);
  for (const std::string& note : output.notes) {
    if (note.find("sends a snapshot") != std::string::npos) ++snapshots_begun_;
  }
  for (auto& finished : output.finished) finish_order_.emplace(finished.request, finish_order_.size());
  for (auto& finished : output.finished) finished_.emplace(finished.request, std::move(finished));
  for (auto& later : output.later) {
    for (Answer& answer : later.answers) later_[later.channel].push_back(std::move(answer));
  }
  for (auto& reported : output.reports) reports_.emplace(reported.request, std::move(reported));
  for (GroupOutput::Arrived& arrived : output.arrivals) arrivals_[arrived.request] = std::move(arrived.reply);
  for (Transfer& transfer : output.transfers) transfers_.push_back({server, std::move(transfer)});
  for (auto& reply : output.replies) {
    const Asked asked = asked_.at(reply.request);
    Node& sender = nodes_.at(asked.from);
    if (!sender.core || !connected(asked.from, asked.to)) continue;
    if (reply.damaged) {
      sender.core->on_link_down(node.name, false, now());
    } else {
      sender.core->on_reply(reply.reply, now());
    }
    changed_ = true;
  }
  auto send = [&](auto& message) {
    const std::string to = message.to.server;
    messages_.push_back({server, to, std::move(message)});
  };
  for (Append& message : output.appends) send(message);
  for (Install& message : output.installs) send(message);
  if (output.propose && node.sees_coordinator) {
    const bool accepted = output.propose->expected_version == record_.version;
    if (accepted) record_ = {record_.version + 1, output.propose->config};
    node.core->on_proposed(accepted, now());
    if (accepted) tell_views();
    changed_ = true;
  }
  if (output.touch_coordinator && node.sees_coordinator && node.touches) {
    node.core->on_touched(true, now_ms_, now());
    changed_ = true;
  }
}

void GroupCluster::deliver(Message& message) {
  if (!connected(message.from, message.to)) return;
  Node& receiver = nodes_.at(message.to);
  const MemberName& meant =
      std::visit([](const auto& content) -> const MemberName& { return content.to; }, message.content);
  const MemberName from = nodes_.at(message.from).name;
  if (!receiver.core || receiver.name != meant) {
    Node& sender = nodes_.at(message.from);
    if (sender.core) sender.core->on_link_down(meant, true, now());
    return;
  }
  const RequestId request(++requests_);
  asked_[request] = {message.from, message.to};
  if (auto* append = std::get_if<Append>(&message.content)) {
    receiver.core->on_append(request, from, *append, now());
  } else {
    receiver.core->on_install(request, from, std::get<Install>(message.content), now());
  }
}

// --- other groups ----------------------------------------------------------------------------------------

void GroupCluster::set_ring(const coordinator::RingRecord& next) {
  ring = next;
  tell_views();
}

TransferReply GroupCluster::move_in(const std::string& server, const Transfer& transfer) {
  if (!is_running(server)) return {Status::unavailable, "it is dead", 0, {}, 0};
  const RequestId request = begin_move_in(server, transfer);
  settle();
  auto arrival = arrivals_.find(request);
  return arrival == arrivals_.end() ? TransferReply{Status::unavailable, "no answer", 0, {}, 0}
                                    : arrival->second;
}

RequestId GroupCluster::begin_move_in(const std::string& server, const Transfer& transfer) {
  const RequestId request(++requests_);
  core(server).move_in(request, transfer, now());
  return request;
}

void GroupCluster::answer_transfer(const Sent& sent, const TransferReply& reply) {
  if (is_running(sent.by)) core(sent.by).on_transferred(sent.transfer.to, sent.transfer.number, reply, now());
  settle();
}

// --- operations ------------------------------------------------------------------------------------------

RequestId GroupCluster::submit(const std::string& server, const std::vector<Operation>& operations,
                               std::uint64_t channel) {
  const RequestId request(++requests_);
  core(server).submit(ChannelId(channel), request, operations, now());
  return request;
}

Answer GroupCluster::ask(const std::string& server, const Operation& operation, std::uint64_t channel) {
  const RequestId request = submit(server, {operation}, channel);
  settle();
  if (is_finished(request) && answers(request).size() == 1) return answers(request).front();
  Answer none;
  none.status = Status::unavailable;
  return none;
}

RequestId GroupCluster::query(const std::string& server, GroupQuery query) {
  const RequestId request(++requests_);
  core(server).query(request, std::move(query), now());
  settle();
  return request;
}

std::vector<Answer> GroupCluster::take_later(std::uint64_t channel) {
  return std::exchange(later_[ChannelId(channel)], {});
}

std::string GroupCluster::primary() const {
  const std::string& server = record_.config.primary.server;
  if (server.empty()) return server;
  const Node& node = nodes_.at(server);
  return node.core && node.name == record_.config.primary && node.core->serving() ? server : "";
}

bool GroupCluster::agree() const {
  std::set<std::pair<LogIndex, std::uint64_t>> states;
  for (const MemberName& member : record_.config.in_sync) {
    const Node& node = nodes_.at(member.server);
    if (!node.core || node.name != member) continue;
    states.emplace(node.core->applied_index(), node.core->table().fingerprint());
  }
  return states.size() == 1;
}

// --- what routers send -----------------------------------------------------------------------------------

Operation open_session(std::uint64_t session, std::string_view client, std::uint32_t ttl_ms) {
  Operation op;
  op.kind = OperationKind::open_session;
  op.session = SessionId(session);
  op.client_id = client;
  op.lease_ms = ttl_ms;
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

Operation release(std::uint64_t session, std::uint64_t sequence, std::string_view resource,
                  FencingToken token) {
  Operation op = acquire(session, sequence, resource);
  op.kind = OperationKind::release;
  op.token = token;
  return op;
}

Operation renew(std::uint64_t session, std::uint64_t sequence, std::string_view resource,
                FencingToken token) {
  Operation op = acquire(session, sequence, resource);
  op.kind = OperationKind::renew;
  op.token = token;
  return op;
}

Operation heartbeat(std::uint64_t session) {
  Operation op;
  op.kind = OperationKind::heartbeat;
  op.session = SessionId(session);
  return op;
}

}  // namespace dlm::server
