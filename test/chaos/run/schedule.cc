#include "test/chaos/run/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <utility>

namespace dlm::chaos {
namespace {

constexpr std::array<std::pair<FaultKind, std::string_view>, 11> kNames = {
    {{FaultKind::kill, "kill"},
     {FaultKind::terminate, "terminate"},
     {FaultKind::freeze, "freeze"},
     {FaultKind::cut, "cut"},
     {FaultKind::one_way, "one_way"},
     {FaultKind::loss, "loss"},
     {FaultKind::delay, "delay"},
     {FaultKind::failpoint, "failpoint"},
     {FaultKind::zookeeper_leader, "zookeeper_leader"},
     {FaultKind::zookeeper_away, "zookeeper_away"},
     {FaultKind::group_lost, "group_lost"}}};

constexpr std::uint32_t kPauseMsMin = 1'000;
constexpr std::uint32_t kPauseMsMax = 4'000;

class Maker {
 public:
  explicit Maker(const ScheduleOptions& options) : options_(options), random_(options.seed) {}

  Fault next() {
    Fault fault;
    fault.kind = options_.kinds[below(static_cast<std::uint32_t>(options_.kinds.size()))];
    fault.pause_ms = between(kPauseMsMin, kPauseMsMax);
    fill(fault);
    return fault;
  }

