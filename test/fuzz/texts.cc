// What people type and operators configure: a text that is understood, written in its usual form, is
// understood the same.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cmath>

#include "client/cli/ring_arguments.h"
#include "coordinator/core/group_config.h"
#include "coordinator/core/ring.h"
#include "coordinator/zookeeper_address.h"
#include "schema/text.h"
#include "schema/types.h"
#include "test/fuzz/fuzz.h"

namespace dlm::fuzz {
namespace {

using coordinator::MemberName;
using coordinator::ZookeeperAddress;

void durations(std::string_view text) {
  const auto ms = parse_duration_ms(text);
  if (ms) require(parse_duration_ms(format_duration_ms(*ms)) == ms, "a duration reads as it was written");
}

void sizes(std::string_view text) {
  const auto bytes = parse_size_bytes(text);
  if (bytes) require(parse_size_bytes(format_size_bytes(*bytes)) == bytes, "a size reads as it was written");
}

void hex(std::string_view text) {
  require(from_hex(to_hex(text)) == std::string(text), "hex digits give the bytes that they are of");
  const auto bytes = from_hex(text);
  if (!bytes) return;
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  require(to_hex(*bytes) == lower, "bytes give the hex digits that they are from");
}

// The reverse of printable().
std::string unprintable(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c != '\\') {
      bytes += c;
      continue;
    }
    require(!text.empty(), "a backslash has something behind it");
    const char escaped = text.front();
    text.remove_prefix(1);
    if (escaped == 'x') {
      const auto byte = from_hex(text.substr(0, 2));
      require(byte && byte->size() == 1, "\\x has two digits behind it");
      bytes += *byte;
      text.remove_prefix(2);
    } else {
      bytes += escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped;
    }
  }
  return bytes;
}

bool is_one_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void names(std::string_view text) {
  const std::string shown = printable(text);
  require(is_one_line(shown), "a name for people has no control bytes");
  require(unprintable(shown) == text, "different names look different");
}

void addresses(std::string_view text) {
  const auto address = parse_host_port(text);
  if (!address) return;
  const bool is_v6 = address->host.find(':') != std::string::npos;
  const std::string host = is_v6 ? "[" + address->host + "]" : address->host;
  const auto again = parse_host_port(host + ":" + std::to_string(address->port));
  require(again && again->host == address->host && again->port == address->port,
          "an address reads as it was written");
}

void groups(std::string_view text) {
  const GroupId group = parse_group(text);
  if (group) require(to_string(group) == text, "a group has one name");
}

void members(std::string_view text) {
  MemberName member;
  if (coordinator::parse_member(text, member)) {
    require(coordinator::to_string(member) == text, "a member has one name");
    require(coordinator::valid_server_id(member.server), "a member's server has a valid id");
  } else {
    require(!member, "what can't be read leaves everything as it was");
  }
}

void zookeeper_addresses(std::string_view text) {
  ZookeeperAddress address;
  std::string error;
  if (!coordinator::parse_zookeeper_address(text, address, error)) {
    require(!error.empty() && address.hosts.empty(), "a refusal says why and leaves everything as it was");
    return;
  }
  ZookeeperAddress again;
  const bool read = coordinator::parse_zookeeper_address(address.hosts + address.root, again, error);
  require(read && again.hosts == address.hosts && again.root == address.root,
          "a ZooKeeper address reads as it was written");
}

// REQUIRES of `parse` that it refuses by CLI::ValidationError alone.
template <class Parse, class Check>
void argument(std::string_view text, Parse parse, Check check) {
  try {
    check(parse(std::string(text)));
  } catch (const CLI::ValidationError& refusal) {
    require(is_one_line(refusal.what()), "what is said of a bad argument has no control bytes");
  }
}

void arguments(std::string_view text) {
  argument(text, cli::parse_group_argument,
           [&](GroupId group) { require(to_string(group) == text, "a group"); });
  argument(text, cli::parse_weight, [](double weight) {
    require(std::isfinite(weight) && weight > 0, "a weight is a number above 0");
    require(cli::parse_weight(coordinator::weight_text(weight)) == weight,
            "a weight reads as it was written");
  });
  argument(text, cli::parse_rate, [](std::uint32_t rate) {
    require(cli::parse_rate(std::to_string(rate) + "/s") == rate, "a rate reads as it was written");
  });
}

constexpr void (*kReaders[])(std::string_view) = {
    durations, sizes, hex, names, addresses, groups, members, zookeeper_addresses, arguments};

}  // namespace

void run(std::string_view input) {
  kReaders[take_choice(input, std::size(kReaders))](input);
}

Seeds seeds() {
  Seeds all;
  const auto add = [&](unsigned reader, std::initializer_list<std::string_view> texts) {
    for (std::string_view text : texts) {
      const std::string name = "reader-" + std::to_string(reader) + "-" + std::to_string(all.size());
      all.emplace_back(name, static_cast<char>(reader) + std::string(text));
    }
  };
  add(0, {"1h2m3s4ms", "250ms", "0", "18446744073709551615ms", "5124095576030h", "10", "1m1m"});
  add(1, {"64KiB", "1MB", "100B", "1000", "17179869183GiB", "1GiB1"});
  add(2, {"00ff7Fab", "0", ""});
  add(3, {"orders/42", "a\\b\n\t\x01", "caf\xc3\xa9", "\xe2\x80\xae right to left", "\xed\xa0\x80",
          "\xf0\x9f\x94\x92"});
  add(4, {"127.0.0.1:7700", "[::1]:7700", "[fe80::1]:65535", "[[x]]:80", "router:0", ":1", "a:b:1"});
  add(5, {"g1", "g4294967295", "g01", "g0", "g4294967296"});
  add(6, {"s1#42", "server-1.example_x#18446744073709551615", "..#1", "s1#042", "s1#"});
  add(7, {"127.0.0.1:2181", "127.0.0.1:2181,127.0.0.2:2182/dlm/a", "h:1/", "h:1/a/../b", "h:0"});
  add(8, {"g3", "2.5", "1e-300", "50000/s", "none", "/s", "inf"});
  return all;
}

}  // namespace dlm::fuzz
