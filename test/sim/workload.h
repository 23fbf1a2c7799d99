// The programs that use the clients: random operations of every kind on hot and cold names, and a check of
// everything they are told. Also what says, in the end, whether everybody was served.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "test/sim/beliefs.h"
#include "test/sim/client_process.h"
#include "test/sim/cluster_checks.h"

namespace dlm::sim {

struct WorkloadOptions {
  std::uint64_t operations = 5'000;  // in all
  std::uint32_t resources = 10;
  std::uint32_t hot_percent = 50;  // of requests, for the first resource
  std::uint32_t tags = 2;          // owner tags that a client uses
  TimeUs pause_us = 20 * kMs;      // between what a client asks for; mean
  TimeUs hold_us = 20 * kMs;       // how long a lock is used; mean
  std::size_t in_flight_max = 4;   // acquires of a client
  std::size_t held_max = 8;        // holds of a client
  std::uint32_t lease_ms = 2'000;  // of detached and capped holds, about
  // Percent of what a client does, the rest being acquires.
  std::uint32_t inspects = 5;
  std::uint32_t renews = 5;
  std::uint32_t cancels = 5;
  std::uint32_t closes_permille = 1;
  // Percent of acquires.
  std::uint32_t shared = 30;
  std::uint32_t leased = 20;
  std::uint32_t tries = 20;
  std::uint32_t forever = 40;  // the rest waits for a time
};

class Workload final : public ClientProgram {
 public:
  // Finds the model of the group that owns a resource; null: nobody does.
  using ModelOf = std::function<const LockModel*(const std::string& resource)>;
  Workload(World& world, const WorkloadOptions& options, Beliefs& beliefs, const ClusterChecks& checks,
           ModelOf model_of);
  ~Workload();

  std::uint64_t asked() const { return asked_; }
  bool all_asked() const { return asked_ >= options_.operations; }
  std::uint64_t completed() const { return completed_; }
  std::uint64_t granted() const { return granted_; }
  // No more acquires from now on, and what is held is given back.
  void drain();
  // Nobody waits for anything or holds anything.
  bool is_quiet() const;
  // Who is not served, for people.
  std::string unserved() const;
  // As the servers end a wait: not before its time.
  void check_wait_expired(const OperationName& wait);

  void on_start(ClientProcess& client) override;
  void on_crash(ClientProcess& client) override;
  void on_term(ClientProcess& client, const client::TermDeadline& deadline) override;
  void on_queued(ClientProcess&, const client::QueuedNotice&) override {}
  void on_completion(ClientProcess& client, const client::Completion& completion) override;
  void on_hold(ClientProcess& client, const client::HoldEvent& event) override;
  void on_report(ClientProcess& client, client::QueryId id, const router::QueryReport* report) override;
  void on_answer(ClientProcess& client, const Answer& answer) override;

 private:
  struct Asked {
    OperationKind kind = OperationKind::acquire;
    client::Request request;
    FencingToken floor;  // what a new grant must exceed
    TimeUs at = 0;
  };
  struct Detached {
    std::string resource;
    std::string tag;
    std::string client_id;
    FencingToken token;
  };
  struct Held {
    std::string resource;
    std::string tag;
    LeaseKind lease = LeaseKind::session;
  };
  struct Program {  // of one life of a client
    ClientProcess* client = nullptr;
    std::map<Sequence, Asked> asked;
    std::map<client::HoldId, Held> held;
    std::map<client::QueryId, std::pair<std::string, TimeUs>> queries;
  };

  void act_later(ClientProcess& client);
  void act(ClientProcess& client);
  void acquire(ClientProcess& client, Program& program);
  void renew(ClientProcess& client, Program& program);
  void cancel(ClientProcess& client, Program& program);
  void inspect(ClientProcess& client, Program& program);
  void release(ClientProcess& client, client::HoldId hold);
  void release_later(ClientProcess& client, client::HoldId hold);
  void release_detached(ClientProcess& client);
  Sequence ask(ClientProcess& client, Program& program, client::Request request);
  void granted(ClientProcess& client, Program& program, const Asked& asked,
               const client::Completion& completion);
  std::string some_resource();
  Program& program_of(const ClientProcess& client) { return programs_.at(client.node()); }

  World& world_;
  WorkloadOptions options_;
  Beliefs& beliefs_;
  const ClusterChecks& checks_;
  ModelOf model_of_;
  Random random_;
  std::map<NodeId, Program> programs_;
  std::vector<Detached> detached_;  // given to whoever wants to release them
  bool draining_ = false;
  std::uint64_t asked_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t granted_ = 0;
  // Of each client life's operations, by (session base, sequence).
  struct Wait {
    TimeUs asked_at = 0;
    std::uint32_t wait_ms = 0;
  };
  std::unordered_map<OperationName, Wait, OperationNameHash> waits_;
  std::unordered_map<OperationName, Outcome, OperationNameHash> heard_;
};

}  // namespace dlm::sim
