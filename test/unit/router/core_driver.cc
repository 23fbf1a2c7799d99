#include "core_driver.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "coordinator/core/ring.h"

namespace dlm::router {
namespace {

std::string text(const Operation& op) {
  const std::string session = std::to_string(op.session.value);
  const std::string name = session + "/" + std::to_string(op.sequence.value);
  switch (op.kind) {
    case OperationKind::open_session:
      return "open " + session + " " + std::string(op.client_id);
    case OperationKind::close_session:
      return "close " + session;
    case OperationKind::heartbeat:
      return "beat " + session;
    case OperationKind::acquire:
      return "acquire " + name;
    case OperationKind::release:
      return "release " + name;
    case OperationKind::renew:
      return "renew " + name;
    case OperationKind::cancel:
      return "cancel " + name + " of " + std::to_string(op.target.value);
    default:
      return "?";
  }
}

std::string text(const SessionNotice& notice) {
  static const char* const kKinds[] = {"opened", "renewed", "ended"};
  std::string out = kKinds[static_cast<int>(notice.kind)];
  out += " " + to_string(notice.group) + "/" + std::to_string(notice.generation);
  if (notice.ttl_ms != 0) out += " ttl " + std::to_string(notice.ttl_ms);
  return out + " cause " + std::to_string(notice.cause);
}

std::string text(const Answer& answer) {
  std::string out(to_string(answer.status));
  out += " " + std::to_string(answer.sequence.value);
  if (answer.token) out += " token " + std::to_string(answer.token.value);
  if (!answer.message.empty()) out += " (" + answer.message + ")";
  return out;
}

std::string name_of(ConnectionId id) {
  return "c" + std::to_string((id.value & 0xffffffffU) + 1) + ": ";
}

}  // namespace

void CoreDriver::start(unsigned groups) {
  view.cluster = "blue";
  view.ring.version = 1;
  for (unsigned group = 1; group <= groups; ++group) {
    view.ring.groups.push_back({GroupId(group), 1});
    add_server("s" + std::to_string(group));
    elect(group, "s" + std::to_string(group));
  }
  publish();
  turn();
  for (const auto& [member, server] : servers) core.link_up(server, now);
  turn();
}

void CoreDriver::add_server(const std::string& server, std::uint64_t incarnation) {
  auto& member = view.servers[server];
  member.name = {server, incarnation};
  member.address = "127.0.0.1:1";
  for (const auto& entry : view.ring.groups) member.groups.push_back(entry.group);
}

void CoreDriver::elect(unsigned group, const std::string& server, std::uint64_t incarnation) {
  auto& record = view.groups[GroupId(group)];
  ++record.version;
  record.config.epoch = record.config.epoch.next();
  record.config.primary = {server, incarnation};
  record.config.in_sync = {record.config.primary};
}

void CoreDriver::change_ring(const std::vector<unsigned>& groups) {
  view.ring.before = std::exchange(view.ring.groups, {});
  for (unsigned group : groups) view.ring.groups.push_back({GroupId(group), 1});
  ++view.ring.version;
  publish();
}

void CoreDriver::settle_ring() {
  view.ring.before.clear();
  ++view.ring.version;
  publish();
}

std::string CoreDriver::name_in(unsigned group, unsigned n) const {
  const coordinator::Ring ring(view.ring);
  for (unsigned i = 0;; ++i) {
    std::string name = "lock-" + std::to_string(i);
    if (ring.group_of(coordinator::hash_of(name)) == GroupId(group) && n-- == 0) return name;
  }
}

ConnectionId CoreDriver::say_hello(std::uint64_t number, const std::vector<GroupListing>& listings,
                                   const std::string& cluster) {
  const ConnectionId id = core.connect(now);
  const std::string name = "client-" + std::to_string(number);
  Hello hello;
  hello.protocol_min = hello.protocol_max = kClientProtocolVersion;
  hello.client_id = name;
  hello.cluster = cluster;
  hello.session_base = number << 16;
  hello.ttl_ms = 10'000;
  hello.groups = listings;
  core.hello(id, hello, now);
  return id;
}

ConnectionId CoreDriver::client(std::uint64_t number, const std::vector<GroupListing>& listings) {
  const ConnectionId id = say_hello(number, listings);
  turn();
  EXPECT_EQ(output.welcomes, std::vector<ConnectionId>{id});
  told();
  return id;
}

void CoreDriver::turn() {
  core.turn(now, output);
  for (const LinkChange& link : output.links) {
    if (link.kind == LinkChange::Kind::connect) servers[to_string(link.name)] = link.server;
    links.push_back(link);
  }
  for (const Submit& submit : output.submits) {
    Sent copy{submit.call, submit.server, submit.group, {}};
    for (const Operation& op : submit.operations) copy.operations.emplace_back(op);
    sent.push_back(std::move(copy));
  }
  for (const QueryCall& query : output.queries) queries.push_back(query);
  for (const RingWrite& write : output.ring_writes) ring_writes.push_back(write);
  for (const GroupWrite& write : output.group_writes) group_writes.push_back(write);
  for (ConnectionId id : output.welcomes) log_.push_back(name_of(id) + "welcome");
  for (const ClientBatch& batch : output.batches) {
    notices.insert(notices.end(), batch.sessions.begin(), batch.sessions.end());
    answers.insert(answers.end(), batch.answers.begin(), batch.answers.end());
    std::string line = name_of(batch.connection);
    const char* separator = "";
    for (const SessionNotice& notice : batch.sessions) {
      line += separator + router::text(notice);
      separator = ", ";
    }
    for (const Answer& answer : batch.answers) {
      line += separator + router::text(answer);
      separator = ", ";
    }
    log_.push_back(line);
  }
  for (ClientReport& report : output.reports) reports.push_back(report);
  for (const ClientClose& close : output.closes) {
    log_.push_back(name_of(close.connection) + (close.refused ? "refused " : "closed ") +
                   std::string(to_string(close.status)) + " (" + close.message + ")");
  }
}

void CoreDriver::pass(TimeMs duration_ms) {
  const TimeMs until = now + duration_ms;
  for (int steps = 0; core.next_turn() <= until; ++steps) {
    ASSERT_LT(steps, 10'000) << "the core wants turns without end";
    now = std::max(now, core.next_turn());
    turn();
  }
  now = until;
}

std::vector<std::string> CoreDriver::told() {
  return std::exchange(log_, {});
}
std::vector<Sent> CoreDriver::take_sent() {
  return std::exchange(sent, {});
}

Sent CoreDriver::only_sent() {
  turn();
  EXPECT_EQ(sent.size(), 1U);
  if (sent.size() != 1) {
    sent.clear();
    return {};
  }
  return take_sent().front();
}

std::string CoreDriver::text(const Sent& submit) {
  std::string out;
  for (const OwnedOperation& op : submit.operations) {
    if (!out.empty()) out += ", ";
    out += router::text(op.view());
  }
  return out;
}

std::vector<Answer> CoreDriver::answers_to(const Sent& submit, Status status) {
  std::vector<Answer> answers;
  for (const OwnedOperation& owned : submit.operations) {
    const Operation op = owned.view();
    Answer answer;
    answer.session = op.session;
    answer.sequence = op.sequence;
    answer.status = status;
    if (status == Status::ok && !op.sequence) answer.ttl_ms = 10'000;
    if (status == Status::ok && op.kind == OperationKind::acquire)
      answer.token = FencingToken(op.sequence.value + 100);
    answers.push_back(std::move(answer));
  }
  return answers;
}

Operation acquire(std::uint64_t sequence, std::string_view resource, std::uint32_t deadline_ms) {
  Operation op;
  op.kind = OperationKind::acquire;
  op.sequence = Sequence(sequence);
  op.resource = resource;
  op.deadline_ms = deadline_ms;
  return op;
}

Operation release(std::uint64_t sequence, std::string_view resource, std::uint32_t deadline_ms) {
  Operation op = acquire(sequence, resource, deadline_ms);
  op.kind = OperationKind::release;
  return op;
}

Operation cancel(std::uint64_t sequence, std::uint64_t target, std::string_view resource) {
  Operation op = acquire(sequence, resource);
  op.kind = OperationKind::cancel;
  op.target = Sequence(target);
  return op;
}

}  // namespace dlm::router
