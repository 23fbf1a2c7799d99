// The load of `dlm bench`, over the public client library: closed loops, many operations in flight, no thread
// per operation. (bench_open.h has the load that arrives by the clock.)
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/cli/histogram.h"
#include "dlm/client.h"

namespace dlm::cli {

struct BenchLoad {
  std::uint32_t in_flight = 64;      // per connection
  std::uint32_t resources = 0;       // names that all loops share; 0: each loop has names of its own
  std::uint32_t name_bytes = 0;      // of each name; shorter than what tells them apart: as short as that
  std::uint32_t shared_percent = 0;  // of the acquisitions
  std::uint32_t wait_ms = kWaitForeverMs;
  std::uint32_t warm_up_ms = 1'000;
  std::uint32_t measured_ms = 5'000;
};

struct BenchResult {
  std::uint64_t pairs = 0;  // lock and unlock, both answered ok, in the measured time
  double seconds = 0;
  Histogram acquire_ns;
  Histogram release_ns;
  std::map<std::string, std::uint64_t> errors;  // by status, in the measured time
  std::string first_error;
};

// The name, or as many bytes with it at the beginning.
std::string padded(std::string name, std::size_t bytes);

using Clients = std::vector<std::unique_ptr<Client>>;

// Each loop: acquire, release, again. `stopped` ends it early (then `seconds` is what was measured).
BenchResult run_pairs(Clients& clients, const BenchLoad& load, const std::atomic<bool>& stopped);

struct HoldLoad {
  std::uint64_t count = 0;
  std::uint32_t in_flight = 64;  // per connection
  std::uint32_t lease_ms = 0;    // 0: bound to the clients' sessions; otherwise detached holds
  std::uint32_t name_bytes = 0;
};

struct HoldResult {
  std::uint64_t done = 0;
  double seconds = 0;
  std::map<std::string, std::uint64_t> errors;
  std::string first_error;
};

// Takes locks with names of 20 bytes, or more, and keeps them until destroyed or released. Main thread only.
class ManyHolds {
 public:
  ManyHolds(Clients& clients, const HoldLoad& load);
  ~ManyHolds();
  // Each returns when every operation was answered (or `stopped`, and those under way are answered).
  HoldResult acquire(const std::atomic<bool>& stopped);
  HoldResult release();

 private:
  struct Worker;
  HoldResult run(bool acquiring, const std::atomic<bool>* stopped);

  std::vector<std::unique_ptr<Worker>> workers_;
  std::uint32_t in_flight_;
};

}  // namespace dlm::cli
