// dlm-server: one shard server. Everything it does is in ShardNode; here are options, signals and exit codes.
#include <glog/logging.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

#include "coordinator/lasting_coordinator.h"
#include "schema/wire/awake_cpus.h"
#include "schema/wire/event_loop.h"
#include "server/check_command.h"
#include "server/id_lock.h"
#include "server/server_options.h"
#include "server/shard_node.h"

namespace {

using namespace dlm;

int complain(const std::string& what) {
  std::cerr << "dlm-server: " << what << std::endl;
  return EXIT_FAILURE;
}

void begin_logging(const std::string& log_dir) {
  FLAGS_log_dir = log_dir;
  FLAGS_logtostderr = log_dir.empty();
  FLAGS_alsologtostderr = true;
  google::InitGoogleLogging("dlm-server");
}

std::string group_names(const std::vector<GroupId>& groups) {
  std::string names;
  for (GroupId group : groups) names += (names.empty() ? "" : ",") + to_string(group);
  return names;
}

int run(const server::ServerOptions& options) {
  wire::EventLoop loop;
  int result = EXIT_SUCCESS;
  bool stopping = false;
  std::unique_ptr<server::ShardNode> node;

  boost::asio::signal_set signals(loop.io(), SIGTERM, SIGINT);
  std::function<void()> wait_for_signal = [&] {
    signals.async_wait([&](const boost::system::error_code& cancelled, int signal) {
      if (cancelled) return;
      LOG(INFO) << "signal " << signal << (stopping ? ": stopping at once" : ": stopping");
      if (std::exchange(stopping, true)) return loop.stop();
      node->stop([&] { loop.stop(); });
      wait_for_signal();
    });
  };
  // SIGUSR1: the state of every group into the log, for whoever looks into a cluster that behaves oddly.
  boost::asio::signal_set inquiries(loop.io(), SIGUSR1);
  std::function<void()> wait_for_inquiry = [&] {
    inquiries.async_wait([&](const boost::system::error_code& cancelled, int) {
      if (cancelled) return;
      LOG(INFO) << "state:\n" << node->describe();
      wait_for_inquiry();
    });
  };

  server::ShardNode::Events events;
  events.on_ready = [&] {
    std::cout << "dlm-server " << options.node.id << " ready on " << node->address() << ", groups "
              << group_names(options.node.groups) << std::endl;
  };
  events.on_failed = [&](const std::string& why) {
    result = complain(why);
    loop.stop();
  };
  node = std::make_unique<server::ShardNode>(
      loop,
      coordinator::make_lasting_coordinator(
          [&] { return coordinator::make_zookeeper_coordinator(options.zookeeper, loop.executor()); },
          loop.executor()),
      options.node, std::move(events));
  wait_for_signal();
  wait_for_inquiry();
  try {
    node->start();
    loop.run(options.busy_poll);
  } catch (const std::system_error& error) {
    result = complain(std::string(error.what()) + "; give another --listen address");
  }
  signals.cancel();
  inquiries.cancel();
  node.reset();
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  if (argc > 1 && std::string_view(argv[1]) == "check") return server::run_check(argc - 1, argv + 1);
  int exit_code = EXIT_SUCCESS;
  const std::optional<server::ServerOptions> options = server::parse_arguments(argc, argv, exit_code);
  if (!options) return exit_code;
  begin_logging(options->log_dir);
  std::optional<wire::AwakeCpus> awake;
  try {
    if (options->keep_cpus_awake) awake.emplace();
  } catch (const std::system_error& error) {
    return complain(std::string("--keep-cpus-awake: ") + error.what());
  }
  if (const std::string caution = wire::AwakeCpus::caution(); awake && !caution.empty())
    LOG(WARNING) << "--keep-cpus-awake: " << caution;
  try {
    const coordinator::ZookeeperAddress& zookeeper = options->zookeeper.address;
    const server::IdLock id_lock(zookeeper.hosts + zookeeper.root, options->node.id);
    return run(*options);
  } catch (const std::system_error& error) {
    return complain("server id " + options->node.id +
                    " is taken by another process on this machine, which may be frozen: end it first (" +
                    error.what() + ")");
  }
}
