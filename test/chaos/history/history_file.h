// Histories on disk. FILE holds the records of locks taken exclusively, in the format that outside checkers
// read; FILE.shared the records of locks that are also taken shared, each with its mode; FILE.context what
// the run knows beside: faults, claims, the group of each resource.
#pragma once

#include <string>
#include <vector>

#include "test/chaos/history/checker.h"

namespace dlm::chaos {

struct History {
  std::vector<Record> records;
  Context context;
};

// Writes all three, records by the time of their call. Throws std::runtime_error.
void write_history(const std::string& path, History history);

// Reads FILE, and the others when they are there. Throws std::runtime_error that names file and line.
History read_history(const std::string& path);

}  // namespace dlm::chaos
