// What is asked of groups: one lock, a page of a group's locks, and the state of the cluster, put together
// from the view and from what each primary says of itself. The ring is in ring_queries.cc, a
// group that is lost in recovery_queries.cc.
#include <algorithm>
#include <string>
#include <utility>

#include "coordinator/core/ring.h"
#include "router/core/router_state.h"

namespace dlm::router {

using coordinator::WriteResult;

namespace {

constexpr std::uint32_t kListLimitDefault = 100;

// What a primary tells of its group. It may be ahead of the view, or behind it.
void merge(GroupReport& group, const GroupReport& told) {
  GroupReport merged = told;
  merged.group = group.group;
  merged.members = std::move(group.members);
  merged.durable = std::move(group.durable);
  if (told.epoch <= group.epoch) {
    merged.epoch = group.epoch;
    merged.primary = std::move(group.primary);
    merged.in_sync = std::move(group.in_sync);
    merged.era = group.era;
  }
  group = std::move(merged);
}

GroupReport* part_of(std::variant<ClusterReport, RingReport>& report, GroupId id) {
  if (auto* cluster = std::get_if<ClusterReport>(&report)) {
    for (GroupReport& group : cluster->groups) {
      if (group.group == id) return &group;
    }
  } else {
    for (RingReport::Group& group : std::get<RingReport>(report).groups) {
      if (group.state.group == id) return &group.state;
    }
  }
  return nullptr;
}

}  // namespace

QueryReport refusal(Status status, std::string message) {
  QueryReport report;
  report.status = status;
  report.message = std::move(message);
  return report;
}

QueryReport refused_write(WriteResult result, const std::string& record, const std::string& what_was_asked) {
  switch (result) {
    case WriteResult::conflict:
      return refusal(Status::invalid_argument,
                     "somebody else changed " + record + " meanwhile: look at it again; nothing was done");
    case WriteResult::unavailable:
      return refusal(Status::unavailable, "the coordinator can't be reached; nothing was done");
    default:
      return refusal(Status::unavailable, "the coordinator's session ended before it answered: whether " +
                                              what_was_asked + " is not known, look at it");
  }
}

void RouterCore::State::query(ConnectionId id, std::uint64_t number, std::uint32_t deadline_ms, Query query,
                              TimeMs now) {
  Connection* connection = speaking(id);
  if (connection == nullptr) return;
  auto refused = [&](Status status, std::string message) {
    reports_.push_back({id, number, refusal(status, std::move(message))});
  };
  if (connection->queries >= options_.queries_per_connection_max) {
    return refused(Status::overloaded, "this connection has its limit of " +
                                           std::to_string(options_.queries_per_connection_max) +
                                           " unanswered queries");
  }
  if (queries_.size() >= options_.queries_max) {
    return refused(Status::overloaded, "this router has its limit of " +
                                           std::to_string(options_.queries_max) +
                                           " unanswered queries: try another router");
  }
  if (query.resource.size() > kResourceBytesMax) {
    return refused(Status::invalid_argument, "a resource name has at most " +
                                                 std::to_string(kResourceBytesMax) + " bytes, not " +
                                                 std::to_string(query.resource.size()));
  }
  const TimeMs deadline = now + (deadline_ms != 0 ? deadline_ms : options_.query_timeout_ms);
  switch (query.kind) {
    case Query::Kind::status:
      return begin_status(*connection, number, deadline, now);
    case Query::Kind::ring:
    case Query::Kind::locate:
    case Query::Kind::change_ring:
      return ring_query(*connection, number, deadline, query, now);
    case Query::Kind::recover:
      return begin_recovery(*connection, number, deadline, query);
    case Query::Kind::list:
    case Query::Kind::step_down:
      if (routes_.ready() && group_of(query.group) == nullptr)
        return refused(Status::invalid_argument, "there is no group " + to_string(query.group));
      query.limit = std::min(query.limit == 0 ? kListLimitDefault : query.limit, options_.list_limit_max);
      break;
    case Query::Kind::inspect:
      break;
  }
  queries_waiting_.push_back(begin_query(*connection, number, deadline, std::move(query)));
}

std::uint64_t RouterCore::State::begin_query(Connection& connection, std::uint64_t number, TimeMs deadline,
                                             Query&& query) {
  PendingQuery pending;
  pending.connection = connection.id();
  pending.id = number;
  pending.query = std::move(query);
  pending.deadline = deadline;
  queries_deadline_ = std::min(queries_deadline_, deadline);
  queries_[++last_query_] = std::move(pending);
  ++connection.queries;
  return last_query_;
}

GroupReport RouterCore::State::report_of(GroupId id) const {
  const coordinator::ClusterView& view = routes_.view();
  GroupReport group;
  group.group = id;
  if (auto config = view.groups.find(id); config != view.groups.end()) {
    group.epoch = config->second.config.epoch;
    group.primary = to_string(config->second.config.primary);
    for (const auto& member : config->second.config.in_sync) group.in_sync.push_back(to_string(member));
    group.era = config->second.config.era;
  }
  for (const auto& [name, member] : view.servers) {
    if (std::find(member.groups.begin(), member.groups.end(), id) == member.groups.end()) continue;
    group.members.push_back(to_string(member.name));
    if (member.durable) group.durable.push_back(group.members.back());
  }
  return group;
}

void RouterCore::State::begin_status(Connection& connection, std::uint64_t number, TimeMs deadline,
                                     TimeMs now) {
  if (!routes_.ready()) {
    reports_.push_back({connection.id(), number, refusal(Status::unavailable, kNoView)});
    return;
  }
  const coordinator::ClusterView& view = routes_.view();
  ClusterReport report;
  report.cluster = view.cluster;
  report.ring_version = view.ring.version;
  for (const auto& [id, router] : view.routers) report.routers.push_back({router.id, router.address});
  for (const auto& entry : view.ring.groups)
    report.ring.push_back({entry.group, entry.weight, routes_.ring().ring().share_of(entry.group)});
  // Group numbers in order, whatever the order in which they came to be known.
  std::vector<GroupId> groups;
  for (const auto& [id, index] : group_index_) {
    groups.push_back(id);
    report.groups.push_back(report_of(id));
  }
  assemble(connection, {connection.id(), number, std::move(report), 0}, groups, deadline, now);
}

void RouterCore::State::assemble(Connection& connection, Assembly&& assembly,
                                 const std::vector<GroupId>& groups, TimeMs deadline, TimeMs now) {
  ++connection.queries;
  assembly.parts_left = groups.size();
  if (groups.empty()) return finish_assembly(assembly);
  const std::uint64_t key = ++last_query_;
  const TimeMs patience = std::min(deadline, now + options_.status_patience_ms);
  for (GroupId id : groups) {
    PendingQuery part;
    part.connection = connection.id();
    part.query.kind = Query::Kind::status;
    part.query.group = id;
    part.deadline = patience;
    part.assembly = key;
    queries_[++last_query_] = std::move(part);
    queries_waiting_.push_back(last_query_);
  }
  queries_deadline_ = std::min(queries_deadline_, patience);
  assemblies_[key] = std::move(assembly);
}

void RouterCore::State::send_queries(TimeMs now, RouterOutput& output) {
  if (queries_waiting_.empty()) return;
  std::vector<std::uint64_t> keys;
  keys.swap(queries_waiting_);
  for (std::uint64_t key : keys) {
    auto found = queries_.find(key);
    if (found != queries_.end() && !found->second.call) send_query(key, found->second, now, output);
  }
}

const Group* RouterCore::State::target_of(const PendingQuery& query) {
  if (query.query.kind != Query::Kind::inspect) return group_of(query.query.group);
  return whom_to_ask(coordinator::hash_of(query.query.resource), query.moved_by);
}

void RouterCore::State::send_query(std::uint64_t key, PendingQuery& query, TimeMs now, RouterOutput& output) {
  const Group* group = target_of(query);
  const Server* server = group != nullptr ? server_of(group->server) : nullptr;
  if (server == nullptr || !server->up || now < query.retry_at) {
    if (now >= query.retry_at) query.retry_at = 0;  // a link or the view will wake it, not the time
    queries_waiting_.push_back(key);
    return;
  }
  if (query.query.kind == Query::Kind::step_down) {
    // Asked of who was primary first, and of nobody else: a repeat must not depose its successor too.
    const std::string primary = to_string(server->name);
    if (query.query.primary.empty()) query.query.primary = primary;
    if (query.query.primary != primary) {
      QueryReport report;
      report.content = report_of(group->id);
      return finish_query(key, std::move(report));
    }
  }
  query.call = next_call(group->index);
  query.server = group->server;
  query_calls_[query.call] = key;
  output.queries.push_back({query.call, group->server, group->id, query.query});
}

void RouterCore::State::queried(CallId id, bool reached, QueryReport&& report, TimeMs now) {
  auto called = query_calls_.find(id);
  if (called == query_calls_.end()) return;
  const std::uint64_t key = called->second;
  query_calls_.erase(called);
  auto found = queries_.find(key);
  if (found == queries_.end()) return;
  Reaction reaction = reaction_to(report.status);
  const bool refused = reached && report.status == Status::unavailable;
  if (refused && found->second.query.kind == Query::Kind::step_down) reaction = Reaction::answer;
  if (!reached || reaction == Reaction::retry || reaction == Reaction::reroute) {
    const Server* server = server_of(found->second.server);
    std::string why = server != nullptr ? to_string(server->name) + ": " : "";
    if (reached) why += to_string(report.status);
    if (reached && !report.message.empty()) why += ": ";
    why += report.message;
    if (reached && reaction == Reaction::reroute && found->second.query.kind == Query::Kind::inspect) {
      query_moved(key, found->second, std::move(why), now);
    } else {
      retry_query(key, found->second, std::move(why), now);
    }
  } else {
    finish_query(key, std::move(report));
  }
}

void RouterCore::State::retry_query(std::uint64_t key, PendingQuery& query, std::string why, TimeMs now) {
  query.pause_ms =
      query.pause_ms == 0 ? options_.retry_first_ms : std::min(query.pause_ms * 2, options_.retry_max_ms);
  ask_again(key, query, std::move(why), now + query.pause_ms);
}

// As with operations: the other of two groups at once, both again after a pause.
void RouterCore::State::query_moved(std::uint64_t key, PendingQuery& query, std::string why, TimeMs now) {
  const Group& asked = groups_[query.call.value & 0xffffU];
  routes_.moved(coordinator::hash_of(query.query.resource), asked.id);
  query.moved_by = asked.index;
  ++query.moved;
  const Group* next = target_of(query);
  const bool elsewhere = next != nullptr && next->index != asked.index;
  const bool at_once = elsewhere && query.moved % 2 == 1;
  const TimeMs pause = at_once ? 0 : reroute_pause(elsewhere ? query.moved / 2 : query.moved);
  ask_again(key, query, std::move(why), now + pause);
}

void RouterCore::State::ask_again(std::uint64_t key, PendingQuery& query, std::string why, TimeMs at) {
  query.call = CallId();
  query.retry_at = at;
  query.trouble = std::move(why);
  queries_waiting_.push_back(key);
}

void RouterCore::State::finish_query(std::uint64_t key, QueryReport&& report) {
  auto found = queries_.find(key);
  PendingQuery query = std::move(found->second);
  queries_.erase(found);
  if (query.call) query_calls_.erase(query.call);
  if (query.assembly != 0) return finish_part(query, std::move(report));
  if (Connection* connection = get(query.connection)) --connection->queries;
  reports_.push_back({query.connection, query.id, std::move(report)});
}

void RouterCore::State::finish_part(const PendingQuery& query, QueryReport&& report) {
  auto found = assemblies_.find(query.assembly);
  if (found == assemblies_.end()) return;
  Assembly& assembly = found->second;
  if (GroupReport* group = part_of(assembly.report, query.query.group)) {
    const auto* told = std::get_if<GroupReport>(&report.content);
    if (told != nullptr && report.status == Status::ok) {
      merge(*group, *told);
    } else {
      group->problem = describe_loss(group->group);
      if (group->problem.empty())
        group->problem = report.message.empty() ? std::string(to_string(report.status)) : report.message;
    }
  }
  if (--assembly.parts_left != 0) return;
  finish_assembly(assembly);
  assemblies_.erase(found);
}

void RouterCore::State::finish_assembly(Assembly& assembly) {
  QueryReport whole;
  if (auto* cluster = std::get_if<ClusterReport>(&assembly.report)) {
    whole.content = std::move(*cluster);
  } else {
    estimate(std::get<RingReport>(assembly.report));
    whole.content = std::get<RingReport>(std::move(assembly.report));
  }
  if (Connection* connection = get(assembly.connection)) --connection->queries;
  reports_.push_back({assembly.connection, assembly.id, std::move(whole)});
}

void RouterCore::State::fail_queries(ServerId server, const std::string& why, TimeMs now) {
  const Server* known = server_of(server);
  for (auto& [key, query] : queries_) {
    if (!query.call || query.server != server) continue;
    query_calls_.erase(query.call);
    retry_query(key, query, (known != nullptr ? to_string(known->name) + ": " : "") + why, now);
  }
}

void RouterCore::State::expire_queries(TimeMs now) {
  if (now < queries_deadline_) return;
  queries_deadline_ = kNever;
  std::vector<std::uint64_t> late;
  for (const auto& [key, query] : queries_) {
    if (query.deadline <= now) {
      late.push_back(key);
    } else {
      queries_deadline_ = std::min(queries_deadline_, query.deadline);
    }
  }
  for (std::uint64_t key : late) {
    finish_query(key, refusal(Status::unavailable, describe_delay(queries_[key], now)));
  }
}

std::string RouterCore::State::describe_delay(const PendingQuery& query, TimeMs now) {
  if (query.query.kind == Query::Kind::change_ring)
    return "no answer from the coordinator in time: whether the ring was changed is not known, look at it";
  if (query.query.kind == Query::Kind::recover)
    return "no answer from the coordinator in time: whether " + to_string(query.query.group) +
           " was begun anew is not known, look at it";
  const Group* group = target_of(query);
  if (group == nullptr) return "no ring: the cluster has no groups yet";
  if (group->troubled) return describe(*group, now);
  if (query.moved != 0) return describe_way(coordinator::hash_of(query.query.resource), *group);
  return describe(*group, now) + (query.trouble.empty() ? "" : " (" + query.trouble + ")");
}

void RouterCore::State::forget_queries(ConnectionId connection) {
  for (auto query = queries_.begin(); query != queries_.end();) {
    if (query->second.connection != connection) {
      ++query;
      continue;
    }
    if (query->second.call) query_calls_.erase(query->second.call);
    query = queries_.erase(query);
  }
  std::erase_if(assemblies_, [&](const auto& entry) { return entry.second.connection == connection; });
}

}  // namespace dlm::router
