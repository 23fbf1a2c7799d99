// What the loads of `dlm bench` have in common: what one client's I/O thread counts, clocks, names.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "client/cli/histogram.h"
#include "dlm/result.h"

namespace dlm::cli {

using BenchClock = std::chrono::steady_clock;

std::uint64_t ns_since(BenchClock::time_point start);
double seconds_since(BenchClock::time_point start);
// Eight hex digits, different for each run.
std::string run_name();

// Nobody but its thread touches it until all work has ended.
struct Tally {
  Histogram acquire_ns;
  Histogram release_ns;
  std::uint64_t pairs = 0;
  std::map<std::string, std::uint64_t> errors;
  std::string first_error;

  void failed(const Error& error);
};

}  // namespace dlm::cli
