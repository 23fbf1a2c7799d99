#include "client/cli/ring_arguments.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>

#include "schema/text.h"

namespace dlm::cli {

GroupId parse_group_argument(const std::string& text) {
  GroupId group = parse_group(text);
  if (!group) throw CLI::ValidationError("GROUP", "takes a group like g3, not '" + printable(text) + "'");
  return group;
}

double parse_weight(const std::string& text) {
  double weight = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  bool number = error == std::errc() && end == text.data() + text.size() && std::isfinite(weight);
  if (!number || weight <= 0) {
    throw CLI::ValidationError("WEIGHT",
                               "takes a number above 0, like 1 or 2.5, not '" + printable(text) + "'");
  }
  return weight;
}

std::uint32_t parse_rate(const std::string& text) {
  if (text == "none") return 0;
  std::string digits = text.ends_with("/s") ? text.substr(0, text.size() - 2) : text;
  std::uint32_t rate = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rate);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    throw CLI::ValidationError(
        "RATE", "takes locks per second, like 50000/s, or none, not '" + printable(text) + "'");
  }
  return rate;
}

}  // namespace dlm::cli
