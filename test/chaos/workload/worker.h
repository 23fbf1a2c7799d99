// A process full of clients: `dlm-chaos worker`. It is killed and frozen like any other process of the
// cluster.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dlm::chaos {

struct WorkerOptions {
  std::string name;  // of this life of the worker; unique in the run
  std::string journal;
  std::vector<std::string> routers;
  std::vector<std::string> groups;  // each gets a probe
  std::uint64_t seed = 1;
  unsigned clients = 4;
};

// Until SIGTERM; then gives back what is held. The exit code.
int run_worker(const WorkerOptions& options);

}  // namespace dlm::chaos
