// What people read of a run.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "test/chaos/history/history_file.h"

namespace dlm::chaos {

// The rules, and what broke them, with the operations' lines.
void print_verdict(std::ostream& out, const Verdict& verdict);
// Each fault with the longest time without a success, and the worst of each kind.
void print_gaps(std::ostream& out, const History& history);

// What a run must show beside an unbroken history; each text says what is missing. `calm` is the time after
// the last fault: every group must have served then; and it must have while only the coordinator was away.
std::vector<std::string> missing_service(const History& history, const std::vector<std::string>& groups,
                                         const FaultWindow& calm);

}  // namespace dlm::chaos
