// Values of command-line options, as dlm-server and dlm-router take them. A mistake is thrown as
// CLI::ValidationError, for the program to tell in one line.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "schema/text.h"

namespace dlm {

[[noreturn]] inline void refuse_option(const char* option, const std::string& takes,
                                       const std::string& given) {
  throw CLI::ValidationError(option, "takes " + takes + ", not \"" + printable(given) + "\"");
}

inline std::uint32_t duration_option_ms(const char* option, const std::string& text, std::uint32_t min_ms,
                                        std::uint32_t max_ms) {
  const std::optional<std::uint64_t> ms = parse_duration_ms(text);
  if (!ms || *ms < min_ms || *ms > max_ms) {
    refuse_option(
        option, "a duration from " + format_duration_ms(min_ms) + " to " + format_duration_ms(max_ms), text);
  }
  return static_cast<std::uint32_t>(*ms);
}

inline HostPort host_port_option(const char* option, const std::string& text) {
  const std::optional<HostPort> address = parse_host_port(text);
  if (!address) refuse_option(option, "host:port", text);
  return *address;
}

}  // namespace dlm
