// What is typed after `dlm ring`. Each throws CLI::ValidationError, which says what is taken instead.
#pragma once

#include <cstdint>
#include <string>

#include "schema/types.h"

namespace dlm::cli {

// "g3".
GroupId parse_group_argument(const std::string& text);
// "1", "2.5": above 0. (Its limits are the routers' to tell.)
double parse_weight(const std::string& text);
// "50000/s" or "50000"; "none" or 0: no limit, given as 0.
std::uint32_t parse_rate(const std::string& text);

}  // namespace dlm::cli
