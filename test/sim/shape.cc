#include "test/sim/shape.h"

#include <algorithm>

#include "test/sim/faults.h"
#include "test/sim/scenarios.h"

namespace dlm::sim {
namespace {

template <class T>
T one_of(Random& random, std::initializer_list<T> values) {
  return *(values.begin() + random.below(values.size()));
}

void draw_workload(WorkloadOptions& workload, Random& random) {
  workload.resources = one_of<std::uint32_t>(random, {1, 3, 10, 40});
  workload.hot_percent = one_of<std::uint32_t>(random, {0, 30, 80});
  workload.hold_us = one_of<TimeUs>(random, {0, 5 * kMs, 50 * kMs, 400 * kMs});
  workload.in_flight_max = one_of<std::size_t>(random, {1, 4, 16});
  workload.held_max = one_of<std::size_t>(random, {2, 8});
  workload.lease_ms = one_of<std::uint32_t>(random, {500, 1'500, 4'000});
  workload.inspects = one_of<std::uint32_t>(random, {0, 5, 20});
  workload.renews = one_of<std::uint32_t>(random, {0, 5, 20});
  workload.cancels = one_of<std::uint32_t>(random, {0, 5, 15});
  workload.closes_permille = one_of<std::uint32_t>(random, {0, 1, 10});
  workload.shared = one_of<std::uint32_t>(random, {0, 30, 70});
  workload.leased = one_of<std::uint32_t>(random, {0, 20, 60});
  workload.tries = one_of<std::uint32_t>(random, {0, 20, 60});
  workload.forever = one_of<std::uint32_t>(random, {0, 40, 100});
}

void draw_group(server::GroupOptions& group, Random& random) {
  group.replica.silence_timeout_ms = one_of<std::uint64_t>(random, {200, 400, 1'000});
  group.replica.ping_interval_ms =
      group.replica.silence_timeout_ms / 10 * one_of<std::uint64_t>(random, {1, 2});
  // Often so small that whoever comes back needs a snapshot, and that in many chunks.
  group.replica.log_bytes_max = one_of<std::size_t>(random, {2'048, 16'384, 64u << 20});
  group.replica.append_bytes_max = one_of<std::size_t>(random, {1'024, 4u << 20});
  group.snapshot_chunk_bytes = one_of<std::size_t>(random, {256, 4'096, 256u << 10});
  group.batch_operations_max = one_of<std::size_t>(random, {16, 64, 16'384});
  group.expiries_per_turn_max = one_of<std::size_t>(random, {1, 4'096});
  // What the record allows at first: longer leases have to be written down before they are given.
  group.replica.lease_ms_first = one_of<std::uint32_t>(random, {500, 10'000});
}

// Leases that all clients may have, quotas that now and then refuse something.
void draw_limits(std::vector<server::LockTableLimits>& limits, Random& random) {
  limits.resize(one_of<std::size_t>(random, {1, 2, 3}));
  for (server::LockTableLimits& some : limits) {
    some.lease_ms_min = one_of<std::uint32_t>(random, {300, 400});
    some.lease_ms_max = one_of<std::uint32_t>(random, {20'000, 10'000});
    if (limits.size() == 1) continue;
    some.holds_per_client_max = one_of<std::uint32_t>(random, {3, 8, 2'000'000});
    some.waits_per_client_max = one_of<std::uint32_t>(random, {2, 6, 131'072});
  }
}

// Few and large arcs, as each of them costs a simulation about as much as a lock that is taken.
void draw_ring(Shape& shape, bool in_scenario, Random& random) {
  shape.spare_groups = 1;
  shape.groups = one_of<std::uint32_t>(random, {2, 3, 3, 4});
  const double weight = one_of<double>(random, {0.01, 0.01, 0.02, 0.05});
  shape.weights = {weight, weight * 2, weight * 3};
  shape.group.moves_under_way_max = one_of<std::size_t>(random, {1, 4, 64});
  // Stories need moves that take more than a moment.
  if (in_scenario) shape.group.moves_under_way_max = one_of<std::size_t>(random, {1, 4});
  shape.group.move_pause_ms = one_of<std::uint32_t>(random, {0, 0, 20});
  shape.group.move_locks_max = one_of<std::size_t>(random, {1, 3, 1'000});
}

}  // namespace

Shape draw_shape(const SimulationOptions& options, Random& random) {
  Shape shape;
  shape.servers = one_of<std::uint32_t>(random, {2, 3, 3, 3, 4, 5});
  shape.groups = one_of<std::uint32_t>(random, {1, 1, 2, 3});
  shape.routers = one_of<std::uint32_t>(random, {1, 2, 3});
  shape.clients = one_of<std::uint32_t>(random, {2, 6, 12, 24});
  shape.ttl_ms = one_of<std::uint32_t>(random, {600, 1'500, 5'000});
  shape.session_timeout_ms = one_of<std::uint32_t>(random, {1'000, 2'000, 4'000});
  shape.duration = one_of<TimeUs>(random, {20, 40, 80}) * kSecond;
  shape.turn_delay = one_of<TimeUs>(random, {10, 100, 1'000});
  shape.delays.base_us = one_of<TimeUs>(random, {20, 100, 1'000});
  shape.delays.jitter_us = one_of<TimeUs>(random, {20, 200, 3'000});
  draw_group(shape.group, random);
  shape.group.replica.coordinator_timeout_ms = shape.session_timeout_ms;
  draw_workload(shape.workload, random);
  shape.workload.operations = options.operations;
  shape.workload.pause_us = 2 * shape.duration * shape.clients / options.operations;

  shape.faults = options.faults;
  if (options.draw_faults && options.scenario.empty()) shape.faults = draw_faults(random);
  for (const std::string& fault : options.without) shape.faults.erase(fault);
  if (shape.faults.contains("drift")) shape.drift_ppm_max = 10'000;
  if (shape.faults.contains("doubled-retries")) shape.doubled_percent = 20;
  shape.group.replica.durable = have_disks(shape.faults);
  if (shape.group.replica.durable) {
    shape.disk_delay = one_of<TimeUs>(random, {50, 500, 5'000});
    shape.group.snapshot_log_bytes = one_of<std::size_t>(random, {2'048, 32'768, 64u << 20});
  }
  const Scenario* scenario = find_scenario(options.scenario);
  if (shape.faults.contains("ring-changes") || (scenario != nullptr && scenario->changes_ring))
    draw_ring(shape, scenario != nullptr, random);
  if (scenario != nullptr) {
    // Stories need somebody to take over, and clients that work throughout.
    shape.servers = 3;
    shape.clients = 6;
    shape.workload.pause_us = 100 * kMs;
    shape.workload.operations = UINT64_MAX;
    if (options.scenario == "doubled-retries") shape.doubled_percent = 30;
  }
  draw_limits(shape.limits, random);
  return shape;
}

std::uint32_t Shape::lease_ms_max() const {
  std::uint32_t longest = 0;
  for (const server::LockTableLimits& some : limits) longest = std::max(longest, some.lease_ms_max);
  return longest;
}

std::string describe(const Shape& shape) {
  std::string text = std::to_string(shape.servers) + " servers, " + std::to_string(shape.groups) +
                     " groups (" + std::to_string(shape.spare_groups) + " spare), " +
                     std::to_string(shape.routers) + " routers, " + std::to_string(shape.clients) +
                     " clients, TTL " + std::to_string(shape.ttl_ms) + " ms, silence " +
                     std::to_string(shape.silence_ms()) + " ms; faults:";
  for (const std::string& fault : shape.faults) text += " " + fault;
  return text + (shape.faults.empty() ? " none" : "");
}

}  // namespace dlm::sim
