// The open-loop load of `dlm bench --rate`: requests arrive by the clock, whether or not earlier ones were
// answered, and each latency counts from when its request was to arrive. So a service that falls behind can't
// slow down what is asked of it, and its pauses show (no "coordinated omission": Tene, 2013).
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>

#include "client/cli/bench.h"
#include "client/cli/histogram.h"

namespace dlm::cli {

struct OpenLoad {
  double per_second = 0;
  std::uint32_t in_flight_max =
      10'000;                    // of all connections; what arrives beyond it is counted and not started
  std::uint32_t resources = 0;   // names that all share; 0: each request has a name of its own
  std::uint32_t name_bytes = 0;  // of each; as in BenchLoad
  std::uint32_t wait_ms = 1'000;
  std::uint32_t warm_up_ms = 1'000;
  std::uint32_t measured_ms = 5'000;
};

struct OpenResult {
  double seconds = 0;
  std::uint64_t offered = 0;                    // arrived in the measured time; the others are of these
  std::uint64_t not_started = 0;                // too many were in flight
  std::uint64_t done = 0;                       // granted and given back
  std::map<std::string, std::uint64_t> errors;  // by status; "overloaded" are those that were refused
  std::string first_error;
  Histogram acquire_ns;  // from the arrival to the grant
  Histogram release_ns;
};

// Returns when all that was started has ended.
OpenResult run_open(Clients& clients, const OpenLoad& load, const std::atomic<bool>& stopped);

}  // namespace dlm::cli
