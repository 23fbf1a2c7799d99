// A ring for fake routers to tell of: two groups at first, changes that get through in a few steps, one with
// each report that is asked for. No servers, no locks: numbers that add up.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "schema/report.h"
#include "schema/types.h"

namespace dlm::test {

class FakeRing {
 public:
  FakeRing();

  // The ring as it is, one step nearer to the end of the change under way.
  RingReport report();
  // Carries it out, or refuses: then the message is not empty and nothing was done.
  std::string change(const RingChange& change, RingReport& told);
  PlaceReport locate(const std::string& resource) const;
  // As a group's primary tells it.
  GroupReport state_of(GroupId group) const;
  std::vector<GroupId> groups() const;

  // For tests to set:
  std::uint32_t steps = 3;       // that a change takes; 0: it never gets through
  bool other_is_faster = false;  // another operator changes the ring right before the next change
  std::uint32_t arcs_kept = 0;   // that a group which has left the ring still owns
  std::map<GroupId, std::string> waits_for;
  std::map<GroupId, std::string> problems;

  const std::vector<RingChange>& changes() const { return changes_; }  // that were carried out

 private:
  struct Weights {
    double now = 0;
    double before = 0;
  };
  RingReport told(const std::map<GroupId, Weights>& weights) const;
  void settle();
  std::string apply(const RingChange& change, std::map<GroupId, Weights>& weights);

  std::uint64_t version_ = 1;
  std::map<GroupId, Weights> weights_;
  std::map<GroupId, std::uint32_t> left_;  // groups that left the ring
  bool changing_ = false;
  bool paused_ = false;
  std::uint32_t rate_ = 0;
  std::uint32_t step_ = 0;
  std::vector<RingChange> changes_;
};

}  // namespace dlm::test
