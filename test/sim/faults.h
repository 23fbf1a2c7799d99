// The faults that strike a simulated cluster, by name. Each can be switched on alone.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "test/sim/world.h"

namespace dlm::sim {

class ServerProcess;
class Simulation;

struct Fault {
  const char* name;
  const char* what;
  void (*strike)(Simulation&, Random&);  // once; null: it is part of the cluster's shape
  bool needs_disks = false;
};
const std::vector<Fault>& all_faults();
bool is_fault(const std::string& name);
// Whether servers have disks with these faults, and come back as the members that they were.
bool have_disks(const std::set<std::string>& faults);

// The host of a server stands still, `asleep` or only the process, until its coordinator session has ended
// and another has been given its id; then it goes on, after a time of its own. REQUIRES: it is running and
// may be started elsewhere.
void start_twice(Simulation& simulation, ServerProcess& server, bool asleep, TimeUs goes_on_after);

// A random mixture, now and then none or a single one.
std::set<std::string> draw_faults(Random& random);
// Lets those of the shape strike, again and again, until stopped.
void schedule_faults(Simulation& simulation);

}  // namespace dlm::sim
