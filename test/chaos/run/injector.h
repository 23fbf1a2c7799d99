// Carries out one fault after the other on a running cluster, and mends what it broke.
#pragma once

#include <string>
#include <vector>

#include "test/chaos/history/checker.h"
#include "test/chaos/run/cluster.h"
#include "test/chaos/run/schedule.h"

namespace dlm::chaos {

class Injector {
 public:
  explicit Injector(Cluster& cluster) : cluster_(cluster) {}

  // Does the fault, waits, mends it, and waits until every group is whole again. The window tells whom it
  // hit; its end is when all was well. Throws std::runtime_error when that does not come to pass.
  FaultWindow carry_out(const Fault& fault);

 private:
  void kill(const Fault& fault, FaultWindow& window, bool orderly);
  void freeze(const Fault& fault, FaultWindow& window);
  void network(const Fault& fault, FaultWindow& window);
  void delay(const Fault& fault, FaultWindow& window);
  void failpoint(const Fault& fault, FaultWindow& window);
  void zookeeper_away(const std::vector<std::size_t>& members, std::uint32_t lasts_ms, FaultWindow& window);
  void group_lost(const Fault& fault, FaultWindow& window);
  void restart(const std::vector<std::string>& names);
  std::vector<std::string> targets(Role role, std::uint32_t number);
  std::vector<std::string> peers(const std::string& target, const Fault& fault);
  void await_whole();

  Cluster& cluster_;
};

}  // namespace dlm::chaos
