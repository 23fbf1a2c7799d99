#include "test/sim/scenarios.h"

#include "test/sim/simulation.h"

namespace dlm::sim {

const std::vector<Scenario>& all_scenarios() {
  static const std::vector<Scenario> kScenarios = {};
  return kScenarios;
}

const Scenario* find_scenario(const std::string& name) {
  for (const Scenario& scenario : all_scenarios())
    if (name == scenario.name) return &scenario;
  return nullptr;
}

}  // namespace dlm::sim
