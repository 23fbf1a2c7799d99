#include "client/cli/ring_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "client/cli/text_output.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

constexpr double kBarColumns = 30;  // of the group that has most

bool is_told(const RingReport::Group& group) {
  return group.state.problem.empty();
}

// "#": owned; "-": owned and to be given away; ".": to come. A group that does not tell: what the ring gives
// it.
std::string bar(const RingReport::Group& group, double scale) {
  double owned = is_told(group) ? group.state.share_owned : group.share;
  auto columns = [&](double share) { return static_cast<std::size_t>(std::lround(share * scale)); };
  std::size_t stays = columns(std::min(owned, group.share));
  std::string out(stays, '#');
  out.append(columns(owned) - std::min(columns(owned), stays), '-');
  out.append(columns(group.share) - std::min(columns(group.share), out.size()), '.');
  return out;
}

std::string groups_text(const RingReport& ring) {
  std::uint64_t locks = 0;
  double most = 0;
  for (const RingReport::Group& group : ring.groups) {
    if (is_told(group)) locks += group.state.locks_held;
    most = std::max({most, group.share, group.state.share_owned});
  }
  double scale = most > 0 ? kBarColumns / most : 0;
  Table table({"GROUP", "PRIMARY", "WEIGHT", "SHARE", "OWNED", "ARCS", "LOCKS", "OF LOCKS", "WAITING", ""});
  for (const RingReport::Group& group : ring.groups) {
    const GroupReport& state = group.state;
    auto told = [&](const std::string& text) { return is_told(group) ? text : std::string("?"); };
    double of_locks = locks == 0 ? 0 : static_cast<double>(state.locks_held) / static_cast<double>(locks);
    bool same = group.weight == group.weight_before;
    table.add({to_string(state.group),
               state.primary.empty() ? "-" : printable(state.primary.substr(0, state.primary.find('#'))),
               (same ? "" : weight_text(group.weight_before) + " > ") + weight_text(group.weight),
               percent(group.share), told(percent(state.share_owned)), told(std::to_string(state.arcs)),
               told(grouped(state.locks_held)), told(locks == 0 ? "-" : percent(of_locks)),
               told(grouped(state.waiters)), bar(group, scale)});
  }
  return table.text("  ");
}

std::string weights_text(const RingReport& ring, bool before) {
  std::string out;
  for (const RingReport::Group& group : ring.groups) {
    double weight = before ? group.weight_before : group.weight;
    if (weight == 0) continue;
    out += (out.empty() ? "" : ", ") + to_string(group.state.group) + " " + weight_text(weight);
  }
  return out.empty() ? "nothing" : out;
}

std::string flows_text(const std::vector<RingReport::Flow>& flows) {
  Table table({"FROM", "TO", "ARCS", "OF THE NAMES", "LOCKS", "WAITERS"});
  auto add = [&](const std::string& from, const std::string& to, const RingReport::Flow& flow) {
    table.add({from, to, std::to_string(flow.arcs), percent(flow.share), "~" + grouped(flow.locks),
               "~" + grouped(flow.waiters)});
  };
  for (const RingReport::Flow& flow : flows) add(to_string(flow.from), to_string(flow.to), flow);
  if (flows.size() > 1) add("all", "", sum_of(flows));
  return table.text("  ");
}

std::string notes_text(const RingReport& ring) {
  std::string out;
  for (const RingReport::Group& group : ring.groups) {
    std::string name = "  " + to_string(group.state.group);
    if (!is_told(group)) out += name + " can't be asked: " + printable(group.state.problem) + "\n";
    if (!group.state.move.waits_for.empty())
      out += name + " waits: " + printable(group.state.move.waits_for) + "\n";
  }
  return out;
}

std::string limit_text(std::uint32_t locks_per_s_max) {
  return "at most " + grouped(locks_per_s_max) + " locks/s from each group";
}

std::string cut(std::string text, std::size_t columns) {
  if (columns == 0 || text.size() <= columns) return text;
  if (columns <= 3) return text.substr(0, columns);
  return text.substr(0, columns - 3) + "...";
}

}  // namespace

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string percent(double share) {
  return decimal(share * 100, 1) + "%";
}

std::string weight_text(double weight) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.4g", weight);
  return buffer;
}

