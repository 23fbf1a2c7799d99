// The command that `dlm lock` runs: a process group of its own, so that signals reach all that it starts, on
// the terminal and the open files that dlm was given.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <string>
#include <vector>

namespace dlm::cli {

// What dlm found when it was started and its command shall find too. Take it first of all in the process.
struct ProcessContext {
  std::vector<int> open_files;  // sorted; all but these are closed in the command
  sigset_t signal_mask{};
  struct sigaction on_broken_pipe {};

  static ProcessContext of_this_process();
};

struct ChildStart {
  pid_t pid = -1;           // also its process group
  int error = 0;            // an errno, when pid is -1: the command can't be executed (or no process be made)
  bool no_process = false;  // the error is that of fork() or pipe()
};

// Starts `command` (looked up in PATH) with this environment ("NAME=value" each). When the calling thread
// dies, the command gets SIGTERM from the kernel. REQUIRES: called on the main thread, which lives as long as
// the process.
ChildStart start_child(const std::vector<std::string>& command, const std::vector<std::string>& environment,
                       const ProcessContext& context);

// This process's environment with `set` ("NAME=value") put in, and the names in `unset` taken out.
std::vector<std::string> environment_with(const std::vector<std::string>& set,
                                          const std::vector<std::string>& unset);

}  // namespace dlm::cli
