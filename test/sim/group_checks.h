// The judge of the servers of one group: what its replicas apply, serve and answer must fit one committed
// log, and the answers must be those of the lock model (invariants 2 to 7). What goes beyond one group is the
// affair of ClusterChecks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/core/group_core.h"
#include "test/sim/cluster_checks.h"
#include "test/sim/lock_model.h"
#include "test/sim/world.h"

namespace dlm::sim {

class GroupChecks {
 public:
  struct Hooks {
    std::function<void(const std::string& resource, const LockModel::Hold&)> on_end;
    std::function<void(const OperationName& wait)> on_wait_expired;
    std::function<coordinator::GroupConfig(GroupId)> record;  // as the coordinator has it
  };
  GroupChecks(World& world, GroupId group, ClusterChecks& cluster, Hooks hooks);

  void on_submit(const server::MemberName& by, const server::GroupCore& core,
                 std::span<const Operation> operations);
  void on_turn(const server::MemberName& by, const server::GroupCore& core,
               const server::GroupOutput& output);
  // A replica goes on with what is on its disk, which may be less than it had applied; it need not remember
  // an epoch in which it acknowledged nothing.
  void on_return(const server::MemberName& member);
  // Every replica that has applied everything must have the same table, and it must be the model's.
  void compare(const server::MemberName& by, const server::GroupCore& core);

  const LockModel* model() const { return lineages_.empty() ? nullptr : &lineages_.back()->model; }
  std::uint64_t committed() const;
  std::size_t times_lost() const { return lineages_.empty() ? 0 : lineages_.size() - 1; }

 private:
  // A log from its first entry on. A group that lost everything begins another, above all indexes of the
  // first.
  struct Lineage {
    Lineage(GroupId group, ArcBook& arcs, LockModel::Events events) : model(group, arcs, std::move(events)) {}
    std::uint64_t base = 0;  // the index before the first
    LockModel model;
    std::vector<std::pair<Epoch, std::uint64_t>> log;  // from base + 1: epoch, hash of the entries
    std::map<std::uint64_t, std::uint64_t> fingerprints;
    // When it was given up: up to where each replica had it. That may still be committed, by a primary that
    // stood still with the acknowledgements in its queue; nothing else.
    std::map<server::MemberName, std::uint64_t> tails;
    std::uint64_t last() const { return base + log.size(); }
  };

  void applied(const server::MemberName& by, const server::Batch& batch);
  Lineage* lineage_of(std::uint64_t index) const;
  Lineage& begin_lineage(const server::MemberName& by, std::uint64_t base);
  void give_up(Lineage& lineage);
  void commit(Lineage& lineage, const server::Batch& batch);
  void check_obedience(const server::MemberName& by, const server::GroupCore& core,
                       const server::GroupOutput& output);
  void check_answer(const server::MemberName& by, const Answer& answer) const;
  void check_order(Epoch epoch, const Operation& entry);
  void check_move_in(const Operation& entry) const;
  void check_fingerprint(const server::MemberName& by, const server::GroupCore& core);
  void check_table(const server::GroupCore& core, const LockModel& model) const;
  void check_arcs(const server::GroupCore& core) const;
  [[noreturn]] void violated(const server::MemberName& by, const std::string& what) const;

  World& world_;
  GroupId group_;
  ClusterChecks& cluster_;
  Hooks hooks_;
  std::vector<std::unique_ptr<Lineage>> lineages_;
  std::map<server::MemberName, std::uint64_t> applied_;                    // up to where
  std::map<server::MemberName, std::uint64_t> logged_;                     // up to where
  std::map<Epoch, std::pair<server::MemberName, std::uint64_t>> serving_;  // and in which of its lives
  std::map<server::MemberName, std::uint64_t> returns_;
  std::map<server::MemberName, Epoch> seen_;  // the highest epoch that a replica is known to have seen
  // Of acquires, at the primary of an epoch: the order in which they came first.
  struct Arrivals {
    server::MemberName primary;
    std::uint64_t last = 0;
    bool refused = false;  // any
    std::unordered_map<OperationName, std::uint64_t, OperationNameHash> numbers;
    std::map<std::string, std::uint64_t> logged;  // by resource: the latest in the log
  };
  std::map<Epoch, Arrivals> arrivals_;
  std::unordered_map<OperationName, OperationKind, OperationNameHash> kinds_;
};

}  // namespace dlm::sim
