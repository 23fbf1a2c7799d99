// What is asked about the ring: what it is and what moves in it, where a name is, and changes of it, which
// are decided here and written by the shell.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "coordinator/core/ring_change.h"
#include "router/core/router_state.h"

namespace dlm::router {
namespace {

using coordinator::RingGroup;
using coordinator::RingRecord;
using coordinator::WriteResult;

double weight_in(const std::vector<RingGroup>& groups, GroupId id) {
  auto entry = std::find_if(groups.begin(), groups.end(), [&](const RingGroup& g) { return g.group == id; });
  return entry == groups.end() ? 0 : entry->weight;
}

// All but what the groups say of themselves.
RingReport shape_of(const RingRecord& record, const MovingRing& ring) {
  RingReport report;
  report.version = record.version;
  report.changing = record.changing();
  report.paused = record.paused;
  report.locks_per_s_max = record.locks_per_s_max;
  const std::vector<RingGroup>& before = record.changing() ? record.before : record.groups;
  const coordinator::Ring& ring_before = record.changing() ? ring.before() : ring.ring();
  for (GroupId id : coordinator::groups_of(record)) {
    RingReport::Group group;
    group.weight = weight_in(record.groups, id);
    group.weight_before = weight_in(before, id);
    group.share = ring.ring().share_of(id);
    group.share_before = ring_before.share_of(id);
    group.state.group = id;
    report.groups.push_back(std::move(group));
  }
  for (const coordinator::RingFlow& flow : ring.flows())
    report.flows.push_back({flow.from, flow.to, flow.arcs, flow.share, 0, 0});
  return report;
}

}  // namespace

void RouterCore::State::ring_query(Connection& connection, std::uint64_t number, TimeMs deadline,
                                   Query& query, TimeMs now) {
  if (!routes_.ready()) {
    reports_.push_back({connection.id(), number, refusal(Status::unavailable, kNoView)});
  } else if (query.kind == Query::Kind::locate) {
    reports_.push_back({connection.id(), number, place_of(query.resource)});
  } else if (query.kind == Query::Kind::ring) {
    begin_ring(connection, number, deadline, routes_.view().ring, now);
  } else {
    begin_change(connection, number, deadline, query, now);
  }
}

QueryReport RouterCore::State::place_of(const std::string& resource) const {
  const MovingRing& ring = routes_.ring();
  if (ring.empty()) return refusal(Status::unavailable, "no ring: the cluster has no groups yet");
  PlaceReport place;
  place.resource = resource;
  place.hash = coordinator::hash_of(resource);
  if (const coordinator::ArcMove* move = ring.move_of(place.hash)) {
    place.arc_begin = move->begin;
    place.arc_end = move->end;
    place.group = move->from;
    place.moving_to = move->to;
  } else {
    const coordinator::Arc& arc = ring.ring().arc_of(place.hash);
    place.arc_begin = arc.begin;
    place.arc_end = arc.end;
    place.group = arc.group;
  }
  place.primary = to_string(routes_.primary_of(place.group));
  place.ring_version = routes_.view().ring.version;
  QueryReport report;
  report.content = std::move(place);
  return report;
}

void RouterCore::State::begin_ring(Connection& connection, std::uint64_t number, TimeMs deadline,
                                   const RingRecord& record, TimeMs now) {
  RingReport report;
  const RingRecord& known = routes_.view().ring;
  if (record.groups == known.groups && record.before == known.before) {
    report = shape_of(record, routes_.ring());
  } else {  // a plan, or what was just written: seldom, so rings may be built for it
    MovingRing planned = routes_.ring();
    planned.follow(record);
    report = shape_of(record, planned);
  }
  std::vector<GroupId> groups;
  for (RingReport::Group& group : report.groups) {
    groups.push_back(group.state.group);
    group.state = report_of(group.state.group);
  }
  assemble(connection, {connection.id(), number, std::move(report), 0}, groups, deadline, now);
}

void RouterCore::State::begin_change(Connection& connection, std::uint64_t number, TimeMs deadline,
                                     Query& query, TimeMs now) {
  const coordinator::ClusterView& view = routes_.view();
  coordinator::RingPlan plan = coordinator::plan(view.ring, query.change, view.groups);
  if (!plan.ok()) {
    reports_.push_back({connection.id(), number, refusal(plan.status, std::move(plan.message))});
    return;
  }
  if (query.change.dry_run) return begin_ring(connection, number, deadline, plan.record, now);
  const std::uint64_t key = begin_query(connection, number, deadline, std::move(query));
  PendingQuery& pending = queries_[key];
  pending.call = next_call(0);
  pending.ring = std::move(plan.record);
  query_calls_[pending.call] = key;
  ring_writes_.push_back({pending.call, pending.ring});
}

void RouterCore::State::ring_written(CallId id, WriteResult result, TimeMs now) {
  auto called = query_calls_.find(id);
  if (called == query_calls_.end()) return;
  const std::uint64_t key = called->second;
  PendingQuery& query = queries_[key];
  if (result != WriteResult::accepted)
    return finish_query(key, refused_write(result, "the ring", "the ring was changed"));
  const std::uint64_t number = query.id;
  const TimeMs deadline = query.deadline;
  RingRecord written = std::move(query.ring);
  ++written.version;
  Connection* connection = get(query.connection);
  query_calls_.erase(called);
  queries_.erase(key);
  if (connection == nullptr) return;
  --connection->queries;
  begin_ring(*connection, number, deadline, written, now);
}

// By the share of all that a group owns now, as names are spread evenly.
void RouterCore::State::estimate(RingReport& report) {
  for (RingReport::Flow& flow : report.flows) {
    for (const RingReport::Group& group : report.groups) {
      const GroupReport& from = group.state;
      if (from.group != flow.from || from.share_owned <= 0) continue;
      const double part = std::min(1.0, flow.share / from.share_owned);
      flow.locks = static_cast<std::uint64_t>(std::llround(part * static_cast<double>(from.locks_held)));
      flow.waiters = static_cast<std::uint64_t>(std::llround(part * static_cast<double>(from.waiters)));
    }
  }
}

}  // namespace dlm::router
