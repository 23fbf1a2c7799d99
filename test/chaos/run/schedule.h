// Which faults a run has, from a seed. Pure: the same arguments give the same schedule.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dlm::chaos {

enum class FaultKind : std::uint8_t {
  kill,              // kill -9, and a restart
  terminate,         // SIGTERM, and a restart
  freeze,            // SIGSTOP, SIGCONT
  cut,               // nothing passes between the target and its peers
  one_way,           // something passes in one direction only
  loss,              // some packets are lost
  delay,             // whatever goes to the target and back takes its time
  failpoint,         // the target ends or stops at a named point of the replication path
  zookeeper_leader,  // ZooKeeper's leader is killed and started again
  zookeeper_away,    // all of ZooKeeper is
  group_lost,        // all replicas of a group are killed at once, and started again
};

// Who is hit, found out when it is time.
enum class Role : std::uint8_t { primary, backup, primary_and_backup, router, worker, zookeeper };

// From whom the target is cut.
enum class Peers : std::uint8_t { everyone, group, coordinator, routers };

struct Fault {
  FaultKind kind = FaultKind::kill;
  Role role = Role::primary;
  std::uint32_t number = 0;    // which group, router, worker or ZooKeeper, from 0
  std::uint32_t pause_ms = 0;  // before it, all being well
  std::uint32_t lasts_ms = 0;
  Peers peers = Peers::everyone;
  bool outgoing = false;       // one_way: what the target sends is lost, not what it should hear
  std::uint32_t percent = 0;   // loss
  std::uint32_t delay_ms = 0;  // delay: each way
  std::string point;           // failpoint
  bool stops = false;          // failpoint: it stops there rather than dying
  std::uint32_t hits = 1;      // failpoint: at which passing

  friend bool operator==(const Fault&, const Fault&) = default;
};

// The points at which a process of this role can be made to stop or die; see server/failpoint.h.
const std::vector<std::string>& failpoints_of(Role role);

struct ScheduleOptions {
  std::uint64_t seed = 1;
  std::uint32_t total_ms = 60'000;  // pauses and faults together
  std::vector<FaultKind> kinds;
  std::uint32_t groups = 2;
  std::uint32_t routers = 2;
  std::uint32_t workers = 3;
  std::uint32_t zookeepers = 1;
  std::uint32_t zookeeper_away_ms = 60'000;
  std::uint32_t freeze_ms_max = 20'000;
};

std::vector<Fault> make_schedule(const ScheduleOptions& options);

std::string_view to_string(FaultKind);
std::optional<FaultKind> parse_fault_kind(std::string_view);
const std::vector<FaultKind>& all_fault_kinds();
// Those that need network namespaces.
bool needs_namespaces(FaultKind);

// One line for people, without what is found out later.
std::string describe(const Fault& fault);

}  // namespace dlm::chaos
