// The faults that strike a simulated cluster, by name. Each can be switched on alone.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "test/sim/random.h"

namespace dlm::sim {

class Simulation;

struct Fault {
  const char* name;
  const char* what;
  void (*strike)(Simulation&, Random&);  // once; null: it is part of the cluster's shape
};
const std::vector<Fault>& all_faults();
bool is_fault(const std::string& name);

// A random mixture, now and then none or a single one.
std::set<std::string> draw_faults(Random& random);
// Lets those of the shape strike, again and again, until stopped.
void schedule_faults(Simulation& simulation);

}  // namespace dlm::sim
