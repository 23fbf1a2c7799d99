// The command line of dlm-server.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "coordinator/zookeeper_coordinator.h"
#include "server/shard_node.h"

namespace dlm::server {

struct ServerOptions {
  ShardNodeOptions node;
  coordinator::ZookeeperOptions zookeeper;
  std::chrono::milliseconds busy_poll{};
  bool keep_cpus_awake = false;
  std::string log_dir;  // empty: standard error alone
};

// What the arguments say. Nothing when the program is to end at once, with `exit_code`: after --help and
// --version, and after a mistake, which was told on standard error.
std::optional<ServerOptions> parse_arguments(int argc, char** argv, int& exit_code);

}  // namespace dlm::server
