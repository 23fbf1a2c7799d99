#include "test/sim/scenario_steps.h"

namespace dlm::sim {

TimeUs silence(const Simulation& sim) {
  return sim.shape().silence_ms() * kMs;
}

void await_whole_set(Simulation& sim, GroupId group) {
  sim.require(sim.run_until([&] { return sim.in_sync(group) == sim.servers().size(); }, kPatience),
              "every member is in sync");
}

void await_other_primary(Simulation& sim, GroupId group, const Process& than) {
  const auto another_serves = [&] {
    const ServerProcess* primary = sim.primary_of(group);
    return primary != nullptr && primary != &than && primary->serves(group);
  };
  sim.require(sim.run_until(another_serves, kPatience), "another primary serves");
}

void work_on(Simulation& sim) {
  sim.run_for(5 * kSecond);
}

}  // namespace dlm::sim
