// dlm-router: between clients and shard groups. Needs ZooKeeper; keeps nothing.
#include <glog/logging.h>

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "coordinator/zookeeper_coordinator.h"
#include "router/limits.h"
#include "router/router_process.h"
#include "schema/limits.h"
#include "schema/option_values.h"
#include "schema/text.h"
#include "schema/wire/awake_cpus.h"
#include "schema/wire/event_loop.h"
#include "schema/wire/open_files.h"

namespace {

using namespace dlm;

constexpr const char* kAbout =
    "A router of DistributedLockManager: clients connect to it, it finds the group of each lock, and the "
    "group's primary. "
    "Any number of routers serve a cluster; none keeps anything that its end could lose.";
constexpr const char* kExample =
    "Example:\n"
    "  dlm-router --listen 10.0.0.5:7700 --zookeeper zk1:2181,zk2:2181,zk3:2181/dlm\n"
    "Options may also stand in a file (--config router.toml), as lines like: listen = \"10.0.0.5:7700\"";

struct Settings {
  std::string id;
  std::string listen = "127.0.0.1:" + std::to_string(kRouterPortDefault);
  std::string advertise;
  std::string zookeeper;
  std::string session_timeout = "4s";
  std::string memory_max = format_size_bytes(router::kMemoryMaxDefault);
  std::size_t connections_max = 0;
  std::string busy_poll = "0ms";
  bool keep_cpus_awake = false;
  std::string queue_max = format_duration_ms(router::RouterOptions().queue_ms_max);
};

int complain(const std::string& what) {
  std::cerr << "dlm-router: " << what << '\n';
  return EXIT_FAILURE;
}

struct Checked {
  router::RouterProcessOptions process;
  router::ProcessLimits limits;
  coordinator::ZookeeperOptions zookeeper;
  std::chrono::milliseconds busy_poll{};
};

// What was given, checked; the first mistake is thrown for CLI11 to tell.
Checked digest(const Settings& settings) {
  Checked checked;
  checked.process.listen = host_port_option("--listen", settings.listen);
  if (!settings.advertise.empty()) host_port_option("--advertise", settings.advertise);
  checked.process.advertise = settings.advertise;
  if (!settings.id.empty() && !coordinator::valid_server_id(settings.id))
    refuse_option("--id", "1 to 64 of A-Z a-z 0-9 _ . -", settings.id);
  checked.process.id = settings.id;
  std::string error;
  if (!coordinator::parse_zookeeper_address(settings.zookeeper, checked.zookeeper.address, error))
    throw CLI::ValidationError("--zookeeper", error);
  checked.zookeeper.session_timeout_ms =
      duration_option_ms("--session-timeout", settings.session_timeout, 100, 600'000);
  const auto memory = parse_size_bytes(settings.memory_max);
  if (!memory || *memory < router::kMemoryMaxMin) {
    refuse_option("--memory-max",
                  "a size of " + format_size_bytes(router::kMemoryMaxMin) + " and more, like 1GiB",
                  settings.memory_max);
  }
  checked.limits.memory_bytes_max = *memory;
  checked.limits.connections_max = settings.connections_max;
  checked.limits.queue_ms_max = duration_option_ms("--queue-max", settings.queue_max, 10, 60'000);
  checked.busy_poll =
      std::chrono::milliseconds(duration_option_ms("--busy-poll", settings.busy_poll, 0, kBusyPollMsMax));
  // An earlier life of this id may be registered until its session ends.
  checked.process.registration_patience_ms = checked.zookeeper.session_timeout_ms * 2 + 5'000;
  return checked;
}

int run(Checked& checked) {
  wire::EventLoop loop;
  router::RouterProcessOptions& options = checked.process;
  options.new_coordinator = [&] {
    return coordinator::make_zookeeper_coordinator(checked.zookeeper, loop.executor());
  };
  std::unique_ptr<router::RouterProcess> process;
  try {
    process = std::make_unique<router::RouterProcess>(loop, options.new_coordinator(), options);
  } catch (const std::system_error& e) {
    return complain(std::string(e.what()) + "; give another --listen address");
  }
  int result = EXIT_SUCCESS;
  auto stop = [&] { process->stop([&] { loop.stop(); }); };
  boost::asio::signal_set signals(loop.io(), SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code& cancelled, int signal) {
    if (cancelled) return;
    LOG(INFO) << "signal " << signal << ": stopping";
    stop();
  });
  process->start({.on_ready =
                      [&] {
                        std::cout << "dlm-router " << process->id() << " ready on " << process->address()
                                  << std::endl;
                      },
                  .on_failed =
                      [&](const std::string& why) {
                        result = complain(why);
                        stop();
                      }});
  loop.run(checked.busy_poll);
  process.reset();
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  google::InitGoogleLogging("dlm-router");
  FLAGS_logtostderr = true;
  std::signal(SIGPIPE, SIG_IGN);

  Settings settings;
  CLI::App app(kAbout, "dlm-router");
  app.footer(kExample);
  app.set_version_flag("--version", DLM_VERSION);
  app.set_config("--config", "", "File with options");
  app.add_option("--id", settings.id, "Name of this router in the cluster; by default made of its address");
  app.add_option("--listen", settings.listen, "host:port for clients; port 0: a free one")
      ->capture_default_str();
  app.add_option("--advertise", settings.advertise,
                 "host:port under which clients reach it, when it is not the listen address");
  app.add_option("--zookeeper", settings.zookeeper, "host:port,…[/path] of the cluster's ZooKeeper")
      ->required();
  app.add_option("--session-timeout", settings.session_timeout, "of the session with ZooKeeper")
      ->capture_default_str();
  app.add_option("--memory-max", settings.memory_max,
                 "Bound of what clients can make it keep: connections, unanswered operations, unread answers")
      ->capture_default_str();
  app.add_option("--connections-max", settings.connections_max,
                 "Client connections; by default as many as --memory-max and the limit on open files allow");
  app.add_option("--queue-max", settings.queue_max,
                 "Acquires that would wait longer than this for their group are refused as overloaded")
      ->capture_default_str();
  app.add_option(
         "--busy-poll", settings.busy_poll,
         "Wait awake for so long before sleeping, on processors that nobody else wants: faster answers "
         "for processor time")
      ->capture_default_str();
  app.add_flag("--keep-cpus-awake", settings.keep_cpus_awake,
               "Let no processor of this machine sleep: faster answers for power. Needs the right to write "
               "/dev/cpu_dma_latency, as root has it");
  Checked checked;
  try {
    app.parse(argc, argv);
    checked = digest(settings);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(e);
    return complain(std::string(e.what()) + " (--help shows the options)");
  }

  checked.limits.open_files = wire::raise_open_files_limit();
  if (auto fewer = apply(checked.limits, checked.process)) LOG(WARNING) << *fewer;
  std::optional<wire::AwakeCpus> awake;
  try {
    if (settings.keep_cpus_awake) awake.emplace();
  } catch (const std::system_error& e) {
    return complain(std::string("--keep-cpus-awake: ") + e.what());
  }
  if (const std::string caution = wire::AwakeCpus::caution(); awake && !caution.empty())
    LOG(WARNING) << "--keep-cpus-awake: " << caution;
  return run(checked);
}
