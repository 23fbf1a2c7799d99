// Reads: one lock, a page of a group's locks, and the state of the cluster, put together from the view and
// from what each primary says of itself.
#include <algorithm>
#include <string>
#include <utility>

#include "coordinator/core/ring.h"
#include "router/core/router_state.h"

namespace dlm::router {
namespace {

constexpr std::uint32_t kListLimitDefault = 100;

QueryReport refusal(Status status, std::string message) {
  QueryReport report;
  report.status = status;
  report.message = std::move(message);
  return report;
}

}  // namespace

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
  if (query.resource.size() > kResourceBytesMax) {
    return refused(Status::invalid_argument, "a resource name has at most " +
                                                 std::to_string(kResourceBytesMax) + " bytes, not " +
                                                 std::to_string(query.resource.size()));
  }
  const TimeMs deadline = now + (deadline_ms != 0 ? deadline_ms : options_.query_timeout_ms);
  if (query.kind == Query::Kind::status) return begin_status(*connection, number, deadline, now);
  if (query.kind == Query::Kind::list || query.kind == Query::Kind::step_down) {
    if (routes_.ready() && group_of(query.group) == nullptr) {
      return refused(Status::invalid_argument, "there is no group " + to_string(query.group));
    }
    query.limit = std::min(query.limit == 0 ? kListLimitDefault : query.limit, options_.list_limit_max);
  }
  PendingQuery pending;
  pending.connection = id;
  pending.id = number;
  pending.query = std::move(query);
  pending.deadline = deadline;
  queries_deadline_ = std::min(queries_deadline_, deadline);
  queries_[++last_query_] = std::move(pending);
  queries_waiting_.push_back(last_query_);
  ++connection->queries;
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
    if (std::find(member.groups.begin(), member.groups.end(), id) != member.groups.end())
      group.members.push_back(to_string(member.name));
  }
  return group;
}

void RouterCore::State::begin_status(Connection& connection, std::uint64_t number, TimeMs deadline,
                                     TimeMs now) {
  const coordinator::ClusterView& view = routes_.view();
  Assembly assembly;
  assembly.connection = connection.id();
  assembly.id = number;
  ClusterReport& report = assembly.report;
  report.cluster = view.cluster;
  report.ring_version = view.ring.version;
  for (const auto& [id, router] : view.routers) report.routers.push_back({router.id, router.address});
  for (const auto& entry : view.ring.groups) {
    report.ring.push_back({entry.group, entry.weight, routes_.ring().share_of(entry.group)});
  }
  // Group numbers in order, whatever the order in which they came to be known.
  for (const auto& [id, index] : group_index_) {
    report.groups.push_back(report_of(id));
  }
  if (!routes_.ready() || group_index_.empty()) {
    QueryReport result;
    if (!routes_.ready())
      result = refusal(Status::unavailable, "this router has not reached the coordinator yet");
    else
      result.content = std::move(report);
    reports_.push_back({connection.id(), number, std::move(result)});
    return;
  }
  const std::uint64_t key = ++last_query_;
  assembly.parts_left = group_index_.size();
  const TimeMs patience = std::min(deadline, now + options_.status_patience_ms);
  for (const auto& [id, index] : group_index_) {
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
  ++connection.queries;
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

void RouterCore::State::send_query(std::uint64_t key, PendingQuery& query, TimeMs now, RouterOutput& output) {
  GroupId id = query.query.group;
  if (query.query.kind == Query::Kind::inspect)
    id = routes_.group_of(coordinator::hash_of(query.query.resource));
  const Group* group = group_of(id);
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
      report.content = report_of(id);
      return finish_query(key, std::move(report));
    }
  }
  query.call = next_call(group->index);
  query.server = group->server;
  query_calls_[query.call] = key;
  output.queries.push_back({query.call, group->server, id, query.query});
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
    retry_query(key, found->second, why + report.message, now);
  } else {
    finish_query(key, std::move(report));
  }
}

void RouterCore::State::retry_query(std::uint64_t key, PendingQuery& query, std::string why, TimeMs now) {
  query.call = CallId();
  query.pause_ms =
      query.pause_ms == 0 ? options_.retry_first_ms : std::min(query.pause_ms * 2, options_.retry_max_ms);
  query.retry_at = now + query.pause_ms;
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
  for (GroupReport& group : assembly.report.groups) {
    if (group.group != query.query.group) continue;
    if (const auto* told = std::get_if<GroupReport>(&report.content);
        told != nullptr && report.status == Status::ok) {
      group.last_index = told->last_index;
      group.committed_index = told->committed_index;
      group.locks_held = told->locks_held;
      group.waiters = told->waiters;
      group.sessions = told->sessions;
      // The primary may be ahead of the view.
      if (told->epoch > group.epoch) {
        group.epoch = told->epoch;
        group.primary = told->primary;
        group.in_sync = told->in_sync;
        group.era = told->era;
      }
      group.problem = told->problem;
    } else {
      group.problem = describe_loss(group.group);
      if (group.problem.empty())
        group.problem = report.message.empty() ? std::string(to_string(report.status)) : report.message;
    }
  }
  if (--assembly.parts_left != 0) return;
  QueryReport whole;
  whole.content = std::move(assembly.report);
  if (Connection* connection = get(assembly.connection)) --connection->queries;
  reports_.push_back({assembly.connection, assembly.id, std::move(whole)});
  assemblies_.erase(found);
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
    const PendingQuery& query = queries_[key];
    GroupId id = query.query.group;
    if (query.query.kind == Query::Kind::inspect)
      id = routes_.group_of(coordinator::hash_of(query.query.resource));
    const Group* group = group_of(id);
    std::string message = group == nullptr ? "no ring: the cluster has no groups yet" : describe(*group, now);
    if (group != nullptr && !group->troubled && !query.trouble.empty()) message += " (" + query.trouble + ")";
    finish_query(key, refusal(Status::unavailable, std::move(message)));
  }
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
