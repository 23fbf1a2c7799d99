#include "server/shard_service.h"

#include <glog/logging.h>
#include <kj/debug.h>

#include <utility>

#include "schema/limits.h"
#include "schema/text.h"
#include "schema/wire/codec.h"
#include "server/replica_codec.h"

namespace dlm::server {
namespace {

class ReplicaService final : public wire::Replica::Server {
 public:
  ReplicaService(std::weak_ptr<GroupHost> host, MemberName peer)
      : host_(std::move(host)), peer_(std::move(peer)) {}

  kj::Promise<void> append(AppendContext context) override {
    check_sender(context.getParams().getFrom());
    return host()->append(peer_, kj::mv(context));
  }

  kj::Promise<void> install(InstallContext context) override {
    check_sender(context.getParams().getFrom());
    return host()->install(peer_, kj::mv(context));
  }

 private:
  // A connection speaks for the member that greeted on it, and for nobody else.
  void check_sender(capnp::Text::Reader from) const {
    KJ_REQUIRE(wire::as_text(from) == coordinator::to_string(peer_), "a message in another member's name");
  }

  std::shared_ptr<GroupHost> host() {
    auto open = host_.lock();
    if (!open) kj::throwFatalException(KJ_EXCEPTION(DISCONNECTED, "the server is stopping"));
    return open;
  }

  std::weak_ptr<GroupHost> host_;
  MemberName peer_;
};

// What a greeted peer may do.
class HostService final : public wire::ShardServer::Host::Server {
 public:
  HostService(std::shared_ptr<ServiceState> state, std::string peer)
      : state_(std::move(state)), peer_(std::move(peer)) {}

  kj::Promise<void> locks(LocksContext context) override {
    auto params = context.getParams();
    auto results = context.getResults();
    std::shared_ptr<GroupHost> host = find(GroupId(params.getGroup()), results);
    if (host) {
      results.setChannel(kj::heap<LockChannel>(state_->loop, std::weak_ptr(host), params.getListener(),
                                               state_->channel_limits));
    }
    return kj::READY_NOW;
  }

  kj::Promise<void> replica(ReplicaContext context) override {
    auto results = context.getResults();
    std::shared_ptr<GroupHost> host = find(GroupId(context.getParams().getGroup()), results);
    MemberName member;
    if (host && !coordinator::parse_member(peer_, member)) {
      results.setStatus(static_cast<std::uint8_t>(Status::invalid_argument));
      results.setMessage("replicas are for members of the group");
    } else if (host) {
      results.setReplica(kj::heap<ReplicaService>(std::weak_ptr(host), std::move(member)));
    }
    return kj::READY_NOW;
  }

  kj::Promise<void> moveIn(MoveInContext context) override {
    auto params = context.getParams();
    auto results = context.getResults();
    std::shared_ptr<GroupHost> host = find(GroupId(params.getTo()), results);
    MemberName member;
    if (host && !coordinator::parse_member(peer_, member)) {
      results.setStatus(static_cast<std::uint8_t>(Status::invalid_argument));
      results.setMessage("arcs come from primaries of other groups");
      return kj::READY_NOW;
    }
    if (!host) return kj::READY_NOW;
    return host->move_in(read(params.getTransfer(), host->core().group()))
        .then([context](TransferReply&& reply) mutable {
          auto told = context.getResults();
          told.setStatus(static_cast<std::uint8_t>(reply.status));
          told.setMessage(reply.message.c_str());
          told.setRetryMs(reply.retry_ms);
          if (!reply.arcs.empty()) told.setArcs(wire::as_bytes(reply.arcs));
          told.setNextNumber(reply.next_number);
        });
  }

 private:
  template <class Results>
  std::shared_ptr<GroupHost> find(GroupId group, Results& results) {
    auto it = state_->hosts.find(group);
    if (it != state_->hosts.end()) return it->second;
    const std::string message = coordinator::to_string(state_->self) + " does not serve " + to_string(group);
    results.setStatus(static_cast<std::uint8_t>(Status::unavailable));
    results.setMessage(message.c_str());
    return nullptr;
  }

  std::shared_ptr<ServiceState> state_;
  std::string peer_;
};

class GreetingService final : public wire::ShardServer::Server {
 public:
  explicit GreetingService(std::shared_ptr<ServiceState> state) : state_(std::move(state)) {}

  kj::Promise<void> greet(GreetContext context) override {
    auto peer = context.getParams().getPeer();
    const std::string name(wire::as_text(peer.getName()));
    const std::string_view cluster = wire::as_text(peer.getCluster());
    auto results = context.getResults();
    auto self = results.initPeer();
    self.setProtocol(kShardProtocolVersion);
    self.setCluster(state_->cluster.c_str());
    self.setName(coordinator::to_string(state_->self).c_str());

    auto refuse = [&](Status status, const std::string& why) {
      LOG(WARNING) << "refused " << printable(name) << ": " << why;
      results.setStatus(static_cast<std::uint8_t>(status));
      results.setMessage(why.c_str());
      return kj::Promise<void>(kj::READY_NOW);
    };
    if (peer.getProtocol() != kShardProtocolVersion) {
      return refuse(Status::invalid_argument,
                    "this server speaks version " + std::to_string(kShardProtocolVersion) +
                        " of the inner protocol, not " + std::to_string(peer.getProtocol()) +
                        ": update the older one");
    }
    if (state_->cluster.empty()) return refuse(Status::unavailable, "this server is still starting");
    if (cluster != state_->cluster) {
      return refuse(Status::permission_denied,
                    "this server belongs to cluster " + state_->cluster + ", not to " + printable(cluster));
    }
    results.setHost(kj::heap<HostService>(state_, name));
    return kj::READY_NOW;
  }

 private:
  std::shared_ptr<ServiceState> state_;
};

}  // namespace

capnp::Capability::Client make_shard_service(std::shared_ptr<ServiceState> state) {
  return wire::ShardServer::Client(kj::heap<GreetingService>(std::move(state)));
}

}  // namespace dlm::server
