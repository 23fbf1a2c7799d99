// A whole chaos run: cluster, workload, faults, verdict.
#pragma once

#include <string>

#include "test/chaos/run/cluster.h"
#include "test/chaos/run/schedule.h"

namespace dlm::chaos {

struct RunOptions {
  ClusterOptions cluster;
  ScheduleOptions schedule;
  CheckOptions check;
  std::string history;  // where it is written
  std::string replay;   // the command that does the same again, for people
};

// The exit code: 0 when all was well.
int run_chaos(const RunOptions& options);
// The verdict on a history. The exit code.
int check_history(const std::string& path, const CheckOptions& options);

}  // namespace dlm::chaos
