#include "test/support/fake_ring.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace dlm::test {

namespace {

constexpr double kArcs = 120;
constexpr double kLocks = 6'000;

std::uint32_t arcs_of(double share) {
  return static_cast<std::uint32_t>(std::lround(share * kArcs));
}
std::uint64_t locks_of(double share) {
  return static_cast<std::uint64_t>(std::llround(share * kLocks));
}

}  // namespace

FakeRing::FakeRing() {
  weights_[GroupId(1)] = {1, 1};
  weights_[GroupId(2)] = {1, 1};
}

std::vector<GroupId> FakeRing::groups() const {
  std::vector<GroupId> list;
  for (const auto& [group, weights] : weights_) list.push_back(group);
  for (const auto& [group, arcs] : left_) list.push_back(group);
  return list;
}

RingReport FakeRing::report() {
  if (changing_ && !paused_ && steps != 0 && ++step_ >= steps) settle();
  return told(weights_);
}

// The change under way is through.
void FakeRing::settle() {
  for (auto& [group, weights] : weights_) weights.before = weights.now;
  for (const auto& [group, weights] : weights_) {
    if (weights.now == 0) left_[group] = arcs_kept;
  }
  std::erase_if(weights_, [](const auto& entry) { return entry.second.now == 0; });
  changing_ = false;
  ++version_;
}

RingReport FakeRing::told(const std::map<GroupId, Weights>& weights) const {
  double sum = 0;
  double sum_before = 0;
  for (const auto& [group, each] : weights) {
    sum += each.now;
    sum_before += each.before;
  }
  RingReport report;
  report.version = version_;
  report.changing = std::any_of(weights.begin(), weights.end(),
                                [](const auto& entry) { return entry.second.now != entry.second.before; });
  report.paused = paused_;
  report.locks_per_s_max = rate_;
  double part_left = steps == 0 ? 1 : 1 - static_cast<double>(step_) / steps;
  double taken = 0;
  for (const auto& [group, each] : weights) {
    RingReport::Group to{each.now, each.before, each.now / sum, each.before / sum_before, {}};
    double gives = std::max(0.0, to.share_before - to.share);
    double takes = std::max(0.0, to.share - to.share_before);
    taken += takes;
    to.state.group = group;
    to.state.epoch = Epoch(3);
    to.state.primary = "s" + std::to_string(group.value) + "#1";
    to.state.ring_version = version_;
    to.state.share_owned = to.share + (gives - takes) * part_left;
    to.state.arcs = arcs_of(to.state.share_owned);
    to.state.locks_held = locks_of(to.state.share_owned);
    to.state.move.arcs_left = arcs_of(gives * part_left);
    to.state.move.share_left = gives * part_left;
    to.state.move.arcs_moved = arcs_of(gives * (1 - part_left));
    to.state.move.locks_moved = locks_of(gives * (1 - part_left));
    if (auto at = waits_for.find(group); at != waits_for.end()) to.state.move.waits_for = at->second;
    if (auto at = problems.find(group); at != problems.end()) to.state.problem = at->second;
    report.groups.push_back(to);
  }
  for (const auto& from : report.groups) {
    for (const auto& to : report.groups) {
      double gives = from.share_before - from.share;
      double takes = to.share - to.share_before;
      if (gives <= 0 || takes <= 0) continue;
      double share = gives * takes / taken;
      report.flows.push_back(
          {from.state.group, to.state.group, arcs_of(share), share, locks_of(share), locks_of(share / 100)});
    }
  }
  return report;
}

std::string FakeRing::change(const RingChange& change, RingReport& report) {
  if (std::exchange(other_is_faster, false)) ++version_;
  if (change.expected_version != version_) {
    return "the ring has version " + std::to_string(version_) + ", not " +
           std::to_string(change.expected_version) + ": look at it again";
  }
  auto weights = weights_;
  if (std::string refused = apply(change, weights); !refused.empty()) return refused;
  if (change.dry_run) {
    report = told(weights);
    return "";
  }
  weights_ = std::move(weights);
  changes_.push_back(change);
  ++version_;
  report = told(weights_);
  changing_ = report.changing;
  return "";
}

std::string FakeRing::apply(const RingChange& change, std::map<GroupId, Weights>& weights) {
  bool known = weights.contains(change.group);
  bool planned = change.dry_run;
  switch (change.kind) {
    case RingChange::Kind::add:
      if (known) return "it is in the ring already: give it another weight instead";
      weights[change.group] = {change.weight, 0};
      break;
    case RingChange::Kind::remove:
      if (!known) return "it is not in the ring";
      weights[change.group].now = 0;
      break;
    case RingChange::Kind::weight:
      if (!known) return "it is not in the ring: add it";
      weights[change.group].now = change.weight;
      break;
    case RingChange::Kind::abort:
      for (auto& [group, each] : weights) std::swap(each.now, each.before);
      std::erase_if(weights, [](const auto& entry) { return entry.second.now == 0; });
      break;
    case RingChange::Kind::pause:
    case RingChange::Kind::resume:
      if (!changing_) return "nothing moves";
      if (!planned) paused_ = change.kind == RingChange::Kind::pause;
      return "";
    case RingChange::Kind::rate:
      if (!planned) rate_ = change.locks_per_s_max;
      return "";
  }
  if (!planned) {
    step_ = 0;
    rate_ = change.locks_per_s_max;
  }
  return "";
}

PlaceReport FakeRing::locate(const std::string& resource) const {
  PlaceReport place;
  place.resource = resource;
  place.hash = 0xfedcba9876543210;
  place.arc_begin = 0xfe00000000000000;
  place.arc_end = 0xfeffffffffffffff;
  place.group = weights_.begin()->first;
  if (changing_) place.moving_to = weights_.rbegin()->first;
  place.primary = "s1#1";
  place.ring_version = version_;
  return place;
}

GroupReport FakeRing::state_of(GroupId group) const {
  RingReport all = told(weights_);
  for (const RingReport::Group& each : all.groups) {
    if (each.state.group == group) return each.state;
  }
  GroupReport state;
  state.group = group;
  if (auto at = left_.find(group); at != left_.end()) state.arcs = at->second;
  if (auto at = problems.find(group); at != problems.end()) state.problem = at->second;
  return state;
}

}  // namespace dlm::test
