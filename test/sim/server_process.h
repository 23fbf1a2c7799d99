// A shard server: the shell around its GroupCores, as server/shard_node.cc, group_host.cc and lock_channel.cc
// are in a real one. It decides nothing. Its name is that of its host; a server id is started on another host
// when somebody gives the first one up, which may be too early.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "server/core/group_core.h"
#include "test/sim/disk.h"
#include "test/sim/network.h"

namespace dlm::sim {

// Sees what the servers do, before anybody else does.
class ServerObserver {
 public:
  virtual void on_submit(const server::MemberName& by, const server::GroupCore& core,
                         std::span<const Operation> operations) = 0;
  virtual void on_turn(const server::MemberName& by, const server::GroupCore& core,
                       const server::GroupOutput& output) = 0;
  // A member begins another life with what is on its disk.
  virtual void on_return(const server::MemberName& member) = 0;

 protected:
  ~ServerObserver() = default;
};

class ServerProcess final : public Process {
 public:
  struct Options {
    std::string id;
    std::uint64_t* incarnation = nullptr;  // the last one that any host gave this id
    std::vector<GroupId> groups;
    server::GroupOptions group;                   // replica.group and .self, and table are filled in
    std::vector<server::LockTableLimits> limits;  // of its lives, in turns
    std::uint32_t session_timeout_ms = 4'000;
    TimeUs turn_delay = 100;  // from the first input to the turn that takes it; at most
    TimeUs disk_delay = 100;  // of a durable one: of a write or a sync; at most
  };
  ServerProcess(World& world, Network& network, const std::string& name, const Clock& clock,
                const Options& options, ServerObserver& observer);
  ~ServerProcess() override;

  // Of this life. The core is null when there is none yet.
  server::MemberName member() const { return {options_.id, incarnation_}; }
  const std::string& id() const { return options_.id; }
  const server::GroupCore* core(GroupId group) const;
  bool serves(GroupId group) const;

  // --- faults ---
  void step_down(GroupId group);
  void slow_turns(TimeUs delay) { extra_turn_delay_ = delay; }
  void slow_disk(TimeUs delay) { extra_disk_delay_ = delay; }
  Disk& disk() { return disk_; }
  // As what its disk would have it come back; none: as somebody new.
  server::MemberName member_on_disk();
  // What is written and not safe is lost with the next life that ends, or not.
  void lose_power(bool lost) { power_lost_ = lost; }
  // Freezes it when it has decided nothing that it has not carried out; see freeze().
  void freeze_between_turns(bool asleep);
  void go_on();  // from that, or before it has come to it

  Endpoint* acceptor() override;

 protected:
  void begin_life() override;
  void end_life() override;
  void woken() override;

 private:
  void begin_with_disk();
  bool is_durable() const { return options_.group.replica.durable; }

  struct Life;
  Network& network_;
  Options options_;
  ServerObserver& observer_;
  std::uint64_t incarnation_ = 0;
  TimeUs extra_turn_delay_ = 0;
  TimeUs extra_disk_delay_ = 0;
  Disk disk_;  // of its host; for those that are durable
  bool power_lost_ = false;
  std::optional<bool> freeze_wanted_;  // asleep?
  std::unique_ptr<Life> state_;
};

}  // namespace dlm::sim
