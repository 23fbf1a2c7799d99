// A shard server's RPC face: greeting, channels for routers, replicas for other members.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "schema/shard.capnp.h"
#include "schema/wire/event_loop.h"
#include "server/group_host.h"
#include "server/lock_channel.h"

namespace dlm::server {

// What the service's objects share. Loop thread only; they hold it, as peers may hold on to them for long.
struct ServiceState {
  wire::EventLoop& loop;
  std::string cluster;  // empty until the coordinator told: nobody is let in before
  MemberName self;
  std::map<GroupId, std::shared_ptr<GroupHost>> hosts;
  LockChannelLimits channel_limits;
};

// The bootstrap capability of one connection.
capnp::Capability::Client make_shard_service(std::shared_ptr<ServiceState> state);

}  // namespace dlm::server
