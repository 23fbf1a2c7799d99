// Texts that people type and read: names with any bytes in them, durations and sizes with units.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dlm {

// A name for people: printable UTF-8 stays, everything else (and the backslash) becomes \xNN, \\, \n or \t.
std::string printable(std::string_view bytes);

std::string to_hex(std::string_view bytes);
// Empty result for "", no result for anything that is not pairs of hex digits.
std::optional<std::string> from_hex(std::string_view hex);

// "10s", "250ms", "1m30s", "1h", "0"; a plain number other than 0 has no unit and is refused. Milliseconds.
std::optional<std::uint64_t> parse_duration_ms(std::string_view text);
// The shortest exact form: "1m30s", "250ms", "0".
std::string format_duration_ms(std::uint64_t ms);

// "64KiB", "1MiB", "2GiB", "100B", "1000" (bytes), "1kB", "1MB".
std::optional<std::uint64_t> parse_size_bytes(std::string_view text);
std::string format_size_bytes(std::uint64_t bytes);

// "host:port" or "[v6]:port"; no result without a port of 0 to 65535.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
std::optional<HostPort> parse_host_port(std::string_view text);

}  // namespace dlm
