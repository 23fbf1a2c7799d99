// The coordinator of a real cluster, in ZooKeeper. What lies there is JSON that people can read:
//
//   <root>/cluster           {"id":"…"}                                   made once, by whoever comes first
//   <root>/members/<server>  {"incarnation":42,"address":"…","groups":[…]}  ephemeral
//   <root>/routers/<router>  {"address":"…"}                              ephemeral
//   <root>/groups/g1         the group's configuration, see core/group_config.h
//   <root>/ring              the ring, see core/ring.h
//   <root>/outcomes/…        ephemeral notes by which a session finds out what became of its writes
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "coordinator/coordinator.h"
#include "coordinator/zookeeper_address.h"

namespace dlm::coordinator {

struct ZookeeperOptions {
  ZookeeperAddress address;
  std::uint32_t session_timeout_ms = 4'000;  // the server may insist on another; session_timeout_ms() tells
  std::string cluster_id;                    // given to the cluster when it has none yet; empty: a random one
};

// One session; begins with start(). `executor` must post, never run a task before it returns. Tries for ever
// to reach ZooKeeper, and says so through on_session when it can't. start() may block while a host name is
// resolved, and destruction for some milliseconds while the session is closed. After a registration that
// failed while out of touch the id may turn out to be taken by this very session: destroy it before trying
// anew.
std::unique_ptr<Coordinator> make_zookeeper_coordinator(const ZookeeperOptions& options, Executor executor);

}  // namespace dlm::coordinator
