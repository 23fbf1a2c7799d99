// Clients that take and give back locks without a pause, each its own, and when each of them succeeded.
// Tokens that do not grow are errors.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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
  // All on one I/O thread, so that they leave the processors to what is measured. Client i prefers router i
  // modulo their number, and goes to the others when that is gone.
  Load(const std::vector<std::string>& routers, int clients);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // The longest gaps that have a part within [from_us, to_us].
  Gap longest_gap(std::uint64_t from_us, std::uint64_t to_us) const;
  // The errors that clients saw, as text; empty: none.
  std::string errors() const;

 private:
  struct Worker;

  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace dlm::bench
