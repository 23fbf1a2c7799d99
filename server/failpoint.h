// Named points of the replication path at which a test makes this process die or stop: the windows that
// random kills rarely hit. Nothing of it is in a build without DLM_FAILPOINTS, a release build among them.
#pragma once

#ifdef DLM_FAILPOINTS

#include <string_view>

namespace dlm::server {

// Does what the environment variable DLM_FAILPOINTS asks for at this point, which is
//   NAME=crash@N      the process kills itself at the Nth passing
//   NAME=stop@N       it stops, as by SIGSTOP, and goes on at SIGCONT
//   file:PATH         as the file says, which may change meanwhile; counts begin anew then
// Loop thread only.
void pass_failpoint(std::string_view name);

}  // namespace dlm::server

#define DLM_FAILPOINT(name) ::dlm::server::pass_failpoint(name)

#else
#define DLM_FAILPOINT(name) static_cast<void>(0)
#endif
