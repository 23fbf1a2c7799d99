// `dlm dev`: the service to try things out with.
#include <glog/logging.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "client/cli/cli.h"
#include "client/cli/dev.h"
#include "client/cli/text_output.h"

namespace dlm::cli {
namespace {

struct DevArguments {
  DevOptions cluster;
  std::string listen = "127.0.0.1:7700";
  std::string durability = "memory";
};

// Where a `dlm` without options looks.
bool found_by_default(const std::string& address) {
  for (int port = kRouterPortDefault; port < kRouterPortDefault + 4; ++port) {
    if (address == "127.0.0.1:" + std::to_string(port)) return true;
  }
  return false;
}

void print_ready(const Globals& globals, const DevOptions& options, const std::string& router) {
  if (globals.json) {
    print(JsonObject{{"router", router},
                     {"groups", options.groups},
                     {"spare_groups", options.spare_groups},
                     {"durability", options.data_dir.empty() ? "memory" : "fsync"},
                     {"replicas", options.replicas}});
  } else {
    std::string setting =
        found_by_default(router) ? "" : "  export DLM_ROUTERS=" + shell_quoted(router) + "\n";
    std::string spare =
        options.spare_groups == 0 ? "" : " and " + std::to_string(options.spare_groups) + " to spare";
    std::string grow = options.spare_groups == 0
                           ? ""
                           : "  dlm ring add g" + std::to_string(options.groups + 1) + "\n  dlm ring show\n";
    print("dlm dev is ready: router on " + router + ", groups " + std::to_string(options.groups) + spare +
          ", replicas of each " + std::to_string(options.replicas) + "\n\nTry in another terminal:\n" +
          setting +
          "  dlm lock orders/42 -- sh -c 'echo I hold it, token $DLM_TOKEN; sleep 10'\n"
          "  dlm inspect orders/42\n"
          "  dlm acquire orders/43 --client w7 --lease 60s\n"
          "  dlm ls\n"
          "  dlm status\n" +
          grow +
          "\n"
          "Ctrl-C ends it. " +
          (options.data_dir.empty() ? "Everything is in memory, and gone then.\n"
                                    : "Everything is in " + printable(options.data_dir) +
                                          ", and there again when it is started with it.\n"));
  }
  std::fflush(stdout);
}

int cannot_listen(const Globals& globals, const DevArguments& arguments, const std::system_error& error) {
  if (error.code() == std::errc::address_in_use) {
    std::string port = std::to_string(arguments.cluster.listen.port);
    std::string next =
        std::to_string(arguments.cluster.listen.port == 65'535 ? 7700 : arguments.cluster.listen.port + 1);
    return fail(globals, ExitCode::system, "system",
                "port " + port + " of " + arguments.cluster.listen.host +
                    " is in use (by another `dlm dev`?); stop that, or choose another port: --listen " +
                    arguments.cluster.listen.host + ":" + next + " (port 0: any free one)");
  }
  return fail(
      globals, ExitCode::system, "system",
      "can't listen on " + arguments.listen + ": " + error.code().message() + "; choose another --listen");
}

void begin_logging(bool verbose) {
  FLAGS_logtostderr = true;
  FLAGS_minloglevel = verbose ? google::GLOG_INFO : google::GLOG_ERROR;
  google::InitGoogleLogging("dlm");
}

int run_dev(const Globals& globals, const DevArguments& arguments) {
  begin_logging(globals.verbose);
  wire::EventLoop loop;
  std::optional<DevCluster> cluster;
  try {
    if (!arguments.cluster.data_dir.empty()) std::filesystem::create_directories(arguments.cluster.data_dir);
  } catch (const std::system_error& error) {
    return fail(globals, ExitCode::system, "system", error.what());
  }
  try {
    cluster.emplace(loop, arguments.cluster);
  } catch (const std::system_error& error) {
    return cannot_listen(globals, arguments, error);
  } catch (const std::runtime_error& error) {
    return fail(globals, ExitCode::system, "system", error.what());
  }

  int code = number_of(ExitCode::ok);
  bool stopping = false;
  boost::asio::signal_set signals(loop.io(), SIGINT, SIGTERM, SIGHUP);
  std::function<void()> wait_for_signal = [&] {
    signals.async_wait([&](const boost::system::error_code& error, int) {
      if (error) return;
      if (std::exchange(stopping, true)) return loop.stop();  // the second one: no leave-taking
      cluster->stop([&] { loop.stop(); });
      wait_for_signal();
    });
  };
  wait_for_signal();
  try {
    cluster->start({[&] { print_ready(globals, arguments.cluster, cluster->router_address()); },
                    [&](const std::string& why) {
                      code = fail(globals, ExitCode::internal, "failed", why);
                      loop.stop();
                    }});
  } catch (const std::system_error& error) {
    return cannot_listen(globals, arguments, error);
  }
  loop.run();
  return code;
}

}  // namespace

void add_dev(CLI::App& app, const Globals& globals, Action& action) {
  auto* command =
      app.add_subcommand("dev", "Run a whole service in this process, to try things out; Ctrl-C ends it");
  auto arguments = std::make_shared<DevArguments>();
  command->add_option("--groups", arguments->cluster.groups, "Shard groups; default 2")
      ->check(CLI::Range(1, 64))
      ->type_name("NUMBER");
  command
      ->add_option(
          "--spare-groups", arguments->cluster.spare_groups,
          "More groups, that are served but not in the ring yet: `dlm ring add` has them join. Default 0")
      ->check(CLI::Range(0, 64))
      ->type_name("NUMBER");
  command->add_option("--replicas", arguments->cluster.replicas, "Replicas of each group; default 3")
      ->check(CLI::Range(1, 9))
      ->type_name("NUMBER");
  command
      ->add_option("--listen", arguments->listen,
                   "Where the router listens; port 0: a free one. Default 127.0.0.1:7700")
      ->type_name("HOST:PORT");
  add_duration(*command, "--lease-min", arguments->cluster.lease_ms_min,
               "Shortest TTL and lease allowed; default 1s", 1, kWaitForeverMs - 1);
  add_duration(*command, "--lease-max", arguments->cluster.lease_ms_max,
               "Longest TTL and lease allowed; default 1h", 1, kWaitForeverMs - 1);
  command
      ->add_option("--data-dir", arguments->cluster.data_dir,
                   "Keep everything in this folder, safe against the loss of power: --durability fsync")
      ->type_name("DIR");
  command->add_option("--durability", arguments->durability, "memory or fsync; default memory")
      ->check(CLI::IsMember({"memory", "fsync"}))
      ->type_name("MODE");
  const auto quota = [&](const char* name, std::uint32_t& value, const char* about) {
    command->add_option(name, value, about + std::string("; default ") + std::to_string(value))
        ->check(CLI::Range(1, 1'000'000'000))
        ->type_name("NUMBER");
  };
  server::LockTableLimits& quotas = arguments->cluster.quotas;
  quota("--sessions-max", quotas.sessions_max, "Quota: sessions in a group");
  quota("--holds-per-client-max", quotas.holds_per_client_max,
        "Quota: locks that a client holds or waits for in a group");
  quota("--waits-per-client-max", quotas.waits_per_client_max,
        "Quota: requests of a client that wait in a group");
  command->footer(
      "Without --data-dir nothing is kept: no ZooKeeper, no disk. With --json the line that says it is ready "
      "is "
      "an object.\n"
      "Examples:\n"
      "  dlm dev\n"
      "  dlm dev --durability fsync --data-dir ./dlm-data      # locks outlive Ctrl-C, kill -9 and the "
      "power\n"
      "  dlm dev --spare-groups 1      # then: dlm ring add g3\n"
      "  dlm dev --groups 4 --replicas 1 --listen 127.0.0.1:0");
  command->callback([arguments, &globals, &action] {
    auto listen = parse_host_port(arguments->listen);
    if (!listen) {
      throw CLI::ValidationError(
          "--listen", "'" + printable(arguments->listen) + "' is not host:port, as in 127.0.0.1:7700");
    }
    arguments->cluster.listen = *listen;
    if ((arguments->durability == "fsync") != !arguments->cluster.data_dir.empty()) {
      throw CLI::ValidationError("--durability", "fsync and --data-dir DIR belong together");
    }
    if (arguments->cluster.lease_ms_min > arguments->cluster.lease_ms_max) {
      throw CLI::ValidationError("--lease-min", "is above --lease-max");
    }
    action = [arguments, &globals] { return run_dev(globals, *arguments); };
  });
}

}  // namespace dlm::cli
