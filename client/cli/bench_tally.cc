#include "client/cli/bench_tally.h"

#include <cstdio>
#include <random>

#include "client/cli/json_output.h"

namespace dlm::cli {

std::uint64_t ns_since(BenchClock::time_point start) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(BenchClock::now() - start).count());
}

double seconds_since(BenchClock::time_point start) {
  return static_cast<double>(ns_since(start)) / 1e9;
}

std::string run_name() {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", std::random_device()());
  return text;
}

void Tally::failed(const Error& error) {
  ++errors[std::string(status_name(error.status))];
  if (first_error.empty()) first_error = error.describe();
}

}  // namespace dlm::cli
