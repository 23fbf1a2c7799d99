// Clients that take and give back locks without a pause, each its own, and when each of them succeeded.
// Tokens that do not grow are errors.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dlm/client.h"

namespace dlm::bench {

// Monotonic microseconds.
std::uint64_t now_us();

struct Gap {
  double any_ms = 0;         // the longest time in which nobody succeeded
  double one_client_ms = 0;  // the longest of any one client
  std::uint64_t successes = 0;
};

class Load {
 public:
  // Client i prefers router i modulo their number, and goes to the others when that is gone.
  Load(const std::vector<std::string>& routers, int clients);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // The longest gaps that have a part within [from_us, to_us].
  Gap longest_gap(std::uint64_t from_us, std::uint64_t to_us) const;
  // The errors that clients saw, as text; empty: none.
  std::string errors() const;

 private:
  struct Worker {
    mutable std::mutex mutex;
    std::vector<std::uint64_t> successes_us;  // of releases: a lock was held and given back
    std::string error;
    std::jthread thread;
  };
  void run(Worker& worker, std::vector<std::string> routers, int number, const std::stop_token& stop);

  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace dlm::bench
