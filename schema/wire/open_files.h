// The limit on open files of this process: each connection takes one.
#pragma once

#include <cstddef>

namespace dlm::wire {

// Raises the soft limit to the hard one; gives what is in force then.
std::size_t raise_open_files_limit();

}  // namespace dlm::wire
