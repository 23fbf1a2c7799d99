// Simulation: the cluster of a run, and what faults do to it.
#include "test/sim/simulation.h"

#include <algorithm>
#include <utility>

namespace dlm::sim {
namespace {

constexpr TimeUs kSupervision = 50 * kMs;
constexpr TimeUs kGivenUpEnd = kSecond;  // after the faults

Clock some_clock(Random& random, Clock::Kind kind, std::uint32_t drift_ppm_max) {
  const auto drift = static_cast<std::int64_t>(random.below(2 * drift_ppm_max + 1)) - drift_ppm_max;
  return Clock(kind, drift, 1'000 + random.below(1'000'000));
}

}  // namespace

Simulation::Simulation(const SimulationOptions& options)
    : Simulation(options, [&] {
        Random random(options.seed);
        return draw_shape(options, random);
      }()) {}

Simulation::Simulation(const SimulationOptions& options, const Shape& shape)
    : options_(options),
      world_(options.seed * 0x9e3779b97f4a7c15U + 1),
      shape_(shape),
      network_(world_, shape.delays),
      supervision_(world_.random.fork()),
      beliefs_(world_),
      cluster_checks_(world_) {
  world_.trace.print(options.trace);
  build();
}

// Processes that go one after the other must not tell each other of it.
Simulation::~Simulation() {
  network_.end();
}

void Simulation::build() {
  coordinator::RingRecord ring;
  ring.version = 1;
  for (std::uint32_t i = 1; i <= shape_.groups; ++i) {
    groups_.emplace_back(i);
    if (i <= shape_.groups - shape_.spare_groups) ring.groups.push_back({GroupId(i), shape_.weights.front()});
  }
  ensemble_ = std::make_unique<Ensemble>(world_, network_, ring);
  ensemble_->observe(
      [this](GroupId group, const auto& before, const auto& now) { on_record(group, before, now); });
  network_.add(*ensemble_);
  ensemble_->start();
  build_checks();
  for (std::uint32_t i = 1; i <= shape_.servers; ++i) {
    const std::string id = "s" + std::to_string(i);
    servers_.push_back(add_server(id, id));
  }
  build_routers_and_clients();
  if (!shape_.changes_ring()) return;
  RingAdmin::Options options{groups_, shape_.weights, shape_.session_timeout_ms};
  auto admin = std::make_unique<RingAdmin>(
      world_, network_, some_clock(world_.random, Clock::Kind::monotonic, shape_.drift_ppm_max), options);
  ring_admin_ = admin.get();
  add(std::move(admin));
}

void Simulation::build_checks() {
  for (GroupId group : groups_) {
    GroupChecks::Hooks hooks;
    hooks.on_end = [this](const std::string& resource, const LockModel::Hold& hold) {
      beliefs_.check_ended(resource, hold);
    };
    hooks.on_wait_expired = [this](const OperationName& wait) { workload_->check_wait_expired(wait); };
    hooks.record = [this](GroupId of) { return ensemble_->view().groups.at(of).config; };
    checks_[group] = std::make_unique<GroupChecks>(world_, group, cluster_checks_, std::move(hooks));
  }
  workload_ = std::make_unique<Workload>(
      world_, shape_.workload, beliefs_, cluster_checks_, [this](const std::string& resource) {
        const GroupId owner = cluster_checks_.arcs().owner_of(coordinator::hash_of(resource));
        return owner ? checks_.at(owner)->model() : nullptr;
      });
}

void Simulation::build_routers_and_clients() {
  std::vector<std::string> routers;
  for (std::uint32_t i = 1; i <= shape_.routers; ++i) {
    RouterNode::Options options;
    options.groups = groups_;
    options.session_timeout_ms = shape_.session_timeout_ms;
    options.turn_delay = shape_.turn_delay;
    options.doubled_percent = shape_.doubled_percent;
    options.doubled_delay = shape_.duration / 4;
    routers.push_back("router" + std::to_string(i));
    auto router = std::make_unique<RouterNode>(
        world_, network_, routers.back(),
        some_clock(world_.random, Clock::Kind::monotonic, shape_.drift_ppm_max), options);
    routers_.push_back(router.get());
    add(std::move(router));
  }
  for (std::uint32_t i = 1; i <= shape_.clients; ++i) {
    ClientProcess::Options options;
    options.routers = routers;
    options.core.ttl_ms = shape_.ttl_ms;
    options.doubled_percent = shape_.doubled_percent;
    auto client = std::make_unique<ClientProcess>(
        world_, network_, "c" + std::to_string(i),
        some_clock(world_.random, Clock::Kind::boottime, shape_.drift_ppm_max), options, *workload_);
    clients_.push_back(client.get());
    add(std::move(client));
  }
}

void Simulation::add(std::unique_ptr<Process> process) {
  network_.add(*process);
  restart_at_[process->node()] = world_.random.below(200 * kMs);
  owned_.push_back(std::move(process));
}

ServerProcess* Simulation::add_server(const std::string& id, const std::string& host) {
  ServerProcess::Options options{id,
                                 &incarnations_[id],
                                 groups_,
                                 shape_.group,
                                 shape_.limits,
                                 shape_.session_timeout_ms,
                                 shape_.turn_delay,
                                 shape_.disk_delay};
  auto server = std::make_unique<ServerProcess>(
      world_, network_, host, some_clock(world_.random, Clock::Kind::boottime, shape_.drift_ppm_max), options,
      *this);
  ServerProcess* added = server.get();
  add(std::move(server));
  return added;
}

// --- the cluster -----------------------------------------------------------------------------------------

std::vector<Process*> Simulation::everybody() const {
  std::vector<Process*> all;
  for (const auto& process : owned_) all.push_back(process.get());
  return all;
}

ServerProcess* Simulation::primary_of(GroupId group) const {
  auto record = ensemble_->view().groups.find(group);
  if (record == ensemble_->view().groups.end()) return nullptr;
  for (ServerProcess* server : servers_)
    if (server->alive() && server->member() == record->second.config.primary) return server;
  return nullptr;
}

ServerProcess* Simulation::some_backup_of(GroupId group) const {
  auto record = ensemble_->view().groups.find(group);
  if (record == ensemble_->view().groups.end()) return nullptr;
  for (ServerProcess* server : servers_) {
    if (server->alive() && record->second.config.has(server->member()) &&
        server->member() != record->second.config.primary)
      return server;
  }
  return nullptr;
}

std::size_t Simulation::in_sync(GroupId group) const {
  auto record = ensemble_->view().groups.find(group);
  if (record == ensemble_->view().groups.end()) return 0;
  return static_cast<std::size_t>(
      std::count_if(servers_.begin(), servers_.end(), [&](const ServerProcess* server) {
        return server->alive() && record->second.config.has(server->member());
      }));
}

bool Simulation::is_lost(GroupId group) const {
  return ensemble_->view().groups.contains(group) && in_sync(group) == 0;
}

bool Simulation::is_spare(const ServerProcess& server) const {
  return std::all_of(groups_.begin(), groups_.end(), [&](GroupId group) {
    auto record = ensemble_->view().groups.find(group);
    if (record == ensemble_->view().groups.end() || !record->second.config.has(server.member())) return true;
    return in_sync(group) > 1;
  });
}

bool Simulation::is_whole() const {
  return what_is_missing().empty();
}

void Simulation::crash(Process& process, TimeUs down, bool power_lost) {
  if (!process.alive()) return;
  if (auto* server = dynamic_cast<ServerProcess*>(&process)) server->lose_power(power_lost);
  network_.process_died(process, power_lost);
  process.crash();
  restart_at_[process.node()] = world_.now() + down;
  if (!power_lost) return;
  without_power_[process.node()] = true;
  for (Process* other : network_.processes()) {
    if (other == &process) continue;
    network_.cut(process, *other);
    network_.cut(*other, process);
  }
}

void Simulation::restart(Process& process) {
  restart_at_.erase(process.node());
  if (std::exchange(without_power_[process.node()], false)) {
    for (Process* other : network_.processes()) {
      if (other == &process) continue;
      network_.mend(process, *other);
      network_.mend(*other, process);
    }
  }
  // A client comes back under its own name, or another program takes its place.
  if (auto* client = dynamic_cast<ClientProcess*>(&process); client != nullptr && supervision_.one_in(2))
    client->set_client_id(client->name() + "." + std::to_string(client->life() + 1));
  process.start();
}

void Simulation::start_elsewhere(ServerProcess& old) {
  given_up_.push_back(&old);
  ServerProcess* next = add_server(old.id(), old.id() + "-" + std::to_string(given_up_.size()));
  // What mends a host without power mends its way to every other host.
  for (Process* other : network_.processes()) {
    if (!without_power_[other->node()]) continue;
    network_.cut(*next, *other);
    network_.cut(*other, *next);
  }
  std::replace(servers_.begin(), servers_.end(), &old, next);
  world_.note(old.name(), "is given up: " + old.id() + " is started on " + next->name());
  restart(*next);
}

bool Simulation::can_start_elsewhere() const {
  const auto alive = [](const ServerProcess* old) { return old->alive(); };
  return owned_.size() < kProcessesMax && std::none_of(given_up_.begin(), given_up_.end(), alive);
}

bool Simulation::is_given_up(const Process& process) const {
  return std::find(given_up_.begin(), given_up_.end(), &process) != given_up_.end();
}

// Whoever died is started again after a while.
void Simulation::supervise() {
  for (const auto& process : owned_) {
    if (process->alive()) continue;
    if (is_given_up(*process)) continue;
    if (closing_ && dynamic_cast<ClientProcess*>(process.get()) != nullptr) continue;
    auto [due, is_new] = restart_at_.try_emplace(process->node(), 0);
    if (is_new) due->second = world_.now() + supervision_.below(2 * kSecond);
    if (world_.now() >= due->second || faults_stopped_) restart(*process);
  }
  world_.after(kSupervision, [this] { supervise(); });
}

void Simulation::heal_after(TimeUs time, std::function<void()> heal) {
  const std::uint64_t number = ++last_heal_;
  heals_[number] = std::move(heal);
  world_.after(time, [this, number] {
    auto found = heals_.extract(number);
    if (!found.empty()) found.mapped()();
  });
}

void Simulation::stop_faults() {
  world_.note("-", "the faults stop");
  faults_stopped_ = true;
  while (!heals_.empty()) heals_.extract(heals_.begin()).mapped()();
  network_.set_filter({});
  // Else one that was given up might win its id back, and keep the next one out for ever.
  world_.after(kGivenUpEnd, [this] {
    for (ServerProcess* old : given_up_) crash(*old, 0);
  });
}

}  // namespace dlm::sim
