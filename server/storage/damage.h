// Why a data folder is not used.
#pragma once

#include <stdexcept>
#include <string>

namespace dlm::server {

// What is on the disk is not what was written, or not ours. `what()` is one line that says where, and what to
// do.
class DamagedFolder : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline constexpr const char* kMoveDataAway =
    "either put a sound copy of this very folder back, or move the whole data folder away: the server then "
    "joins "
    "as a new member, which needs a living member of the in-sync set";

}  // namespace dlm::server
