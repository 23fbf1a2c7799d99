// A router: the shell around its RouterCore, as router/router_process.cc, group_links.cc and client_edge.cc
// are in a real one. It decides nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "router/core/router_core.h"
#include "test/sim/network.h"

namespace dlm::sim {

class RouterNode final : public Process {
 public:
  struct Options {
    router::RouterOptions core;
    std::vector<GroupId> groups;
    std::uint32_t session_timeout_ms = 4'000;
    TimeUs turn_delay = 100;
    std::uint32_t doubled_percent = 0;  // submits that reach the group twice, the second time late
    TimeUs doubled_delay = 0;           // at most
  };
  RouterNode(World& world, Network& network, const std::string& name, const Clock& clock,
             const Options& options);
  ~RouterNode() override;

  router::RouterStats stats() const;
  // Submits to a group that had nothing but heartbeats in them, over all lives.
  std::uint64_t heartbeat_submits(GroupId group) const;

  Endpoint* acceptor() override;

 protected:
  void begin_life() override;
  void end_life() override;
  void woken() override;

 private:
  struct Life;
  Network& network_;
  Options options_;
  std::map<GroupId, std::uint64_t> heartbeat_submits_;
  std::unique_ptr<Life> state_;
};

}  // namespace dlm::sim
