// What ZooKeeper's C client has to say, on its way to our log: it writes 15 lines a second while a server
// refuses connections.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace dlm::coordinator {

// Lets one line of each kind (by the place in the client's source that wrote it) through every few seconds,
// with the number of those it held back. Not thread-safe.
class ZookeeperLogFilter {
 public:
  using Clock = std::chrono::steady_clock;

  std::optional<std::string> pass(std::string_view message, Clock::time_point now);

  // The system's words for the last failure to reach one of `hosts` ("host:port,host:port"): "Connection
  // refused". Empty when there was none.
  std::string last_failure(std::string_view hosts) const;

 private:
  struct Kind {
    Clock::time_point passed;
    std::uint64_t held_back = 0;
  };
  std::map<std::string, Kind, std::less<>> kinds_;
  std::map<std::string, std::string, std::less<>> failures_;  // by ":port"
};

}  // namespace dlm::coordinator