std::string ring_text(const RingReport& ring) {
  std::string out = "ring version " + std::to_string(ring.version) + ": " +
                    std::to_string(ring.groups.size()) + (ring.groups.size() == 1 ? " group" : " groups") +
                    ", the fullest has " + decimal(balance(ring, false), 3) + " times its due\n";
  if (ring.changing) {
    out += "from    " + weights_text(ring, true) + "\nto      " + weights_text(ring, false) + "\n";
    // One report can't tell a rate: `dlm ring status` takes two.
    out += progress_text(ProgressTracker().take(ring, 0)) + "\n";
  }
  out += "\n" + groups_text(ring);
  if (ring.changing) {
    out += "  (# owned, - to be given away, . to come)\n\nThe whole change moves\n" + flows_text(ring.flows);
  }
  std::string notes = notes_text(ring);
  return notes.empty() ? out : out + "\n" + notes;
}

std::string change_text(const RingChange& change) {
  std::string group = to_string(change.group);
  switch (change.kind) {
    case RingChange::Kind::add:
      return "add " + group + " with weight " + weight_text(change.weight);
    case RingChange::Kind::remove:
      return "remove " + group;
    case RingChange::Kind::weight:
      return "give " + group + " the weight " + weight_text(change.weight);
    case RingChange::Kind::pause:
      return "pause the change";
    case RingChange::Kind::resume:
      return "go on with the change";
    case RingChange::Kind::abort:
      return "take the change back";
    case RingChange::Kind::rate:
      return change.locks_per_s_max == 0 ? "move without a limit"
                                         : "move " + limit_text(change.locks_per_s_max);
  }
  return "?";
}

std::string plan_text(const RingReport& plan, const RingChange& change) {
  std::string out = "A plan, nothing was done: " + change_text(change) + "\n";
  if (plan.flows.empty()) return out + "Nothing would move.\n";
  out += "\n" + flows_text(plan.flows) + "\n";
  Table table({"GROUP", "WEIGHT", "SHARE", "THEN"});
  for (const RingReport::Group& group : plan.groups) {
    bool same = group.weight == group.weight_before;
    table.add({to_string(group.state.group),
               (same ? "" : weight_text(group.weight_before) + " > ") + weight_text(group.weight),
               percent(group.share_before), percent(group.share)});
  }
  out += table.text("  ");
  out += "\nThe fullest group has " + decimal(balance(plan, true), 3) + " times its due, and would have " +
         decimal(balance(plan, false), 3) + " (1: even).\n";
  if (change.locks_per_s_max != 0) out += "Moved would be " + limit_text(change.locks_per_s_max) + ".\n";
  std::string notes = notes_text(plan);
  return notes.empty() ? out : out + "\n" + notes;
}

std::string place_text(const PlaceReport& place) {
  auto hex = [](std::uint64_t value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%016llx", static_cast<unsigned long long>(value));
    return std::string(buffer);
  };
  std::string primary = place.primary.empty()
                            ? "no primary now"
                            : "primary " + printable(place.primary.substr(0, place.primary.find('#')));
  std::string out = shown(place.resource) + ": " + to_string(place.group) + " (" + primary + ")";
  if (place.moving_to) out += ", moving to " + to_string(place.moving_to);
  return out + "\n  hash " + hex(place.hash) + ", in arc " + hex(place.arc_begin) + " to " +
         hex(place.arc_end) + " of ring version " + std::to_string(place.ring_version) + "\n";
}

std::string progress_text(const RingProgress& progress, std::size_t columns) {
  if (!progress.changing) return "ring version " + std::to_string(progress.version) + ": nothing moves";
  std::string out = progress.paused ? "paused: " : "moving: ";
  out += std::to_string(progress.arcs_left) + " of " + std::to_string(progress.arcs_total) + " arcs left (" +
         percent(progress.share_left) + " of the names, about " + grouped(progress.locks_left) + " locks)";
  if (progress.locks_per_s)
    out += ", " + grouped(static_cast<std::uint64_t>(std::llround(*progress.locks_per_s))) + " locks/s";
  if (progress.locks_per_s_max != 0) out += ", " + limit_text(progress.locks_per_s_max);
  if (progress.left_ms) {
    // Whole seconds, and never "0": it is not through yet.
    out += ", about " +
           format_duration_ms(std::max<std::uint64_t>(1, (*progress.left_ms + 500) / 1000) * 1000) + " left";
  }
  for (const auto& [group, why] : progress.waits)
    out += "; " + to_string(group) + " waits: " + printable(why);
  for (const auto& [group, why] : progress.silent)
    out += "; " + to_string(group) + " can't be asked: " + printable(why);
  return cut(out, columns);
}

}  // namespace dlm::cli
