// What must hold over all groups together: an arc is served by one of them (ArcBook), tokens of a resource
// rise whoever gives them, and a read tells what was true, wherever the resource was.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "schema/report.h"
#include "test/sim/arc_book.h"
#include "test/sim/lock_model.h"
#include "test/sim/world.h"

namespace dlm::sim {

// Who holds a lock, and how many wait, as one number. Null: nobody.
std::uint64_t digest_of(const LockModel::Lock* lock);
std::uint64_t digest_of(const LockReport& report);

class ClusterChecks {
 public:
  explicit ClusterChecks(World& world)
      : world_(world), arcs_(world, [this](const server::OwnedArc& arc) { emptied(arc); }) {}

  ArcBook& arcs() { return arcs_; }
  const ArcBook& arcs() const { return arcs_; }

  void changed(const std::string& resource, const LockModel::Lock* lock);
  void granted(const std::string& resource, FencingToken token);
  // A report of a read that was asked for then must tell what was true at some moment since.
  void check_report(const LockReport& report, TimeUs asked_at) const;

 private:
  // Nobody holds or waits any more for what lies in the arc.
  void emptied(const server::OwnedArc& arc);

  struct Version {
    TimeUs since = 0;
    std::uint64_t digest = 0;
  };

  World& world_;
  ArcBook arcs_;
  std::map<std::string, std::vector<Version>> versions_;
  std::map<std::string, FencingToken> highest_;
};

}  // namespace dlm::sim
