// What the stories of several files are told with.
#pragma once

#include "test/sim/simulation.h"

namespace dlm::sim {

inline constexpr TimeUs kPatience = 60 * kSecond;

TimeUs silence(const Simulation& sim);
void await_whole_set(Simulation& sim, GroupId group);
void await_other_primary(Simulation& sim, GroupId group, const Process& than);
void work_on(Simulation& sim);

}  // namespace dlm::sim
