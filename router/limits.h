// What a router may use, in the terms of whoever runs it, and what follows for its queues and connections.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "router/router_process.h"

namespace dlm::router {

// Of what clients can make a router keep. The program itself takes some 20 MiB more.
inline constexpr std::size_t kMemoryMaxDefault = std::size_t{1} << 30;
inline constexpr std::size_t kMemoryMaxMin = std::size_t{16} << 20;

struct ProcessLimits {
  std::size_t memory_bytes_max = kMemoryMaxDefault;
  std::size_t connections_max = 0;  // 0: as many as memory and open files allow
  std::uint32_t queue_ms_max = RouterOptions().queue_ms_max;
  std::size_t open_files = 0;  // that the process may have; 0: not known
};

// Sets the bounds of queues, buffers and connections. The text, if any, is a warning for the log: fewer
// connections than were asked for.
std::optional<std::string> apply(const ProcessLimits& limits, RouterProcessOptions& options);

}  // namespace dlm::router
