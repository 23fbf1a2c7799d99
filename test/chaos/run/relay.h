// A slow road: a TCP relay that delivers each piece of data some time after it came, in order. `dlm-chaos
// relay`.
#pragma once

#include <cstdint>
#include <string>

namespace dlm::chaos {

struct RelayOptions {
  std::string address;  // to listen on, and of the server
  std::uint16_t listen_port = 0;
  std::uint16_t to_port = 0;
  std::uint32_t delay_ms = 50;
  std::uint32_t jitter_ms = 20;  // up to so much more
  std::uint64_t seed = 1;
};

// What it says when it listens.
inline constexpr const char* kRelayReady = "relaying";
// Until it is killed. The exit code.
int run_relay(const RelayOptions& options);

}  // namespace dlm::chaos
