#include "client/cli/exit_code.h"

namespace dlm::cli {

ExitCode exit_code_of(Status status) {
  switch (status) {
    case Status::ok:
    case Status::queued:
      return ExitCode::ok;
    case Status::timed_out:
    case Status::cancelled:
    case Status::would_deadlock:
    case Status::client_id_in_use:
      return ExitCode::contended;
    case Status::not_held:
    case Status::session_expired:
    case Status::session_unknown:
      return ExitCode::not_held;
    case Status::unavailable:
    case Status::overloaded:
    case Status::over_quota:
    case Status::moved:
    case Status::not_primary:
      return ExitCode::unavailable;
    case Status::invalid_argument:
      return ExitCode::usage;
    case Status::permission_denied:
      return ExitCode::permission;
    case Status::stale:
      return ExitCode::internal;
  }
  return ExitCode::internal;  // a status of a newer router
}

const char* const kExitCodesHelp =
    "Exit codes:\n"
    "  0        done; `dlm lock` otherwise ends with the code of its command\n"
    "  64       wrong usage or an argument outside of a limit; nothing was done\n"
    "  66       not held (never, released or expired), or the session expired\n"
    "  69       unavailable, overloaded or over a quota; the outcome may be unknown\n"
    "  70, 71   a fault of dlm itself; the operating system refused (port in use, ...)\n"
    "  75       contended: timed out, would deadlock, client id in use; dlm ring: the change was taken back\n"
    "  77       permission denied\n"
    "  79       dlm lock: the lock was lost while the command ran; the command was stopped\n"
    "  126, 127 dlm lock: the command can't be run, was not found\n"
    "  128+N    ended by signal N\n"
    "When the code is dlm's own, a line that begins with \"dlm: \" is on stderr.";

}  // namespace dlm::cli
