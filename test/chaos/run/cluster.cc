#include "test/chaos/run/cluster.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "test/chaos/workload/journal.h"

namespace dlm::chaos {
namespace {

constexpr int kReadySeconds = 90;
constexpr int kWorkersEndSeconds = 60;

// "s1" of a member's name "s1#42".
std::string server_of(const std::string& member) {
  return member.substr(0, member.find('#'));
}

}  // namespace

Cluster::Cluster(const ClusterOptions& options) : options_(options), hosts_(options.namespaces) {
  zookeeper_ = std::make_unique<ZookeeperEnsemble>(hosts_, options_.folder, options_.zookeepers);
  for (std::uint32_t number = 0; number < options_.groups * options_.replicas; ++number) add_server(number);
  for (std::uint32_t number = 0; number < options_.routers; ++number) add_router(number);
  for (std::uint32_t number = 0; number < options_.workers; ++number) hosts_.add(worker_name(number));
}

Cluster::~Cluster() = default;

void Cluster::add_server(std::uint32_t number) {
  const std::string name = "s" + std::to_string(number + 1);
  hosts_.add(name);
  std::string ring;
  for (std::uint32_t group = 0; group < options_.groups; ++group)
    ring += (group == 0 ? "" : ",") + group_name(group);
  std::vector<std::string> command = {"env",
                                      "DLM_FAILPOINTS=file:" + options_.folder + "/" + name + ".failpoints",
                                      options_.programs + "/dlm-server",
                                      "--id",
                                      name,
                                      "--groups",
                                      group_name(number / options_.replicas),
                                      "--init-ring",
                                      ring,
                                      "--listen",
                                      hosts_.address(name) + ":" + std::to_string(hosts_.port(kServerPort)),
                                      "--zookeeper",
                                      zookeeper_->address(),
                                      "--session-timeout",
                                      options_.session_timeout,
                                      "--durability",
                                      options_.durability};
  if (options_.durability == "fsync") {
    command.push_back("--data-dir");
    command.push_back(options_.folder + "/" + name + ".data");
  }
  processes_[name] =
      std::make_unique<Process>(name, hosts_.on(name, command), options_.folder + "/" + name + ".log");
}

void Cluster::add_router(std::uint32_t number) {
  const std::string name = "r" + std::to_string(number + 1);
  hosts_.add(name);
  router_ports_[name] = hosts_.port(kRouterPort);
  const std::vector<std::string> command = {options_.programs + "/dlm-router",
                                            "--id",
                                            name,
                                            "--listen",
                                            hosts_.address(name) + ":" + std::to_string(router_ports_[name]),
                                            "--zookeeper",
                                            zookeeper_->address(),
                                            "--session-timeout",
                                            options_.session_timeout};
  processes_[name] =
      std::make_unique<Process>(name, hosts_.on(name, command), options_.folder + "/" + name + ".log");
}

std::string Cluster::router_addresses() const {
  std::string all;
  for (const auto& [name, port] : router_ports_) {
    all += (all.empty() ? "" : ",") + hosts_.address(name) + ":" + std::to_string(port);
  }
  return all;
}

void Cluster::up() {
  zookeeper_->start();
  for (auto& [name, process] : processes_) process->start();
  for (auto& [name, process] : processes_) {
    wait_until(name + " is ready", kReadySeconds,
               [&process = *process] { return process.said(" ready on "); });
  }
  ClientOptions options;
  for (const auto& [name, port] : router_ports_)
    options.routers.push_back(hosts_.address(name) + ":" + std::to_string(port));
  options.client_id = "chaos";
  options.request_timeout = std::chrono::seconds(2);
  client_ = std::make_unique<Client>(std::move(options));
  for (std::uint32_t group = 0; group < options_.groups; ++group) {
    wait_until(group_name(group) + " is whole", kReadySeconds, [&] { return whole(group); });
  }
}

// --- workers ----------------------------------------------------------------------------------------------

void Cluster::start_workers() {
  for (std::uint32_t number = 0; number < options_.workers; ++number) start_worker(number);
}

void Cluster::start_worker(std::uint32_t number) {
  const std::string host = worker_name(number);
  const std::string life = std::to_string(lives_.size());
  std::string groups;
  for (std::uint32_t group = 0; group < options_.groups; ++group)
    groups += (group == 0 ? "" : ",") + group_name(group);
  lives_.push_back({number, options_.folder + "/journal-" + host + "-" + life, 0});
  const std::vector<std::string> command = {options_.programs + "/dlm-chaos",
                                            "worker",
                                            "--name",
                                            host + "-" + life + "-",
                                            "--journal",
                                            lives_.back().journal,
                                            "--routers",
                                            router_addresses(),
                                            "--groups",
                                            groups,
                                            "--seed",
                                            std::to_string(options_.seed * 100 + lives_.size()),
                                            "--clients",
                                            std::to_string(options_.clients)};
  processes_[host] =
      std::make_unique<Process>(host, hosts_.on(host, command), options_.folder + "/" + host + ".log");
  processes_[host]->start();
}

void Cluster::end_life(std::uint32_t number) {
  for (WorkerLife& life : lives_) {
    if (life.number == number && life.over_ns == 0) life.over_ns = now_ns();
  }
}

void Cluster::kill_worker(std::uint32_t number) {
  process(worker_name(number)).kill();
  end_life(number);
}

void Cluster::finish_workers(History& history) {
  for (std::uint32_t number = 0; number < options_.workers; ++number)
    process(worker_name(number)).terminate();
  for (std::uint32_t number = 0; number < options_.workers; ++number) {
    Process& worker = process(worker_name(number));
    try {
      wait_until(worker.name() + " ends", kWorkersEndSeconds, [&] { return !worker.running(); });
    } catch (const std::runtime_error&) {
      worker.kill();  // what it was about to do is unknown
    }
    end_life(number);
  }
  for (const WorkerLife& life : lives_) {
    if (std::filesystem::exists(life.journal)) read_journal(life.journal, life.over_ns, history);
  }
}

// --- the state of things ----------------------------------------------------------------------------------

std::vector<std::string> Cluster::servers_of(std::uint32_t group) const {
  std::vector<std::string> names;
  for (std::uint32_t replica = 0; replica < options_.replicas; ++replica) {
    names.push_back("s" + std::to_string(group * options_.replicas + replica + 1));
  }
  return names;
}

std::vector<std::string> Cluster::routers() const {
  std::vector<std::string> names;
  for (const auto& [name, port] : router_ports_) names.push_back(name);
  return names;
}

std::vector<std::string> Cluster::zookeepers() const {
  std::vector<std::string> names;
  for (std::size_t index = 0; index < zookeeper_->size(); ++index) names.push_back(zookeeper_->host(index));
  return names;
}

void Cluster::set_failpoint(const std::string& name, const std::string& setting) {
  // Renamed into place, so that no process reads half of it.
  const std::string path = options_.folder + "/" + name + ".failpoints";
  std::ofstream(path + ".new") << setting << '\n';
  std::filesystem::rename(path + ".new", path);
}

std::optional<GroupState> Cluster::state_of(std::uint32_t group) {
  const Result<ClusterReport> report = client_->status();
  if (!report) return std::nullopt;
  for (const GroupReport& told : report.value().groups) {
    if (to_string(told.group) != group_name(group) || !told.problem.empty()) continue;
    GroupState state;
    state.primary = server_of(told.primary);
    for (const std::string& member : told.in_sync) state.in_sync.push_back(server_of(member));
    return state;
  }
  return std::nullopt;
}

bool Cluster::whole(std::uint32_t group) {
  const std::optional<GroupState> state = state_of(group);
  return state && !state->primary.empty() && state->in_sync.size() == options_.replicas;
}

std::vector<std::string> Cluster::casualties() {
  std::vector<std::string> found;
  for (auto& [name, process] : processes_) {
    if (process->died())
      found.push_back(name + " ended by itself; the end of its log:\n" + test::tail_of(process->log(), 1500));
    std::ifstream file(process->log(), std::ios::binary);
    const std::string log(std::istreambuf_iterator<char>(file), {});
    for (const char* sign :
         {"Check failed", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:"}) {
      const std::size_t at = log.find(sign);
      if (at != std::string::npos) found.push_back(name + " said: " + log.substr(at, 1500));
    }
  }
  return found;
}

}  // namespace dlm::chaos
