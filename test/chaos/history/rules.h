// The rules of the checker, one function each, over the holds of one resource. Internal to checker.cc and its
// parts.
#pragma once

#include <vector>

#include "test/chaos/history/checker.h"

namespace dlm::chaos {

// All of one resource.
struct ResourceHistory {
  std::vector<const Hold*> by_token;    // in the order of their tokens
  std::vector<const Record*> acquires;  // of every outcome
  std::vector<const Record*> queries;   // answered ones, by call
};

void check_overlap(const ResourceHistory& history, std::vector<Violation>& violations);
void check_token_order(const ResourceHistory& history, std::vector<Violation>& violations);
void check_order(const ResourceHistory& history, const Context& context, const CheckOptions& options,
                 std::vector<Violation>& violations);
void check_queries(const ResourceHistory& history, const Context& context,
                   std::vector<Violation>& violations);

}  // namespace dlm::chaos
