// One simulated cluster, from its start to its end: first the faults, while every promise is checked
// (safety), then none, and everybody must be served and every replica be back within a bounded time
// (liveness).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/sim/beliefs.h"
#include "test/sim/client_process.h"
#include "test/sim/cluster_checks.h"
#include "test/sim/ensemble.h"
#include "test/sim/group_checks.h"
#include "test/sim/network.h"
#include "test/sim/ring_admin.h"
#include "test/sim/router_node.h"
#include "test/sim/server_process.h"
#include "test/sim/shape.h"
#include "test/sim/workload.h"

namespace dlm::sim {

struct Result {
  std::uint64_t seed = 0;
  std::string failure;  // empty: none
  std::string shape;
  std::uint64_t hash = 0;  // of everything that happened: the same for the same seed and options
  TimeUs virtual_time = 0;
  std::uint64_t steps = 0;
  std::uint64_t operations = 0;
  std::uint64_t granted = 0;
  std::uint64_t takeovers = 0;
  std::uint64_t committed = 0;
  std::uint64_t groups_lost = 0;  // and begun anew
  std::uint64_t arcs_moved = 0;
  std::uint64_t strikes = 0;
};

class Simulation final : public ServerObserver {
 public:
  explicit Simulation(const SimulationOptions& options);
  Simulation(const SimulationOptions& options, const Shape& shape);
  ~Simulation();

  // Safety, then liveness. Once.
  Result run();

  // --- for faults and scenarios ---
  World& world() { return world_; }
  Network& network() { return network_; }
  Ensemble& ensemble() { return *ensemble_; }
  const coordinator::ClusterView& cluster_view() const { return ensemble_->view(); }
  const Shape& shape() const { return shape_; }
  const std::vector<ServerProcess*>& servers() const { return servers_; }
  const std::vector<RouterNode*>& routers() const { return routers_; }
  const std::vector<ClientProcess*>& clients() const { return clients_; }
  const std::vector<GroupId>& groups() const { return groups_; }
  const GroupChecks& checks(GroupId group) const { return *checks_.at(group); }
  const ClusterChecks& cluster_checks() const { return cluster_checks_; }
  RingAdmin* ring_admin() { return ring_admin_; }  // null: the ring stays
  const Workload& workload() const { return *workload_; }
  std::vector<Process*> everybody() const;

  // By the record; null: nobody, or not of this life.
  ServerProcess* primary_of(GroupId group) const;
  ServerProcess* some_backup_of(GroupId group) const;
  std::size_t in_sync(GroupId group) const;
  // Whether nobody of its in-sync set lives.
  bool is_lost(GroupId group) const;
  // Whether each of its groups has another living member in sync.
  bool is_spare(const ServerProcess& server) const;

  void run_for(TimeUs time);
  // False: it did not come true in time.
  bool run_until(const std::function<bool()>& condition, TimeUs limit);
  // Called after each turn of a group on a server, before what it decided is carried out.
  using TurnWatcher = std::function<void(const server::GroupCore&, const server::GroupOutput&)>;
  void watch_turns(TurnWatcher watcher) { turn_watcher_ = std::move(watcher); }
  // No change of the ring is under way, and no arc.
  bool is_ring_settled() const;
  // Invariant 8 when it is settled: every hash has an owner, and it is the ring's.
  void check_owners() const;
  // For scenarios, which know what must happen.
  void require(bool condition, const std::string& what);

  // Down for a while; without power nobody is told.
  void crash(Process& process, TimeUs down, bool power_lost = false);
  // Undoes a fault after a time, or when the faults stop.
  void heal_after(TimeUs time, std::function<void()> heal);
  // Another host takes over the id of a server whose old process may live on: that is not started again, and
  // ends soon after the faults. REQUIRES: can_start_elsewhere(), !is_given_up(old).
  void start_elsewhere(ServerProcess& old);
  bool is_given_up(const Process& process) const;
  bool can_start_elsewhere() const;  // one at a time lives on, and there is a bound to all of them
  void count_strike() { ++strikes_; }
  bool faults_stopped() const { return faults_stopped_; }

 private:
  static constexpr std::size_t kProcessesMax = 60;

  void build();
  void build_checks();
  void build_routers_and_clients();
  void add(std::unique_ptr<Process> process);
  ServerProcess* add_server(const std::string& id, const std::string& host);
  void run_safety();
  void run_liveness();
  void run_scenario();
  void stop_faults();
  void supervise();
  void restart(Process& process);
  bool is_whole() const;
  std::string what_is_missing() const;
  void check_heartbeats() const;
  void check_drained();
  std::string what_nobody_knows_of() const;
  void on_record(GroupId group, const coordinator::VersionedConfig& before,
                 const coordinator::VersionedConfig& now);
  // ServerObserver
  void on_submit(const server::MemberName& by, const server::GroupCore& core,
                 std::span<const Operation> operations) override;
  void on_turn(const server::MemberName& by, const server::GroupCore& core,
               const server::GroupOutput& output) override;
  void on_return(const server::MemberName& member) override;

  SimulationOptions options_;
  World world_;
  Shape shape_;
  Network network_;
  Random supervision_;
  std::unique_ptr<Ensemble> ensemble_;
  std::vector<GroupId> groups_;
  Beliefs beliefs_;
  ClusterChecks cluster_checks_;
  std::map<GroupId, std::unique_ptr<GroupChecks>> checks_;
  std::unique_ptr<Workload> workload_;
  std::vector<std::unique_ptr<Process>> owned_;
  std::vector<ServerProcess*> servers_;
  std::vector<RouterNode*> routers_;
  std::vector<ClientProcess*> clients_;
  RingAdmin* ring_admin_ = nullptr;
  TurnWatcher turn_watcher_;
  std::map<NodeId, TimeUs> restart_at_;
  std::map<NodeId, bool> without_power_;
  std::map<std::string, std::uint64_t> incarnations_;  // the last of each server id
  std::vector<ServerProcess*> given_up_;               // another host has their id
  std::map<std::uint64_t, std::function<void()>> heals_;
  std::uint64_t last_heal_ = 0;
  bool faults_stopped_ = false;
  bool closing_ = false;  // clients that end are not started again
  std::uint64_t strikes_ = 0;
  std::uint64_t takeovers_ = 0;
};

}  // namespace dlm::sim
