// Where a cluster's ZooKeeper is: "host:port,host:port/path", as options give it.
#pragma once

#include <string>
#include <string_view>

namespace dlm::coordinator {

struct ZookeeperAddress {
  std::string hosts;          // "host:port,host:port"
  std::string root = "/dlm";  // everything of the cluster lies below it
};

// False, with what to do about it, on anything else. Nothing is resolved or reached here.
bool parse_zookeeper_address(std::string_view text, ZookeeperAddress& out, std::string& error);

}  // namespace dlm::coordinator
