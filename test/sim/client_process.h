// A client: the shell around its SessionCore, as client/engine.cc and router_link.cc are in a real one, and
// the program that uses it, which is somebody else's (ClientProgram).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/core/session_core.h"
#include "test/sim/network.h"

namespace dlm::sim {

class ClientProcess;

// What a program hears of its client, in this order within a turn. It may ask for more from within.
class ClientProgram {
 public:
  virtual void on_start(ClientProcess& client) = 0;
  virtual void on_crash(ClientProcess& client) = 0;
  // The client is about to act on time that has passed or on something that came.
  virtual void on_term(ClientProcess& client, const client::TermDeadline& deadline) = 0;
  virtual void on_queued(ClientProcess& client, const client::QueuedNotice& notice) = 0;
  virtual void on_completion(ClientProcess& client, const client::Completion& completion) = 0;
  virtual void on_hold(ClientProcess& client, const client::HoldEvent& event) = 0;
  // Null: no report in time.
  virtual void on_report(ClientProcess& client, client::QueryId id, const router::QueryReport* report) = 0;
  // An answer as it came from a router.
  virtual void on_answer(ClientProcess& client, const Answer& answer) = 0;

 protected:
  ~ClientProgram() = default;
};

class ClientProcess final : public Process {
 public:
  struct Options {
    std::vector<std::string> routers;
    client::CoreOptions core;
    std::uint32_t doubled_percent = 0;  // frames of operations that are sent twice
  };
  ClientProcess(World& world, Network& network, const std::string& name, const Clock& clock,
                const Options& options, ClientProgram& program);
  ~ClientProcess() override;

  // The program's calls. REQUIRES: running().
  Sequence submit(const client::Request& request);
  void cancel(Sequence acquire);
  client::QueryId inspect(const std::string& resource, std::uint32_t timeout_ms);
  // Gives everything back and ends in good order; the process is gone soon after.
  void close();

  const std::string& client_id() const { return client_id_; }
  // For the next life. REQUIRES: !alive().
  void set_client_id(std::string id) { client_id_ = std::move(id); }
  const client::SessionCore& core() const;
  bool closing() const;
  std::uint64_t session_base() const;
  // Of this life: how many heartbeats, and what each may have been sent for besides the time.
  struct Heartbeats {
    std::uint64_t sent = 0;
    std::uint64_t connections = 0;
    // Messages that came while a session was not confirmed, that ended one, or told where holds went, and
    // answers that a wait is in line at a group.
    std::uint64_t unconfirmed = 0;
    LocalMs since_ms = 0;
  };
  const Heartbeats& heartbeats() const;

 protected:
  void begin_life() override;
  void end_life() override;
  void woken() override;

 private:
  struct Life;
  Network& network_;
  Options options_;
  ClientProgram& program_;
  std::string client_id_;
  std::unique_ptr<Life> state_;
};

}  // namespace dlm::sim
