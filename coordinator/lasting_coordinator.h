// A coordinator for a process that outlives its sessions: when one ends, another is begun and the process is
// registered again as what it was. So an outage of ZooKeeper that is longer than a session costs no process,
// and with it no state in memory.
#pragma once

#include <functional>
#include <memory>

#include "coordinator/coordinator.h"

namespace dlm::coordinator {

// Makes a session: a Coordinator on which start() has not been called.
using MakeSession = std::function<std::unique_ptr<Coordinator>()>;

// The contract of Coordinator, but:
// - A session that ends after the registration was made shows as `connecting`. The registration is made anew,
//   with the same content; `ended` comes when somebody else has the id by then.
// - A write whose session ended before its outcome was known is answered `unavailable`, though it may have
// been
//   done; but not before the first view of the next session was delivered, which shows it if it was.
// - touch() counts the registration of the session that is.
std::unique_ptr<Coordinator> make_lasting_coordinator(MakeSession make_session, Executor executor);

}  // namespace dlm::coordinator
