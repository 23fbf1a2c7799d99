// What the clients believe to hold, by their own clocks and deadlines: the judge of invariants 1, 2 and 6
// from outside the servers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "client/core/session_core.h"
#include "test/sim/client_process.h"
#include "test/sim/lock_model.h"

namespace dlm::sim {

// One hold, as its client sees it.
struct Belief {
  ClientProcess* client = nullptr;
  std::uint64_t life = 0;  // 0: of no life in particular (a detached hold whose process is gone)
  client::HoldId hold;
  std::string resource;
  LockModel::Owner owner;
  LockMode mode = LockMode::exclusive;
  LeaseKind lease = LeaseKind::session;
  FencingToken token;
  client::Term term;
  LocalMs term_deadline_ms = 0;
  LocalMs lease_deadline_ms = 0;

  LocalMs deadline_ms() const;
  // By the client's clock, now.
  bool trusted() const { return client->clock_ms() < deadline_ms(); }
};

class Beliefs {
 public:
  explicit Beliefs(World& world) : world_(world) {}

  // A grant has been told to its program. No other owner may trust a conflicting hold now.
  void begin(Belief belief);
  // Released, lost, or given up by its program.
  void end(const ClientProcess& client, client::HoldId hold, const std::string& resource);
  void end_token(const std::string& resource, FencingToken token);
  // The process is gone, and with it all but its detached holds.
  void crashed(const ClientProcess& client);
  void set_term(const ClientProcess& client, const client::TermDeadline& deadline);
  void set_lease(const ClientProcess& client, const std::string& resource, const client::HoldEvent& event);
  void set_token(const ClientProcess& client, const std::string& resource, const client::HoldEvent& event);

  // The servers have ended a hold: nobody may trust it any more.
  void check_ended(const std::string& resource, const LockModel::Hold& hold) const;

  // Tokens: what is asked for now must be given more than every grant of the resource that anybody heard of.
  FencingToken highest_token(const std::string& resource) const;
  void check_token(const std::string& resource, FencingToken floor, FencingToken token);

  std::size_t grants() const { return grants_; }

 private:
  void check_conflicts(const Belief& belief) const;
  void extended(const Belief& belief, LocalMs deadline_before) const;

  World& world_;
  std::map<std::string, std::vector<Belief>> by_resource_;
  std::map<std::string, FencingToken> highest_;
  std::size_t grants_ = 0;
};

}  // namespace dlm::sim
