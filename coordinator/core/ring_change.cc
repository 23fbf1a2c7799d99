#include "coordinator/core/ring_change.h"

#include <algorithm>
#include <set>
#include <utility>

namespace dlm::coordinator {
namespace {

using Kind = RingChange::Kind;
using Configs = std::map<GroupId, VersionedConfig>;

RingPlan refused(std::string message) {
  RingPlan plan;
  plan.status = Status::invalid_argument;
  plan.message = std::move(message);
  return plan;
}

std::vector<RingGroup>::const_iterator find(const std::vector<RingGroup>& groups, GroupId id) {
  return std::find_if(groups.begin(), groups.end(),
                      [&](const RingGroup& group) { return group.group == id; });
}

// Empty: the weight, and the sum with it, is within the limits.
std::string weight_problem(const std::vector<RingGroup>& groups, double weight) {
  if (!(weight >= kRingWeightMin && weight <= kRingWeightMax)) {  // also NaN
    return "a weight is a number from " + weight_text(kRingWeightMin) + " to " + weight_text(kRingWeightMax);
  }
  if (sum_of_weights(groups) <= kRingWeightSumMax) return {};
  return "the weights of all groups may have a sum of " + weight_text(kRingWeightSumMax) +
         " at most: give less to each";
}

RingPlan begun(const RingRecord& now, const RingChange& change, std::vector<RingGroup> groups) {
  std::sort(groups.begin(), groups.end(),
            [](const RingGroup& a, const RingGroup& b) { return a.group < b.group; });
  RingPlan plan;
  plan.record.version = now.version;
  plan.record.groups = std::move(groups);
  plan.record.before = now.groups;
  plan.record.locks_per_s_max = change.locks_per_s_max;
  return plan;
}

RingPlan add(const RingRecord& now, const RingChange& change, const Configs& configs) {
  const std::string name = to_string(change.group);
  if (find(now.groups, change.group) != now.groups.end())
    return refused(name + " is in the ring already: change its weight, or add another group");
  auto known = configs.find(change.group);
  if (known == configs.end() || known->second.version == 0)
    return refused("there is no group " + name + " yet: start servers with --groups " + name + " first");
  if (!known->second.config.primary)
    return refused(name + " has no primary: start servers with --groups " + name + " first");
  std::vector<RingGroup> groups = now.groups;
  const double weight = rounded_weight(change.weight);
  groups.push_back({change.group, weight});
  if (std::string problem = weight_problem(groups, weight); !problem.empty()) return refused(problem);
  return begun(now, change, std::move(groups));
}

RingPlan remove(const RingRecord& now, const RingChange& change) {
  std::vector<RingGroup> groups = now.groups;
  auto entry = find(groups, change.group);
  if (entry == groups.end()) return refused(to_string(change.group) + " is not in the ring");
  if (groups.size() == 1)
    return refused(to_string(change.group) + " is the last group of the ring: add another one first");
  groups.erase(entry);
  return begun(now, change, std::move(groups));
}

RingPlan reweigh(const RingRecord& now, const RingChange& change) {
  std::vector<RingGroup> groups = now.groups;
  auto entry = groups.begin() + (find(groups, change.group) - groups.cbegin());
  if (entry == groups.end()) return refused(to_string(change.group) + " is not in the ring: add it");
  const double weight = rounded_weight(change.weight);
  if (entry->weight == weight)
    return refused(to_string(change.group) + " has the weight " + weight_text(weight) + " already");
  entry->weight = weight;
  if (std::string problem = weight_problem(groups, weight); !problem.empty()) return refused(problem);
  return begun(now, change, std::move(groups));
}

// How the change that is under way goes on.
RingPlan steer(const RingRecord& now, const RingChange& change) {
  if (!now.changing()) return refused("no change of the ring is under way");
  RingPlan plan;
  plan.record = now;
  switch (change.kind) {
    case Kind::pause:
      if (now.paused) return refused("the change of the ring is paused already");
      plan.record.paused = true;
      break;
    case Kind::resume:
      if (!now.paused) return refused("the change of the ring is not paused");
      plan.record.paused = false;
      break;
    case Kind::rate:
      if (now.locks_per_s_max == change.locks_per_s_max)
        return refused("the change of the ring has this rate already");
      plan.record.locks_per_s_max = change.locks_per_s_max;
      break;
    default:  // abort: also of one that is paused, as what moved is to come back
      plan.record.groups.swap(plan.record.before);
      plan.record.paused = false;
      break;
  }
  return plan;
}

}  // namespace

RingPlan plan(const RingRecord& now, const RingChange& change, const Configs& configs) {
  const std::string version = std::to_string(now.version);
  if (now.version == 0) return refused("there is no ring yet: start a server with --init-ring");
  if (change.expected_version != 0 && change.expected_version != now.version) {
    return refused("the ring has version " + version + " by now, not " +
                   std::to_string(change.expected_version) + ": look at it again");
  }
  switch (change.kind) {
    case Kind::pause:
    case Kind::resume:
    case Kind::rate:
    case Kind::abort:
      return steer(now, change);
    case Kind::add:
    case Kind::remove:
    case Kind::weight:
      break;
    default:
      return refused("there is no such change of the ring");
  }
  if (now.changing()) {
    return refused("a change of the ring is under way (version " + version +
                   "): wait for its end, or abort it");
  }
  if (!change.group) return refused("a group such as g1 must be named");
  if (change.kind == Kind::add) return add(now, change, configs);
  return change.kind == Kind::remove ? remove(now, change) : reweigh(now, change);
}

std::vector<RingFlow> flows_of(const std::vector<ArcMove>& moves) {
  std::map<std::pair<GroupId, GroupId>, RingFlow> flows;
  for (const ArcMove& move : moves) {
    RingFlow& flow = flows[{move.from, move.to}];
    flow.from = move.from;
    flow.to = move.to;
    ++flow.arcs;
    flow.share += share_of_space(move.begin, move.end);
  }
  std::vector<RingFlow> out;
  for (const auto& [ends, flow] : flows) out.push_back(flow);
  return out;
}

std::vector<GroupId> groups_of(const RingRecord& ring) {
  std::set<GroupId> groups;
  for (const RingGroup& group : ring.groups) groups.insert(group.group);
  for (const RingGroup& group : ring.before) groups.insert(group.group);
  return {groups.begin(), groups.end()};
}

bool all_done(const RingRecord& ring, const Configs& configs) {
  const std::vector<GroupId> groups = groups_of(ring);
  return std::all_of(groups.begin(), groups.end(), [&](GroupId group) {
    auto record = configs.find(group);
    return record != configs.end() && record->second.config.ring_done == ring.version;
  });
}

RingRecord settled(RingRecord ring) {
  ring.before.clear();
  ring.paused = false;
  ring.locks_per_s_max = 0;
  return ring;
}

}  // namespace dlm::coordinator
