#include "server/server_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string_view>
#include <vector>

#include "schema/limits.h"
#include "schema/option_values.h"
#include "schema/text.h"

namespace dlm::server {
namespace {

constexpr const char* kAbout =
    "A shard server of DistributedLockManager: a replica of one or more shard groups. It finds the other "
    "members of its groups through ZooKeeper, and becomes primary or backup by itself.";
constexpr const char* kExample =
    "Example, a group of three:\n"
    "  dlm-server --id s1 --groups g1 --init-ring g1 --listen 10.0.0.1:7800 --zookeeper "
    "zk1:2181,zk2:2181/dlm\n"
    "  dlm-server --id s2 --groups g1 --init-ring g1 --listen 10.0.0.2:7800 --zookeeper "
    "zk1:2181,zk2:2181/dlm\n"
    "  dlm-server --id s3 --groups g1 --init-ring g1 --listen 10.0.0.3:7800 --zookeeper "
    "zk1:2181,zk2:2181/dlm\n"
    "A data folder is verified by: dlm-server check DIR [--locks]\n"
    "Options may also stand in a file (--config server.toml), as lines like: listen = \"10.0.0.1:7800\"";

constexpr std::uint32_t kLeaseLimitMs = 720u * 3'600'000;  // 30 days

struct Arguments {
  std::string id;
  std::vector<std::string> groups;
  std::vector<std::string> init_ring;
  std::string listen = "127.0.0.1:7800";
  std::string advertise;
  std::string zookeeper;
  std::string session_timeout = "4s";
  std::string lease_min = format_duration_ms(kLeaseMsMinDefault);
  std::string lease_max = format_duration_ms(kLeaseMsMaxDefault);
  std::string silence_timeout = "750ms";
  std::string data_dir;
  std::string durability = "memory";
  std::string busy_poll = "0ms";
  bool keep_cpus_awake = false;
  std::string log_dir;
  LockTableLimits quotas;
};

// What was given, checked; the first mistake is thrown for CLI11 to tell.
std::vector<GroupId> group_list(const char* option, const std::vector<std::string>& names) {
  std::vector<GroupId> groups;
  for (const std::string& name : names) {
    const GroupId group = parse_group(name);
    if (!group) refuse_option(option, "groups like g1,g2", name);
    if (std::find(groups.begin(), groups.end(), group) != groups.end())
      refuse_option(option, "each group once", name);
    groups.push_back(group);
  }
  return groups;
}

ServerOptions digest(const Arguments& arguments) {
  ServerOptions options;
  ShardNodeOptions& node = options.node;
  if (!coordinator::valid_server_id(arguments.id))
    refuse_option("--id", "1 to 64 of A-Z a-z 0-9 _ . -", arguments.id);
  node.id = arguments.id;
  node.groups = group_list("--groups", arguments.groups);
  node.init_ring = group_list("--init-ring", arguments.init_ring);
  node.listen = host_port_option("--listen", arguments.listen);
  if (!arguments.advertise.empty()) host_port_option("--advertise", arguments.advertise);
  node.advertise = arguments.advertise;
  const bool any_address = node.listen.host == "0.0.0.0" || node.listen.host == "::";
  if (any_address && arguments.advertise.empty()) {
    throw CLI::ValidationError("--advertise", "is needed with --listen " + arguments.listen +
                                                  ": the address under which others reach this server");
  }
  node.table.lease_ms_min = duration_option_ms("--lease-min", arguments.lease_min, 10, kLeaseLimitMs);
  node.table.lease_ms_max = duration_option_ms("--lease-max", arguments.lease_max, 10, kLeaseLimitMs);
  if (node.table.lease_ms_min > node.table.lease_ms_max) {
    throw CLI::ValidationError("--lease-min", "is above --lease-max");
  }
  node.table.sessions_max = arguments.quotas.sessions_max;
  node.table.holds_per_client_max = arguments.quotas.holds_per_client_max;
  node.table.waits_per_client_max = arguments.quotas.waits_per_client_max;
  node.silence_timeout_ms = duration_option_ms("--silence-timeout", arguments.silence_timeout, 20, 600'000);
  std::string error;
  if (!coordinator::parse_zookeeper_address(arguments.zookeeper, options.zookeeper.address, error)) {
    throw CLI::ValidationError("--zookeeper", error);
  }
  options.zookeeper.session_timeout_ms =
      duration_option_ms("--session-timeout", arguments.session_timeout, 100, 600'000);
  if ((arguments.durability == "fsync") != !arguments.data_dir.empty()) {
    throw CLI::ValidationError("--durability",
                               "fsync and --data-dir belong together: what is made safe lies there");
  }
  node.data_dir = arguments.data_dir;
  options.busy_poll =
      std::chrono::milliseconds(duration_option_ms("--busy-poll", arguments.busy_poll, 0, kBusyPollMsMax));
  options.keep_cpus_awake = arguments.keep_cpus_awake;
  options.log_dir = arguments.log_dir;
  return options;
}

void add_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--id", arguments.id,
                 "Name of this server in the cluster; one living process has it at a time")
      ->required();
  app.add_option("--groups", arguments.groups, "Shard groups it is a member of, like g1,g2")
      ->required()
      ->delimiter(',');
  app.add_option("--zookeeper", arguments.zookeeper, "host:port,…[/path] of the cluster's ZooKeeper")
      ->required();
  app.add_option("--listen", arguments.listen, "host:port for routers and other servers; port 0: a free one")
      ->capture_default_str();
  app.add_option("--advertise", arguments.advertise,
                 "host:port under which they reach it, when it is not the listen address");
  app.add_option("--init-ring", arguments.init_ring,
                 "Groups of the cluster's first ring, made if there is none yet")
      ->delimiter(',');
  app.add_option("--session-timeout", arguments.session_timeout, "of the session with ZooKeeper")
      ->capture_default_str();
  app.add_option("--silence-timeout", arguments.silence_timeout,
                 "after which a member that says nothing counts as lost")
      ->capture_default_str();
  app.add_option("--lease-min", arguments.lease_min, "Shortest session TTL and lease that is given")
      ->capture_default_str();
  app.add_option("--lease-max", arguments.lease_max, "Longest session TTL and lease that is given")
      ->capture_default_str();
  app.add_option(
         "--durability", arguments.durability,
         "memory: lost with the last member in sync; fsync: every member has it on its disk before it is "
         "acknowledged, and goes on with it after a restart. The same for all members of a group")
      ->check(CLI::IsMember({"memory", "fsync"}))
      ->capture_default_str();
  app.add_option("--data-dir", arguments.data_dir, "Folder of this server alone, for --durability fsync");
  const auto quota = [&](const char* name, std::uint32_t& value, const char* about) {
    app.add_option(name, value, about)->check(CLI::Range(1, 1'000'000'000))->capture_default_str();
  };
  quota("--sessions-max", arguments.quotas.sessions_max,
        "Quota: sessions in a group. Quotas and lease limits are those of the group's primary");
  quota("--holds-per-client-max", arguments.quotas.holds_per_client_max,
        "Quota: locks that a client holds or waits for in a group");
  quota("--waits-per-client-max", arguments.quotas.waits_per_client_max,
        "Quota: requests of a client that wait in a group");
  app.add_option(
         "--busy-poll", arguments.busy_poll,
         "Wait awake for so long before sleeping, on processors that nobody else wants: faster answers "
         "for processor time")
      ->capture_default_str();
  app.add_flag("--keep-cpus-awake", arguments.keep_cpus_awake,
               "Let no processor of this machine sleep: faster answers for power. Needs the right to write "
               "/dev/cpu_dma_latency, as root has it");
  app.add_option("--log-dir", arguments.log_dir,
                 "Directory for log files, beside what goes to standard error")
      ->check(CLI::ExistingDirectory);
}

}  // namespace

std::optional<ServerOptions> parse_arguments(int argc, char** argv, int& exit_code) {
  Arguments arguments;
  CLI::App app(kAbout, "dlm-server");
  app.footer(kExample);
  app.set_version_flag("--version", DLM_VERSION);
  app.set_config("--config", "", "File with options");
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
    return digest(arguments);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      exit_code = app.exit(error);
    } else {
      std::cerr << "dlm-server: " << error.what() << " (--help shows the options)\n";
      exit_code = EXIT_FAILURE;
    }
    return std::nullopt;
  }
}

}  // namespace dlm::server
