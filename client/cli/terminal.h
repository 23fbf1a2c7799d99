// Who may use the terminal: dlm's process group or its command's. The command has a group of its own (so that
// signals reach all of it and nothing else), which is a background group until the terminal is handed to it.
// dlm does that only when the command asks for it (the kernel stops it with SIGTTIN or SIGTTOU): in `dlm lock
// x -- report | less` the terminal stays with `less`. Either way Ctrl-C reaches the command once: from the
// terminal, or passed on by dlm.
#pragma once

#include <sys/types.h>

#include "client/cli/file_descriptor.h"

namespace dlm::cli {

// Main thread only. REQUIRES: SIGTTOU is blocked. Without a controlling terminal nothing happens.
class Terminal {
 public:
  Terminal();
  // Takes the terminal back from the command.
  ~Terminal();

  // Hands the terminal to the group; false: it is not dlm's to give (dlm is in the background itself).
  bool give_to(pid_t group);
  // Whether the command had it.
  bool take_back();

 private:
  FileDescriptor tty_;
  pid_t given_to_ = 0;
};

}  // namespace dlm::cli
