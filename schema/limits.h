// Every limit of the service that is not an option of a process, in one place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dlm {

inline constexpr std::size_t kResourceBytesMax = 4096;
inline constexpr std::size_t kClientIdBytesMax = 128;
inline constexpr std::size_t kOwnerTagBytesMax = 128;

inline constexpr std::uint32_t kWaitForeverMs = UINT32_MAX;

// Defaults of the servers' limits on session TTLs and hold leases.
inline constexpr std::uint32_t kLeaseMsMinDefault = 1'000;
inline constexpr std::uint32_t kLeaseMsMaxDefault = 3'600'000;
inline constexpr std::uint32_t kSessionTtlMsDefault = 10'000;

// How long an ended session's id is remembered, so that no late retry of it can be executed. A client
// abandons an id after half of this without contact.
inline constexpr std::uint32_t kSessionTombstoneMs = 3'600'000;

// Client edge.
inline constexpr std::size_t kFrameBytesMax = 8u << 20;
inline constexpr std::size_t kOperationsPerFrameMax = 16'384;
inline constexpr std::uint16_t kClientProtocolVersion = 1;

// Inside.
inline constexpr std::size_t kRpcMessageBytesMax = 64u << 20;
inline constexpr std::uint16_t kShardProtocolVersion = 1;

// --busy-poll: how long a thread may wait awake.
inline constexpr std::uint32_t kBusyPollMsMax = 100;

inline constexpr std::uint16_t kRouterPortDefault = 7700;

}  // namespace dlm
