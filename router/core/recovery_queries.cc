// What an operator asks of a group that can't recover on its own: what is known of it, and that it be begun
// anew. Decided here, written by the shell.
#include <algorithm>
#include <string>
#include <utility>

#include "coordinator/core/group_recovery.h"
#include "router/core/router_state.h"

namespace dlm::router {
namespace {

using coordinator::RecoveryPlan;
using coordinator::Registered;
using coordinator::VersionedConfig;
using coordinator::WriteResult;

std::vector<Registered> registered_in(const coordinator::ClusterView& view, GroupId group) {
  std::vector<Registered> all;
  for (const auto& [id, server] : view.servers) {
    const bool of_group = std::find(server.groups.begin(), server.groups.end(), group) != server.groups.end();
    all.push_back({server.name, of_group});
  }
  return all;
}

RecoveryReport report_on(GroupId group, const VersionedConfig& record, const RecoveryPlan& plan,
                         const std::vector<Registered>& registered) {
  RecoveryReport report;
  report.group = group;
  report.version = static_cast<std::uint64_t>(record.version);
  report.epoch = record.config.epoch;
  report.era = record.config.era;
  for (const auto& member : plan.lost) report.lost.push_back(to_string(member));
  for (const auto& member : plan.in_sync_alive) report.in_sync_alive.push_back(to_string(member));
  for (const Registered& server : registered) {
    if (server.of_group) report.members.push_back(to_string(server.name));
  }
  report.lease_ms_max = record.config.lease_ms_max;
  report.refusal = plan.refusal;
  if (plan.ok()) {
    report.successor = to_string(plan.next.primary);
    report.first_token = FencingToken(plan.next.era << coordinator::kEraShift);
  }
  return report;
}

}  // namespace

void RouterCore::State::begin_recovery(Connection& connection, std::uint64_t number, TimeMs deadline,
                                       Query& query) {
  const auto answer = [&](QueryReport&& report) {
    reports_.push_back({connection.id(), number, std::move(report)});
  };
  if (!routes_.ready()) return answer(refusal(Status::unavailable, kNoView));
  const coordinator::ClusterView& view = routes_.view();
  const GroupId group = query.group;
  const auto known = view.groups.find(group);
  const VersionedConfig record = known == view.groups.end() ? VersionedConfig() : known->second;
  const std::vector<Registered> registered = registered_in(view, group);
  RecoveryPlan plan = coordinator::plan_recovery(group, record, registered);
  const std::uint64_t version = static_cast<std::uint64_t>(record.version);
  if (version == 0) return answer(refusal(Status::invalid_argument, std::move(plan.refusal)));
  QueryReport report;
  report.content = report_on(group, record, plan, registered);
  if (query.expected_version == 0) return answer(std::move(report));
  if (query.expected_version != version) {
    return answer(refusal(Status::invalid_argument, "the record of " + to_string(group) + " has version " +
                                                        std::to_string(version) + " by now, not " +
                                                        std::to_string(query.expected_version) +
                                                        ": look at it again; nothing was done"));
  }
  if (!plan.ok()) return answer(refusal(Status::invalid_argument, std::move(plan.refusal)));
  const std::uint64_t key = begin_query(connection, number, deadline, std::move(query));
  PendingQuery& pending = queries_[key];
  pending.call = next_call(0);
  pending.recovery = std::get<RecoveryReport>(std::move(report.content));
  query_calls_[pending.call] = key;
  group_writes_.push_back({pending.call, group, {record.version, std::move(plan.next)}});
}

void RouterCore::State::group_written(CallId id, WriteResult result) {
  const auto called = query_calls_.find(id);
  if (called == query_calls_.end()) return;
  const std::uint64_t key = called->second;
  PendingQuery& query = queries_[key];
  if (result != WriteResult::accepted) {
    const std::string group = to_string(query.query.group);
    return finish_query(key, refused_write(result, "the record of " + group, group + " was begun anew"));
  }
  query.recovery.begun = true;
  QueryReport report;
  report.content = std::move(query.recovery);
  finish_query(key, std::move(report));
}

}  // namespace dlm::router
