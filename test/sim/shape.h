// What one simulated cluster is like: sizes, time-outs, workload and faults. Each seed draws its own mixture
// (swarm testing: Groce, Zhang, Eide, Chen, Regehr, 2012), so that no common setting hides a rare one.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "server/core/group_core.h"
#include "test/sim/network.h"
#include "test/sim/workload.h"

namespace dlm::sim {

struct SimulationOptions {
  std::uint64_t seed = 1;
  std::uint64_t operations = 5'000;
  std::string scenario;           // empty: random faults
  bool draw_faults = true;        // false: exactly those of `faults`
  std::set<std::string> without;  // not drawn
  std::set<std::string> faults;   // names, see faults.h
  bool trace = false;
};

struct Shape {
  std::uint32_t servers = 3;
  std::uint32_t groups = 1;
  std::uint32_t spare_groups = 0;  // of these: not in the ring at first
  // That groups in the ring may have; all have the first at first. Small: few arcs, which cost little.
  std::vector<double> weights = {0.05};
  std::uint32_t routers = 2;
  std::uint32_t clients = 8;
  std::uint32_t ttl_ms = 2'000;
  std::uint32_t session_timeout_ms = 2'000;
  std::uint32_t drift_ppm_max = 0;
  std::uint32_t doubled_percent = 0;
  TimeUs duration = 40 * kSecond;  // about, of the safety phase
  TimeUs turn_delay = 100;
  TimeUs disk_delay = 100;  // of durable groups
  Network::Delays delays;
  server::GroupOptions group;
  // What lives of servers are started with, in turns: operators change limits, one server after the other.
  std::vector<server::LockTableLimits> limits;
  WorkloadOptions workload;
  std::set<std::string> faults;

  bool changes_ring() const { return spare_groups != 0; }
  std::uint32_t lease_ms_max() const;
  std::uint32_t silence_ms() const { return static_cast<std::uint32_t>(group.replica.silence_timeout_ms); }
};

Shape draw_shape(const SimulationOptions& options, Random& random);
std::string describe(const Shape& shape);

}  // namespace dlm::sim
