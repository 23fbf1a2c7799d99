// The arcs of a start_epoch entry as bytes, and the floor of all tokens.
#pragma once

#include <string_view>
#include <vector>

#include "server/core/lock_table.h"

namespace dlm::server {

// Every token is above this: era 1, number 0.
inline constexpr FencingToken kTokenFloor = FencingToken(std::uint64_t{1} << 40);

// The reverse of encode_arcs. False, and `arcs` undefined, when the bytes are not sorted arcs that do not
// overlap.
bool decode_arcs(std::string_view bytes, std::vector<OwnedArc>& arcs);

// Of a sorted list in which neighbours are one.
bool contains(const std::vector<OwnedArc>& arcs, const OwnedArc& arc);
// REQUIRES: contains(arcs, arc).
void remove_arc(std::vector<OwnedArc>& arcs, const OwnedArc& arc);
// What of it is there already stays.
void add_arc(std::vector<OwnedArc>& arcs, const OwnedArc& arc);

}  // namespace dlm::server
