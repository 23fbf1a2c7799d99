#include "coordinator/zookeeper_address.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace dlm::coordinator {
namespace {

bool printable_word(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

bool valid_host(std::string_view host) {
  std::size_t colon = host.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || !printable_word(host)) return false;
  std::string_view digits = host.substr(colon + 1);
  unsigned port = 0;
  auto [stopped, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return error == std::errc() && stopped == digits.data() + digits.size() && port >= 1 && port <= 65535;
}

bool valid_root(std::string_view root) {
  bool well_formed = root.size() > 1 && root.back() != '/' && printable_word(root);
  for (std::string_view bad : {"//", "/./", "/../"}) {
    well_formed = well_formed && root.find(bad) == std::string_view::npos;
  }
  return well_formed && !root.ends_with("/.") && !root.ends_with("/..");
}

}  // namespace

bool parse_zookeeper_address(std::string_view text, ZookeeperAddress& out, std::string& error) {
  auto fail = [&](const std::string& what) {
    error = what + ": give host:port[,host:port...][/path], for example 127.0.0.1:2181/dlm";
    return false;
  };
  ZookeeperAddress address;
  std::size_t slash = text.find('/');
  std::string_view hosts = text.substr(0, slash);
  if (slash != std::string_view::npos) address.root = text.substr(slash);
  if (!valid_root(address.root)) return fail("\"" + address.root + "\" is not a ZooKeeper path");
  address.hosts = hosts;
  if (hosts.empty()) return fail("the ZooKeeper address names no host");
  while (true) {
    std::size_t comma = hosts.find(',');
    std::string host(hosts.substr(0, comma));
    if (!valid_host(host)) return fail("\"" + host + "\" is not host:port");
    if (comma == std::string_view::npos) break;
    hosts.remove_prefix(comma + 1);
  }
  out = std::move(address);
  return true;
}

}  // namespace dlm::coordinator
