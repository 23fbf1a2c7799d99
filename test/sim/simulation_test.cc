// A few seeds of the simulator, and its scenarios, under the sanitizers. scripts/simulate runs thousands.
#include "test/sim/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "test/sim/faults.h"
#include "test/sim/scenarios.h"

namespace dlm::sim {
namespace {

std::string test_name(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

SimulationOptions options_of(std::uint64_t seed) {
  SimulationOptions options;
  options.seed = seed;
  options.operations = 1'500;
  return options;
}

TEST(Simulation, TheSameSeedGivesTheSameRunBitForBit) {
  const Result once = Simulation(options_of(7)).run();
  const Result again = Simulation(options_of(7)).run();
  EXPECT_EQ(once.failure, "");
  EXPECT_EQ(once.hash, again.hash);
  EXPECT_EQ(once.steps, again.steps);
  EXPECT_EQ(once.virtual_time, again.virtual_time);
  EXPECT_NE(once.hash, Simulation(options_of(8)).run().hash);
}

TEST(Simulation, RandomMixturesOfFaultsBreakNoPromise) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const Result result = Simulation(options_of(seed)).run();
    EXPECT_EQ(result.failure, "") << "seed " << seed << ", " << result.shape;
    EXPECT_GE(result.operations, 1'500U);
    EXPECT_GT(result.granted, 0U);
  }
}

class SimulatedFault : public testing::TestWithParam<std::string> {};

TEST_P(SimulatedFault, AloneBreaksNoPromise) {
  SimulationOptions options = options_of(3);
  options.draw_faults = false;
  options.faults = {GetParam()};
  const Result result = Simulation(options).run();
  EXPECT_EQ(result.failure, "") << result.shape;
}

std::vector<std::string> fault_names() {
  std::vector<std::string> names;
  for (const Fault& fault : all_faults()) names.emplace_back(fault.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Each, SimulatedFault, testing::ValuesIn(fault_names()),
                         [](const auto& info) { return test_name(info.param); });

class SimulatedScenario : public testing::TestWithParam<std::string> {};

TEST_P(SimulatedScenario, ComesOutWell) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    SimulationOptions options = options_of(seed);
    options.scenario = GetParam();
    const Result result = Simulation(options).run();
    EXPECT_EQ(result.failure, "") << "seed " << seed << ", " << result.shape;
  }
}

std::vector<std::string> scenario_names() {
  std::vector<std::string> names;
  for (const Scenario& scenario : all_scenarios()) names.emplace_back(scenario.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Each, SimulatedScenario, testing::ValuesIn(scenario_names()),
                         [](const auto& info) { return test_name(info.param); });

}  // namespace
}  // namespace dlm::sim
