#include "test/chaos/run/report.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <ostream>

namespace dlm::chaos {
namespace {

constexpr std::size_t kShownMax = 20;

double seconds(std::int64_t ns) {
  return static_cast<double>(ns) / 1e9;
}

bool served(const History& history, const std::string& group, std::int64_t from_ns, std::int64_t to_ns) {
  return std::any_of(history.records.begin(), history.records.end(), [&](const Record& record) {
    if (!is_success(record) || record.call_ns < from_ns || record.return_ns > to_ns) return false;
    auto found = history.context.groups.find(record.resource);
    return found != history.context.groups.end() && found->second == group;
  });
}

}  // namespace

void print_verdict(std::ostream& out, const Verdict& verdict) {
  out << verdict.records << " operations, " << verdict.holds << " holds:";
  for (const auto& [outcome, times] : verdict.outcomes) out << "  " << outcome << " " << times;
  out << "\n";
  if (verdict.good()) {
    out << "Verdict: good. No overlap, tokens grow, counts are right, nothing ended early, nothing was done "
           "twice, no grant "
           "after a time-out, first come first served, no stale read.\n";
    return;
  }
  std::map<std::string, std::size_t> rules;
  for (const Violation& violation : verdict.violations) ++rules[violation.rule];
  out << "Verdict: BROKEN:";
  for (const auto& [rule, times] : rules) out << "  " << rule << " " << times;
  out << "\n";
  for (std::size_t i = 0; i < std::min(kShownMax, verdict.violations.size()); ++i) {
    const Violation& violation = verdict.violations[i];
    out << "  " << violation.rule << ": " << violation.what << "\n";
    for (const Record& record : violation.records) out << "    " << to_line(record) << "\n";
  }
}

void print_gaps(std::ostream& out, const History& history) {
  if (history.context.faults.empty() || history.records.empty()) return;
  const std::int64_t begin_ns = history.records.front().call_ns;
  std::map<std::string, std::pair<std::size_t, std::int64_t>> kinds;
  out << "Longest time without a success around each fault (of its group, or of any):\n"
      << std::fixed << std::setprecision(3);
  for (const FaultWindow& fault : history.context.faults) {
    const std::int64_t gap_ns = longest_gap_ns(history.records, history.context, fault);
    out << "  at " << std::setw(8) << seconds(fault.from_ns - begin_ns) << " s  " << std::setw(7)
        << seconds(gap_ns) << " s  " << fault.kind << " " << fault.target
        << (fault.group.empty() ? "" : " (" + fault.group + ")") << "\n";
    auto& [times, worst_ns] = kinds[fault.kind];
    ++times;
    worst_ns = std::max(worst_ns, gap_ns);
  }
  out << "By kind of fault:\n";
  for (const auto& [kind, sum] : kinds) {
    out << "  " << std::left << std::setw(18) << kind << std::right << std::setw(4) << sum.first
        << " times, longest gap " << seconds(sum.second) << " s\n";
  }
}

std::vector<std::string> missing_service(const History& history, const std::vector<std::string>& groups,
                                         const FaultWindow& calm) {
  std::vector<std::string> missing;
  for (const std::string& group : groups) {
    if (!served(history, group, calm.from_ns, calm.to_ns))
      missing.push_back(group + " did not serve after the last fault");
    for (const FaultWindow& fault : history.context.faults) {
      if (fault.kind != "zookeeper_away") continue;
      // The second half: by then every timeout of the coordinator's sessions has passed.
      const std::int64_t half_ns = fault.from_ns + (fault.to_ns - fault.from_ns) / 2;
      if (!served(history, group, half_ns, fault.to_ns))
        missing.push_back(group + " did not serve without ZooKeeper");
    }
  }
  return missing;
}

}  // namespace dlm::chaos
