// What `dlm` says with its exit code. High numbers (those of sysexits.h where one fits), so that they are
// rarely mistaken for a code of the command that `dlm lock` runs. Whenever the code is dlm's own, a line that
// begins with "dlm: " is on stderr.
#pragma once

#include "schema/types.h"

namespace dlm::cli {

enum class ExitCode : int {
  ok = 0,
  usage = 64,     // wrong usage, or an argument outside of a limit; nothing was done
  not_held = 66,  // the hold is not there: never, released or expired; or the session expired
  unavailable =
      69,  // no router or no primary could be reached, or it was overloaded; the outcome may be unknown
  internal = 70,    // a fault of dlm itself
  system = 71,      // the operating system refused: a port in use, no more processes, stdout closed
  contended = 75,   // others hold the lock: timed out, would deadlock, client id in use. Trying later may
                    // help. `dlm ring`: another operator took the change back
  permission = 77,  // permission denied
  lost = 79,  // `dlm lock`: the lock was lost, or about to be, while the command ran; the command was stopped
  cannot_run = 126,   // `dlm lock`: the command can't be executed
  not_found = 127,    // `dlm lock`: the command was not found
  signal_base = 128,  // + signal: ended by this signal (`dlm lock`: the command, or dlm while it waited)
};

constexpr int number_of(ExitCode code) {
  return static_cast<int>(code);
}
constexpr int exit_code_of_signal(int signal) {
  return number_of(ExitCode::signal_base) + signal;
}

// For an operation that ended with this status; `ok` for ok.
ExitCode exit_code_of(Status status);

// The table for `dlm --help`.
extern const char* const kExitCodesHelp;

}  // namespace dlm::cli
