// `dlm admin recover`: has a group begin anew whose in-sync members are gone for ever.
#pragma once

#include "client/cli/cli.h"
#include "schema/types.h"

namespace dlm::cli {

struct RecoveryOptions {
  GroupId group;
  bool confirmed = false;  // --yes-lose-locks; otherwise the name of the group must be typed at a terminal
};

// Tells what is known and what it costs, asks, does it. The exit code: 0 only when it was done.
int run_recovery(const Globals& globals, const RecoveryOptions& options);

}  // namespace dlm::cli
