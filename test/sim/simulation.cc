#include "test/sim/simulation.h"

#include <algorithm>
#include <utility>

#include "test/sim/faults.h"
#include "test/sim/scenarios.h"

namespace dlm::sim {
namespace {

constexpr TimeUs kSettleTime = 2 * kSecond;   // before the first fault
constexpr TimeUs kSafetyMax = 600 * kSecond;  // groups that are lost over and over serve hardly anybody
// For everybody to be served and every replica to be back when the faults have stopped: ends of sessions and
// leases, then takeovers, snapshots, and all the waits in line.
constexpr TimeUs kLivenessMax = 90 * kSecond;
constexpr TimeUs kGoneMax = 30 * kSecond;  // for what closed clients leave behind
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

std::string Simulation::what_is_missing() const {
  std::string missing;
  for (GroupId group : groups_) {
    if (in_sync(group) != servers_.size()) {
      missing += "\n  " + to_string(group) + " has " + std::to_string(in_sync(group)) + " members in sync";
      continue;
    }
    const ServerProcess* primary = primary_of(group);
    if (primary == nullptr || !primary->serves(group)) {
      missing += "\n  nobody serves " + to_string(group);
      continue;
    }
    const LogIndex last = primary->core(group)->replica().last_index();
    for (const ServerProcess* server : servers_) {
      const server::GroupCore* core = server->core(group);  // null: it is in the set and begins another life
      if (core != nullptr && core->replica().applied_index() == last) continue;
      missing += "\n  " + server->name() + " has not applied all of " + to_string(group);
    }
  }
  return missing;
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

// --- checks that need the whole --------------------------------------------------------------------------

void Simulation::on_submit(const server::MemberName& by, const server::GroupCore& core,
                           std::span<const Operation> operations) {
  checks_.at(core.group())->on_submit(by, core, operations);
}

void Simulation::on_turn(const server::MemberName& by, const server::GroupCore& core,
                         const server::GroupOutput& output) {
  checks_.at(core.group())->on_turn(by, core, output);
  if (turn_watcher_) turn_watcher_(core, output);
  if (core.pending_operations() > 2 * shape_.group.pending_operations_max)
    world_.violated(to_string(by) + " has more operations pending than its limit");
}

void Simulation::on_return(const server::MemberName& member) {
  for (auto& [group, checks] : checks_) checks->on_return(member);
}

// What a change of a group's record may be.
void Simulation::on_record(GroupId group, const coordinator::VersionedConfig& before,
                           const coordinator::VersionedConfig& now) {
  const auto violated = [&](const std::string& what) {
    world_.violated("the record of " + to_string(group) + " " + what + ": " + to_json(before.config) +
                    " then " + to_json(now.config));
  };
  if (now.config.primary && !now.config.has(now.config.primary))
    violated("names a primary that is not in sync");
  if (before.version == 0) return;
  if (now.config.era < before.config.era) violated("goes back in eras");
  const bool same_primary = now.config.primary == before.config.primary;
  if (now.config.epoch == before.config.epoch) {
    if (!same_primary) violated("changes the primary within an epoch");
    return;
  }
  if (now.config.epoch != before.config.epoch.next()) violated("skips an epoch");
  ++takeovers_;
  if (now.config.era > before.config.era) {  // begun anew
    for (const server::MemberName& member : before.config.in_sync) {
      const bool lives = std::any_of(servers_.begin(), servers_.end(), [&](const ServerProcess* server) {
        return server->alive() && server->member() == member;
      });
      if (lives) violated("gives up a member in sync that lives");
      const bool on_disk = std::any_of(servers_.begin(), servers_.end(), [&](ServerProcess* server) {
        return shape_.group.replica.durable && server->member_on_disk() == member;
      });
      if (on_disk) violated("gives up a member in sync that has all on its disk");
    }
  } else if (!before.config.has(now.config.primary)) {
    violated("promotes a member that was not in sync");
  }
}

// Invariant 9: a message per client and third of its TTL, a submit per router, group and tick.
void Simulation::check_heartbeats() const {
  for (const ClientProcess* client : clients_) {
    if (!client->alive()) continue;
    const ClientProcess::Heartbeats& beats = client->heartbeats();
    const LocalMs lived = client->clock_ms() - beats.since_ms;
    const std::uint64_t upto = lived / (shape_.ttl_ms / 3) + beats.connections + beats.unconfirmed + 1;
    if (beats.sent > upto)
      world_.violated(client->name() + " sent " + std::to_string(beats.sent) + " heartbeats, at most " +
                      std::to_string(upto) + " were due");
  }
  const std::uint64_t ticks = world_.now() / kMs / router::RouterOptions{}.heartbeat_tick_ms + 1;
  for (const RouterNode* router : routers_) {
    for (GroupId group : groups_) {
      if (router->heartbeat_submits(group) > ticks * 102 / 100)
        world_.violated(router->name() + " sent heartbeats more often than once in a tick");
    }
  }
}

// Invariant 10: nothing stays of what nobody holds, waits for or has yet to acknowledge.
void Simulation::check_drained() {
  for (GroupId group : groups_) {
    for (const ServerProcess* server : servers_) {
      const server::TableStats stats = server->core(group)->table().stats();
      if (stats.locks_held + stats.waiters + stats.sessions != 0)
        world_.violated(server->name() + " keeps " + std::to_string(stats.locks_held) + " locks, " +
                        std::to_string(stats.waiters) + " waiters and " + std::to_string(stats.sessions) +
                        " sessions of " + to_string(group) + " when everybody has gone");
      if (server->core(group)->pending_operations() != 0)
        world_.violated(server->name() + " keeps operations that nobody waits for");
      checks_.at(group)->compare(server->member(), *server->core(group));
    }
  }
  for (const RouterNode* router : routers_) {
    const router::RouterStats stats = router->stats();
    if (stats.pending + stats.queries != 0)
      world_.violated(router->name() + " keeps " + std::to_string(stats.pending) + " operations and " +
                      std::to_string(stats.queries) + " queries when everybody has gone");
  }
}

bool Simulation::is_ring_settled() const {
  return !ensemble_->view().ring.changing() && !cluster_checks_.arcs().any_outgoing();
}

void Simulation::check_owners() const {
  const coordinator::Ring ring(ensemble_->view().ring);
  for (GroupId group : groups_) {
    std::vector<server::OwnedArc> arcs;
    for (const coordinator::Arc& arc : ring.arcs_of(group)) arcs.push_back({arc.begin, arc.end});
    if (arcs != cluster_checks_.arcs().arcs_of(group))
      world_.violated(to_string(group) + " owns other arcs than the ring gives it when the change is over");
  }
}

// --- the run ---------------------------------------------------------------------------------------------

void Simulation::run_for(TimeUs time) {
  const TimeUs end = world_.now() + time;
  bool over = false;
  world_.at(end, [&over] { over = true; });
  while (!over && world_.step()) {
  }
}

bool Simulation::run_until(const std::function<bool()>& condition, TimeUs limit) {
  const TimeUs end = world_.now() + limit;
  while (world_.now() < end) {
    if (condition()) return true;
    run_for(20 * kMs);
  }
  return condition();
}

void Simulation::require(bool condition, const std::string& what) {
  if (!condition) world_.violated("the scenario did not get to where " + what);
}

void Simulation::run_safety() {
  run_for(kSettleTime);
  schedule_faults(*this);
  run_until([this] { return workload_->all_asked(); }, kSafetyMax);
}

void Simulation::run_liveness() {
  stop_faults();
  workload_->drain();
  if (ring_admin_ != nullptr) ring_admin_->finish();
  const bool served = run_until([this] { return workload_->is_quiet(); }, kLivenessMax);
  if (!served)
    world_.violated("not everybody is served long after the faults have stopped:" + workload_->unserved());
  const bool whole = run_until([this] { return is_whole(); }, kLivenessMax);
  if (!whole)
    world_.violated("not every replica is back long after the faults have stopped:" + what_is_missing());
  if (!run_until([this] { return is_ring_settled(); }, kLivenessMax))
    world_.violated("the change of the ring is not over long after the faults have stopped");
  check_owners();
  check_heartbeats();
  closing_ = true;
  for (ClientProcess* client : clients_)
    if (client->running()) client->close();
  // Detached holds that nobody released end with their leases, sessions of crashed clients with their TTLs.
  run_for(std::max<TimeUs>(kGoneMax, shape_.lease_ms_max() * kMs * 2));
  if (!is_whole()) world_.violated("the cluster fell apart when nothing struck it:" + what_is_missing());
  check_drained();
}

Result Simulation::run() {
  Result result;
  result.seed = options_.seed;
  result.shape = describe(shape_);
  world_.tell("-", result.shape);
  try {
    supervise();
    if (options_.scenario.empty()) {
      run_safety();
    } else {
      run_scenario();
    }
    run_liveness();
  } catch (const Violation& violation) {
    result.failure = violation.what();
  }
  for (GroupId group : groups_) {
    result.committed += checks_.at(group)->committed();
    result.groups_lost += checks_.at(group)->times_lost();
  }
  result.arcs_moved = cluster_checks_.arcs().taken();
  result.hash = world_.trace.hash();
  result.virtual_time = world_.now();
  result.steps = world_.steps();
  result.operations = workload_->asked();
  result.granted = workload_->granted();
  result.takeovers = takeovers_;
  result.strikes = strikes_;
  return result;
}

void Simulation::run_scenario() {
  const Scenario* scenario = find_scenario(options_.scenario);
  run_for(kSettleTime);
  scenario->play(*this);
}

}  // namespace dlm::sim
