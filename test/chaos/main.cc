// dlm-chaos: the program behind scripts/chaos. Runs chaos, checks histories, and is the workers of its own
// runs.
#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "test/chaos/holders/holders.h"
#include "test/chaos/run/relay.h"
#include "test/chaos/run/run.h"
#include "test/chaos/workload/worker.h"

namespace {

using namespace dlm::chaos;

std::vector<FaultKind> kinds_of(const std::vector<std::string>& names, bool namespaces) {
  std::vector<FaultKind> kinds;
  for (const std::string& name : names) {
    const auto kind = parse_fault_kind(name);
    if (!kind) throw CLI::ValidationError("--faults", "knows no " + name);
    if (needs_namespaces(*kind) && !namespaces) continue;
    kinds.push_back(*kind);
  }
  return kinds;
}

std::vector<std::string> all_faults() {
  std::vector<std::string> names;
  for (FaultKind kind : all_fault_kinds()) names.emplace_back(to_string(kind));
  return names;
}

constexpr double kFifoToleranceMs = 2'000;

struct RunArguments {
  RunOptions options;
  double minutes = 1;
  std::vector<std::string> faults = all_faults();
  std::uint32_t zookeeper_away_s = 60;
  double fifo_tolerance_ms = kFifoToleranceMs;
};

int run(RunArguments& arguments) {
  RunOptions& options = arguments.options;
  options.schedule.total_ms = static_cast<std::uint32_t>(arguments.minutes * 60'000);
  options.schedule.kinds = kinds_of(arguments.faults, options.cluster.namespaces);
  options.check.fifo_tolerance_ns = static_cast<std::int64_t>(arguments.fifo_tolerance_ms * 1e6);
  options.schedule.zookeeper_away_ms = arguments.zookeeper_away_s * 1'000;
  options.schedule.groups = options.cluster.groups;
  options.schedule.routers = options.cluster.routers;
  options.schedule.workers = options.cluster.workers;
  options.schedule.zookeepers = options.cluster.zookeepers;
  options.cluster.seed = options.schedule.seed;
  std::filesystem::create_directories(options.cluster.folder);
  options.cluster.folder = std::filesystem::absolute(options.cluster.folder);
  options.cluster.programs = std::filesystem::absolute(options.cluster.programs);
  if (options.history.empty()) options.history = options.cluster.folder + "/history";
  return run_chaos(options);
}

void add_run(CLI::App& app, RunArguments& arguments) {
  ClusterOptions& cluster = arguments.options.cluster;
  app.add_option("--programs", cluster.programs, "Folder of dlm-server, dlm-router and dlm-chaos")
      ->required();
  app.add_option("--folder", cluster.folder, "For logs and journals")->required();
  app.add_flag("--namespaces", cluster.namespaces, "A network namespace for every host");
  app.add_option("--minutes", arguments.minutes, "Of faults and pauses between them")->capture_default_str();
  app.add_option("--seed", arguments.options.schedule.seed, "Of faults and clients")->capture_default_str();
  app.add_option("--faults", arguments.faults, "Kinds of faults")->delimiter(',')->capture_default_str();
  app.add_option("--history", arguments.options.history, "Where the history is written");
  app.add_option("--groups", cluster.groups)->check(CLI::Range(1, 9))->capture_default_str();
  app.add_option("--replicas", cluster.replicas)->check(CLI::Range(3, 9))->capture_default_str();
  app.add_option("--routers", cluster.routers)->check(CLI::Range(1, 9))->capture_default_str();
  app.add_option("--zookeepers", cluster.zookeepers)->check(CLI::IsMember({1, 3}))->capture_default_str();
  app.add_option("--workers", cluster.workers, "Processes full of clients")
      ->check(CLI::Range(1, 9))
      ->capture_default_str();
  app.add_option("--clients", cluster.clients, "In each worker")
      ->check(CLI::Range(1, 99))
      ->capture_default_str();
  app.add_option("--durability", cluster.durability, "Of the servers; fsync: a group_lost loses nothing")
      ->check(CLI::IsMember({"memory", "fsync"}))
      ->capture_default_str();
  app.add_option("--zookeeper-away", arguments.zookeeper_away_s, "Seconds without any ZooKeeper")
      ->capture_default_str();
  app.add_option("--freeze-max", arguments.options.schedule.freeze_ms_max, "Longest freeze, in ms")
      ->check(CLI::Range(100, 600'000))
      ->capture_default_str();
  app.add_option("--fifo-tolerance", arguments.fifo_tolerance_ms,
                 "How much earlier, in ms, one must have come for another not to be granted first")
      ->capture_default_str();
  app.add_option("--replay", arguments.options.replay, "Printed as the command to do this again");
}

void add_worker(CLI::App& app, WorkerOptions& options) {
  app.add_option("--name", options.name)->required();
  app.add_option("--journal", options.journal)->required();
  app.add_option("--routers", options.routers)->required()->delimiter(',');
  app.add_option("--groups", options.groups)->delimiter(',');
  app.add_option("--seed", options.seed);
  app.add_option("--clients", options.clients);
}

void add_relay(CLI::App& app, RelayOptions& options) {
  app.add_option("--address", options.address)->required();
  app.add_option("--listen", options.listen_port)->required();
  app.add_option("--to", options.to_port)->required();
  app.add_option("--delay", options.delay_ms);
  app.add_option("--jitter", options.jitter_ms);
  app.add_option("--seed", options.seed);
}

void add_updater(CLI::App& app, UpdaterOptions& options) {
  app.add_option("--router", options.router)->required();
  app.add_option("--client", options.client_id)->required();
  app.add_option("--resource", options.resource)->required();
  app.add_option("--fenced", options.fenced)->required();
  app.add_option("--unfenced", options.unfenced)->required();
  app.add_option("--ttl", options.ttl_ms);
}

void add_holder(CLI::App& app, HolderOptions& options) {
  app.add_option("--router", options.router)->required();
  app.add_option("--resource", options.resource)->required();
  app.add_option("--log", options.log)->required();
  app.add_option("--ttl", options.ttl_ms);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("Chaos with real processes", "dlm-chaos");
  app.require_subcommand(1);
  RunArguments run_arguments;
  CLI::App* run_command =
      app.add_subcommand("run", "Runs a cluster, clients and faults, and judges the history");
  add_run(*run_command, run_arguments);
  WorkerOptions worker;
  CLI::App* worker_command = app.add_subcommand("worker", "Clients, until SIGTERM");
  add_worker(*worker_command, worker);
  RelayOptions relay;
  CLI::App* relay_command =
      app.add_subcommand("relay", "Delivers what comes on one port to another one, later");
  add_relay(*relay_command, relay);
  UpdaterOptions updater;
  CLI::App* updater_command =
      app.add_subcommand("updater", "Adds to two registers under a lock, until it is killed");
  add_updater(*updater_command, updater);
  HolderOptions holder;
  CLI::App* holder_command = app.add_subcommand("holder", "Holds a lock until it is lost");
  add_holder(*holder_command, holder);
  std::string history;
  double fifo_tolerance_ms = kFifoToleranceMs;
  CLI::App* check_command = app.add_subcommand("check", "Judges a history");
  check_command->add_option("file", history)->required();
  check_command->add_option("--fifo-tolerance", fifo_tolerance_ms, "In ms")->capture_default_str();
  try {
    app.parse(argc, argv);
    if (*run_command) return run(run_arguments);
    if (*worker_command) return run_worker(worker);
    if (*relay_command) return run_relay(relay);
    if (*updater_command) return run_updater(updater);
    if (*holder_command) return run_holder(holder);
    CheckOptions options;
    options.fifo_tolerance_ns = static_cast<std::int64_t>(fifo_tolerance_ms * 1e6);
    return check_history(history, options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
}
