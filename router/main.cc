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
#include "schema/text.h"
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
  std::string queue_max = format_duration_ms(router::RouterOptions().queue_ms_max);
};

int complain(const std::string& what) {
  std::cerr << "dlm-router: " << what << '\n';
  return EXIT_FAILURE;
}

// Checks what was given; the text says what is wrong with it.
std::optional<std::string> digest(const Settings& settings, router::RouterProcessOptions& options,
                                  router::ProcessLimits& limits, coordinator::ZookeeperOptions& zookeeper,
                                  std::chrono::milliseconds& busy_poll) {
  const auto listen = parse_host_port(settings.listen);
  if (!listen) return "--listen takes host:port, not \"" + printable(settings.listen) + "\"";
  options.listen = *listen;
  if (!settings.advertise.empty() && !parse_host_port(settings.advertise)) {
    return "--advertise takes host:port, not \"" + printable(settings.advertise) + "\"";
  }
  options.advertise = settings.advertise;
  if (!settings.id.empty() && !coordinator::valid_server_id(settings.id)) {
    return "--id takes 1 to 64 of A-Z a-z 0-9 _ . -, not \"" + printable(settings.id) + "\"";
  }
  options.id = settings.id;
  std::string error;
  if (!coordinator::parse_zookeeper_address(settings.zookeeper, zookeeper.address, error)) {
    return "--zookeeper: " + error;
  }
  const auto timeout_ms = parse_duration_ms(settings.session_timeout);
  if (!timeout_ms || *timeout_ms < 100 || *timeout_ms > 600'000) {
    return "--session-timeout takes a duration of 100ms to 10m, like 4s, not \"" +
           printable(settings.session_timeout) + "\"";
  }
  zookeeper.session_timeout_ms = static_cast<std::uint32_t>(*timeout_ms);
  const auto memory = parse_size_bytes(settings.memory_max);
  if (!memory || *memory < router::kMemoryMaxMin) {
    return "--memory-max takes a size of " + format_size_bytes(router::kMemoryMaxMin) +
           " and more, like 1GiB, not \"" + printable(settings.memory_max) + "\"";
  }
  limits.memory_bytes_max = *memory;
  limits.connections_max = settings.connections_max;
  const auto queue_ms = parse_duration_ms(settings.queue_max);
  if (!queue_ms || *queue_ms < 10 || *queue_ms > 60'000) {
    return "--queue-max takes a duration of 10ms to 1m, like 500ms, not \"" + printable(settings.queue_max) +
           "\"";
  }
  limits.queue_ms_max = static_cast<std::uint32_t>(*queue_ms);
  const auto busy_poll_ms = parse_duration_ms(settings.busy_poll);
  if (!busy_poll_ms || *busy_poll_ms > kBusyPollMsMax) {
    return "--busy-poll takes a duration of 0ms to " + format_duration_ms(kBusyPollMsMax) +
           ", like 1ms, not \"" + printable(settings.busy_poll) + "\"";
  }
  busy_poll = std::chrono::milliseconds(*busy_poll_ms);
  // An earlier life of this id may be registered until its session ends.
  options.registration_patience_ms = zookeeper.session_timeout_ms * 2 + 5'000;
  return std::nullopt;
}

int run(const router::RouterProcessOptions& base, const coordinator::ZookeeperOptions& zookeeper,
        std::chrono::milliseconds busy_poll) {
  wire::EventLoop loop;
  router::RouterProcessOptions options = base;
  options.new_coordinator = [&] {
    return coordinator::make_zookeeper_coordinator(zookeeper, loop.executor());
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
  loop.run(busy_poll);
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(e);
    return complain(std::string(e.what()) + " (--help shows the options)");
  }

  router::RouterProcessOptions options;
  router::ProcessLimits limits;
  coordinator::ZookeeperOptions zookeeper;
  std::chrono::milliseconds busy_poll{};
  if (auto wrong = digest(settings, options, limits, zookeeper, busy_poll)) return complain(*wrong);
  limits.open_files = wire::raise_open_files_limit();
  if (auto fewer = apply(limits, options)) LOG(WARNING) << *fewer;
  return run(options, zookeeper, busy_poll);
}
