// `dlm ring add` and all else that changes the ring or how a change goes on.
#pragma once

#include "client/cli/cli.h"
#include "schema/report.h"

namespace dlm::cli {

struct RingChangeOptions {
  RingChange change;  // without the version
  bool waits = true;  // until it is through; add, remove, weight
};

// Makes the change against the ring as it is read first, so that of two operators at once the second is
// refused. The exit code: 0 when it is done (begun, with waits off; planned, with dry_run).
int run_ring_change(const Globals& globals, const RingChangeOptions& options);

}  // namespace dlm::cli
