// The failures that the design names, each as a story of its own that must come out well for every seed.
#pragma once

#include <string>
#include <vector>

namespace dlm::sim {

struct Shape;
class Simulation;

struct Scenario {
  const char* name;
  const char* what;
  void (*play)(Simulation&);
  bool changes_ring = false;
};
const std::vector<Scenario>& all_scenarios();
const std::vector<Scenario>& move_scenarios();  // of all
const Scenario* find_scenario(const std::string& name);

}  // namespace dlm::sim
