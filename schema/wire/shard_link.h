// A lasting link to one server process: connects, greets (protocol, cluster, name), reconnects with back-off
// and jitter, and says when the process behind it is dead rather than slow.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "schema/shard.capnp.h"
#include "schema/wire/event_loop.h"
#include "schema/wire/rpc.h"

namespace dlm::wire {

struct ShardLinkOptions {
  std::string cluster;  // both ends must be of one cluster
  std::string self;     // own router id or member name
  std::string server;   // member name expected at the address ("s1#42"); another incarnation there means that
                        // one is dead
  HostPort address;
  RpcLimits limits;
  std::uint32_t connect_timeout_ms = 1'000;
  std::uint32_t backoff_first_ms = 5;
  std::uint32_t backoff_max_ms = 500;
};

// Loop thread only. Callbacks come from the loop, never from within a call. Destroying it drops the
// connection.
class ShardLink {
 public:
  struct Events {
    // Greeted: calls may be made on the capability until on_down.
    std::function<void(wire::ShardServer::Host::Client)> on_up;
    // The connection was lost, or an attempt failed (also repeatedly). `gone`: nobody listens there, or
    // another incarnation does: the process is dead. It goes on trying meanwhile.
    std::function<void(bool gone, const std::string& why)> on_down;
  };
  virtual ~ShardLink() = default;
  virtual bool up() const = 0;
  // Drops the connection, if any, and connects anew: for a peer that answers nonsense or nothing.
  virtual void reconnect() = 0;

  static std::unique_ptr<ShardLink> make(EventLoop& loop, ShardLinkOptions options, Events events);
};

}  // namespace dlm::wire
