#include "client/cli/ring_progress.h"

#include <algorithm>
#include <cmath>

namespace dlm::cli {
namespace {

constexpr std::uint64_t kWindowMs = 5'000;
constexpr std::uint64_t kRateMsMin = 200;  // reports closer than this tell no rate

RingReport::Flow given_by(const RingReport& report, GroupId group) {
  std::vector<RingReport::Flow> flows = report.flows;
  std::erase_if(flows, [&](const RingReport::Flow& flow) { return flow.from != group; });
  return sum_of(flows);
}

}  // namespace

RingReport::Flow sum_of(const std::vector<RingReport::Flow>& flows) {
  RingReport::Flow sum;
  for (const RingReport::Flow& flow : flows) {
    sum.arcs += flow.arcs;
    sum.share += flow.share;
    sum.locks += flow.locks;
    sum.waiters += flow.waiters;
  }
  return sum;
}

RingProgress ProgressTracker::take(const RingReport& report, std::uint64_t now_ms) {
  std::vector<Path> paths;
  for (const RingReport::Flow& flow : report.flows) paths.push_back({flow.from, flow.to, flow.arcs});
  if (paths != paths_) {
    // Another change: what was left of the one before says nothing. (A pause has a version of its own, too.)
    for (auto& [group, known] : known_) known = Known{0, 0, 0, known.locks_moved};
    samples_.clear();
    paths_ = std::move(paths);
  }
  RingProgress progress;
  progress.version = report.version;
  progress.changing = report.changing;
  progress.paused = report.paused;
  progress.locks_per_s_max = report.locks_per_s_max;
  progress.arcs_total = sum_of(report.flows).arcs;
  for (const RingReport::Group& group : report.groups) {
    take_group(report, group);
    const GroupReport& state = group.state;
    const Known& known = known_[state.group];
    if (!report.changing) continue;
    progress.arcs_left += known.arcs_left;
    progress.share_left += known.share_left;
    progress.locks_left += known.locks_left;
    if (!state.move.waits_for.empty()) progress.waits.emplace_back(state.group, state.move.waits_for);
    if (!state.problem.empty() && known.arcs_left != 0)
      progress.silent.emplace_back(state.group, state.problem);
  }
  progress.arcs_total = std::max(progress.arcs_total, progress.arcs_left);
  rate(progress, now_ms);
  return progress;
}

void ProgressTracker::take_group(const RingReport& report, const RingReport::Group& group) {
  const GroupReport& state = group.state;
  const bool first = !known_.contains(state.group) || samples_.empty();
  Known& known = known_[state.group];
  const bool told = state.problem.empty();
  if (told) {
    // A primary that took over counts from 0.
    if (known.locks_moved && state.move.locks_moved >= *known.locks_moved)
      locks_moved_ += state.move.locks_moved - *known.locks_moved;
    known.locks_moved = state.move.locks_moved;
  }
  if (told && state.ring_version >= report.version) {
    known.arcs_left = state.move.arcs_left;
    known.share_left = state.move.share_left;
    double part = state.share_owned > 0 ? std::min(1.0, state.move.share_left / state.share_owned) : 0;
    known.locks_left = static_cast<std::uint64_t>(std::llround(part * static_cast<double>(state.locks_held)));
  } else if (first) {
    RingReport::Flow all = given_by(report, state.group);
    known.arcs_left = all.arcs;
    known.share_left = all.share;
    known.locks_left = all.locks;
  }
}

void ProgressTracker::rate(RingProgress& progress, std::uint64_t now_ms) {
  samples_.push_back({now_ms, progress.share_left, locks_moved_});
  while (samples_.size() > 2 && samples_[1].at_ms + kWindowMs <= now_ms) samples_.pop_front();
  const Sample& then = samples_.front();
  std::uint64_t passed_ms = now_ms - then.at_ms;
  if (!progress.changing || passed_ms < kRateMsMin) return;
  progress.locks_per_s =
      static_cast<double>(locks_moved_ - then.locks_moved) * 1000 / static_cast<double>(passed_ms);
  double share_moved = then.share_left - progress.share_left;
  if (share_moved <= 0 || progress.paused) return;
  progress.left_ms = static_cast<std::uint64_t>(
      std::llround(progress.share_left / share_moved * static_cast<double>(passed_ms)));
}

bool reflects(const RingReport& ring, const RingChange& change) {
  auto at = std::find_if(ring.groups.begin(), ring.groups.end(),
                         [&](const RingReport::Group& group) { return group.state.group == change.group; });
  if (change.kind == RingChange::Kind::remove) return at == ring.groups.end() || at->weight == 0;
  return at != ring.groups.end() && std::abs(at->weight - change.weight) <= 1e-9 * change.weight;
}

bool reflects(const RingReport& ring, const RingChange& change, const RingReport& before) {
  switch (change.kind) {
    case RingChange::Kind::add:
    case RingChange::Kind::remove:
    case RingChange::Kind::weight:
      return reflects(ring, change);
    case RingChange::Kind::pause:
      return ring.paused;
    case RingChange::Kind::resume:
      return !ring.paused;
    case RingChange::Kind::rate:
      return ring.locks_per_s_max == change.locks_per_s_max;
    case RingChange::Kind::abort:
      return std::all_of(before.groups.begin(), before.groups.end(), [&](const RingReport::Group& group) {
        RingChange as_before;
        as_before.kind = group.weight_before == 0 ? RingChange::Kind::remove : RingChange::Kind::weight;
        as_before.group = group.state.group;
        as_before.weight = group.weight_before;
        return reflects(ring, as_before);
      });
  }
  return false;
}

double balance(const RingReport& ring, bool before) {
  double weights = 0;
  for (const RingReport::Group& group : ring.groups) weights += before ? group.weight_before : group.weight;
  double most = 0;
  for (const RingReport::Group& group : ring.groups) {
    double weight = before ? group.weight_before : group.weight;
    if (weight > 0) most = std::max(most, (before ? group.share_before : group.share) * weights / weight);
  }
  return most;
}

}  // namespace dlm::cli
