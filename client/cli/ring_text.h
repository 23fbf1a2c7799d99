// What `dlm ring` prints for people. Nothing here reads a clock or writes anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "client/cli/ring_progress.h"
#include "schema/report.h"

namespace dlm::cli {

// "12,400".
std::string grouped(std::uint64_t number);
// "33.4%".
std::string percent(double share);
// "1", "2.5".
std::string weight_text(double weight);

// The ring with a picture of it; while it changes, what moves.
std::string ring_text(const RingReport& ring);
// A plan: what would move, and how even the ring is before and after.
std::string plan_text(const RingReport& plan, const RingChange& change);
std::string place_text(const PlaceReport& place);
// "add g3 with weight 2".
std::string change_text(const RingChange& change);

// One line, without its end; at most `columns` of it (0: all), for a line that is to be rewritten.
std::string progress_text(const RingProgress& progress, std::size_t columns = 0);

}  // namespace dlm::cli
