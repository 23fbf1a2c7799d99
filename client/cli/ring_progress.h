// How far a change of the ring is, told from one report of the ring to the next. Nothing here reads a clock
// or writes anywhere.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "schema/report.h"

namespace dlm::cli {

// What a group says that people should hear.
using GroupNotes = std::vector<std::pair<GroupId, std::string>>;

struct RingProgress {
  std::uint64_t version = 0;
  bool changing = false;
  bool paused = false;
  std::uint32_t locks_per_s_max = 0;
  std::uint64_t arcs_total = 0;
  std::uint64_t arcs_left = 0;
  double share_left = 0;                 // of the hash space
  std::uint64_t locks_left = 0;          // about
  std::optional<double> locks_per_s;     // none: not known yet
  std::optional<std::uint64_t> left_ms;  // likewise, or it does not go on
  GroupNotes waits;                      // what it waits for
  GroupNotes silent;                     // groups that have arcs to give and can't be asked, and why
};

// Feed it reports in the order in which they came. A group that can't be asked, or has not heard of the
// change yet, counts with what it told last, or with all that it is to give.
class ProgressTracker {
 public:
  RingProgress take(const RingReport& report, std::uint64_t now_ms);

 private:
  struct Known {
    std::uint64_t arcs_left = 0;
    double share_left = 0;
    std::uint64_t locks_left = 0;
    std::optional<std::uint64_t> locks_moved;  // as told: since its primary leads
  };
  struct Sample {
    std::uint64_t at_ms = 0;
    double share_left = 0;
    std::uint64_t locks_moved = 0;  // in all, since the first report
  };
  void take_group(const RingReport& report, const RingReport::Group& group);
  void rate(RingProgress& progress, std::uint64_t now_ms);

  struct Path {
    GroupId from;
    GroupId to;
    std::uint32_t arcs = 0;
    bool operator==(const Path&) const = default;
  };
  std::vector<Path> paths_;
  std::map<GroupId, Known> known_;
  std::uint64_t locks_moved_ = 0;
  std::deque<Sample> samples_;  // of the last seconds
};

// Whether the ring is (or is on its way to be) as `change` wants it: add, remove, weight.
bool reflects(const RingReport& ring, const RingChange& change);
// The same for every kind of change that was made to `before`.
bool reflects(const RingReport& ring, const RingChange& change, const RingReport& before);

// The share of the hash space of the group that has most of it, for the weight it has: 1 is even. `before`:
// as it was before the change under way. 0: no groups.
double balance(const RingReport& ring, bool before);

// What the whole change moves.
RingReport::Flow sum_of(const std::vector<RingReport::Flow>& flows);

}  // namespace dlm::cli
