// A group's log: its batches, and what a replica writes down beside them so that it can go on after a restart
// as the member that it was.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "schema/types.h"

namespace dlm::server {

struct Batch {
  LogIndex index;
  Epoch epoch;
  std::shared_ptr<const std::string> entries;  // entry_codec; shared by log and messages
};

// The log begins anew behind a state that did not come from the log before: a snapshot that was installed, or
// none, when the group lost everything.
struct LogReset {
  LogIndex index;
  Epoch epoch;  // of the batch at `index`
  bool empty = false;
  bool operator==(const LogReset&) const = default;
};

// This replica leads, or is about to, in `epoch`. What it sent in it may lie with others and not here, so
// after a restart it must not lead in that epoch again.
struct LedEpoch {
  Epoch epoch;
  bool operator==(const LedEpoch&) const = default;
};

// A batch whose index is not above the last one replaces it and all that came after.
using LogRecord = std::variant<Batch, LogReset, LedEpoch>;

// Where in the log a state is known.
struct LogPlace {
  LogIndex index;
  Epoch epoch;  // of the batch there
  bool operator==(const LogPlace&) const = default;
};

// What is left of them after a restart.
struct RecoveredLog {
  LogPlace base;               // the state there is known otherwise: from a snapshot, or it is empty
  std::vector<Batch> batches;  // from base + 1 on
  Epoch led;                   // the highest
};

}  // namespace dlm::server