 private:
  void fill(Fault& fault) {
    switch (fault.kind) {
      case FaultKind::kill:
        aim(fault, {Role::primary, Role::primary, Role::backup, Role::primary_and_backup, Role::router,
                    Role::worker});
        fault.lasts_ms = spread(100, 5'000);
        break;
      case FaultKind::terminate:
        aim(fault, {Role::primary, Role::backup, Role::router});
        fault.lasts_ms = spread(100, 3'000);
        break;
      case FaultKind::freeze:
        aim(fault, {Role::primary, Role::primary, Role::backup, Role::router, Role::worker, Role::zookeeper});
        fault.lasts_ms = spread(100, options_.freeze_ms_max);
        break;
      case FaultKind::cut:
      case FaultKind::one_way:
      case FaultKind::loss:
        fill_network(fault);
        break;
      case FaultKind::delay:
        aim(fault, {Role::primary, Role::backup, Role::router});
        fault.delay_ms = spread(5, 300);
        fault.lasts_ms = spread(1'000, 12'000);
        break;
      case FaultKind::failpoint: {
        aim(fault, {Role::primary, Role::primary, Role::backup});
        const std::vector<std::string>& points = failpoints_of(fault.role);
        fault.point = points[below(static_cast<std::uint32_t>(points.size()))];
        fault.stops = below(3) == 0;
        fault.hits = 1 + below(20);
        fault.lasts_ms = spread(100, fault.stops ? 6'000 : 2'000);
        break;
      }
      case FaultKind::zookeeper_leader:
        fault.role = Role::zookeeper;
        fault.lasts_ms = spread(500, 5'000);
        break;
      case FaultKind::zookeeper_away:
        fault.role = Role::zookeeper;
        fault.lasts_ms = options_.zookeeper_away_ms;
        break;
      case FaultKind::group_lost:
        fault.number = below(options_.groups);
        fault.lasts_ms = spread(100, 5'000);
        break;
    }
  }

  void fill_network(Fault& fault) {
    aim(fault, {Role::primary, Role::primary, Role::backup, Role::router, Role::worker});
    const bool member = fault.role == Role::primary || fault.role == Role::backup;
    if (member) fault.peers = static_cast<Peers>(below(4));
    if (fault.role == Role::router) fault.peers = below(2) == 0 ? Peers::everyone : Peers::coordinator;
    fault.outgoing = below(2) == 0;
    fault.percent = 5 + below(40);
    fault.lasts_ms = spread(300, 12'000);
  }

  void aim(Fault& fault, std::initializer_list<Role> roles) {
    fault.role = *(roles.begin() + below(static_cast<std::uint32_t>(roles.size())));
    switch (fault.role) {
      case Role::primary:
      case Role::backup:
      case Role::primary_and_backup:
        fault.number = below(options_.groups);
        break;
      case Role::router:
        fault.number = below(options_.routers);
        break;
      case Role::worker:
        fault.number = below(options_.workers);
        break;
      case Role::zookeeper:
        fault.number = below(options_.zookeepers);
        break;
    }
  }

  // Not std::uniform_int_distribution: its numbers differ from library to library.
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }
  std::uint32_t between(std::uint32_t from, std::uint32_t to) { return from + below(to - from + 1); }
  // As many short ones as long ones, in orders of magnitude.
  std::uint32_t spread(std::uint32_t from, std::uint32_t to) {
    const double share = static_cast<double>(below(1'000)) / 1'000;
    return static_cast<std::uint32_t>(from * std::pow(static_cast<double>(to) / from, share));
  }

  const ScheduleOptions& options_;
  std::mt19937_64 random_;
};

std::string_view to_string(Role role) {
  constexpr std::array<std::string_view, 6> names = {
      "the primary of g", "a backup of g", "primary and a backup of g",
      "router r",         "worker w",      "zookeeper zk"};
  return names[static_cast<std::size_t>(role)];
}

std::string_view to_string(Peers peers) {
  constexpr std::array<std::string_view, 4> names = {"everyone", "its group", "the coordinator",
                                                     "the routers"};
  return names[static_cast<std::size_t>(peers)];
}

}  // namespace

const std::vector<std::string>& failpoints_of(Role role) {
  static const std::vector<std::string> primary = {
      "submit.received",       "append.before_send", "append.between_members", "append.after_send",
      "append.reply_received", "answer.before_send", "answer.after_send"};
  static const std::vector<std::string> backup = {"backup.append_received", "backup.before_acknowledge",
                                                  "backup.after_acknowledge"};
  return role == Role::backup ? backup : primary;
}

std::vector<Fault> make_schedule(const ScheduleOptions& options) {
  std::vector<Fault> faults;
  if (options.kinds.empty()) return faults;
  Maker maker(options);
  // What does not fit in the rest of the time is left out; so is what comes after enough of that.
  int left_out = 0;
  for (std::uint32_t used_ms = 0; used_ms < options.total_ms && left_out < 20;) {
    Fault fault = maker.next();
    if (used_ms + fault.pause_ms + fault.lasts_ms > options.total_ms) {
      ++left_out;
      continue;
    }
    used_ms += fault.pause_ms + fault.lasts_ms;
    faults.push_back(std::move(fault));
  }
  return faults;
}

std::string_view to_string(FaultKind kind) {
  for (const auto& [known, name] : kNames) {
    if (known == kind) return name;
  }
  return "?";
}

std::optional<FaultKind> parse_fault_kind(std::string_view name) {
  for (const auto& [kind, known] : kNames) {
    if (known == name) return kind;
  }
  return std::nullopt;
}

const std::vector<FaultKind>& all_fault_kinds() {
  static const std::vector<FaultKind> kinds = [] {
    std::vector<FaultKind> all;
    for (const auto& [kind, name] : kNames) all.push_back(kind);
    return all;
  }();
  return kinds;
}

bool needs_namespaces(FaultKind kind) {
  return kind == FaultKind::cut || kind == FaultKind::one_way || kind == FaultKind::loss ||
         kind == FaultKind::delay;
}

std::string describe(const Fault& fault) {
  std::string text = std::string(to_string(fault.kind)) + " ";
  switch (fault.kind) {
    case FaultKind::zookeeper_leader:
    case FaultKind::zookeeper_away:
      break;
    case FaultKind::group_lost:
      text += "g" + std::to_string(fault.number + 1) + " ";
      break;
    default:
      text += std::string(to_string(fault.role)) + std::to_string(fault.number + 1) + " ";
  }
  if (fault.kind == FaultKind::cut) text += "from " + std::string(to_string(fault.peers)) + " ";
  if (fault.kind == FaultKind::one_way) {
    text += std::string(fault.outgoing ? "not heard by " : "not hearing ") +
            std::string(to_string(fault.peers)) + " ";
  }
  if (fault.kind == FaultKind::loss) {
    text +=
        "of " + std::to_string(fault.percent) + "% from and to " + std::string(to_string(fault.peers)) + " ";
  }
  if (fault.kind == FaultKind::delay) text += "by " + std::to_string(fault.delay_ms) + " ms each way ";
  if (fault.kind == FaultKind::failpoint) {
    text += std::string(fault.stops ? "stops" : "dies") + " at " + fault.point + ", passing " +
            std::to_string(fault.hits) + " ";
  }
  return text + "for " + std::to_string(fault.lasts_ms) + " ms";
}

}  // namespace dlm::chaos
