// Who changes the ring: plans a change by what it knows of the cluster and writes the record by
// compare-and-set, as a router does for `dlm ring`. It fails as any process does.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "coordinator/core/ring_change.h"
#include "test/sim/network.h"
#include "test/sim/random.h"

namespace dlm::sim {

class RingAdmin final : public Process {
 public:
  struct Options {
    std::vector<GroupId> groups;
    std::vector<double> weights;  // that it gives
    std::uint32_t session_timeout_ms = 4'000;
  };
  RingAdmin(World& world, Network& network, const Clock& clock, const Options& options);
  ~RingAdmin() override;

  // By what it knows. False: it would be no change, or it is at one. Whether it is written in the end only
  // the coordinator knows.
  bool change(const RingChange& change);
  // Begins something, or has what is under way go on otherwise.
  void do_something(Random& random);
  // From now on sees to it that what is under way comes to its end.
  void finish();
  // No write of it may be on its way.
  bool is_idle() const;

 protected:
  void begin_life() override;
  void end_life() override;

 private:
  struct Life;
  RingChange some_beginning(Random& random) const;
  RingChange some_steering(Random& random) const;
  void see_to_the_end();

  Network& network_;
  Options options_;
  bool finishing_ = false;
  std::unique_ptr<Life> state_;
};

}  // namespace dlm::sim
