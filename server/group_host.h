// The shell of one GroupCore: brings it what comes over the network and from the coordinator, calls its turn
// once per turn of the loop, and does what it says. Holds no decisions.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/coordinator.h"
#include "schema/shard.capnp.h"
#include "schema/wire/event_loop.h"
#include "server/core/group_core.h"
#include "server/group_storage.h"

namespace dlm::server {

// Calls that wait for their results.
using SubmitCall = capnp::CallContext<wire::LockChannel::SubmitParams, wire::LockChannel::SubmitResults>;
using QueryCall = capnp::CallContext<wire::LockChannel::QueryParams, wire::LockChannel::QueryResults>;
using AppendCall = capnp::CallContext<wire::Replica::AppendParams, wire::Replica::AppendResults>;
using InstallCall = capnp::CallContext<wire::Replica::InstallParams, wire::Replica::InstallResults>;

// Where a channel's later answers go. Called from the host's turn.
class LaterAnswers {
 public:
  virtual void later(std::vector<Answer>&& answers) = 0;

 protected:
  ~LaterAnswers() = default;
};

// How a host reaches the other members. The result of each message comes as on_reply or on_link_down.
class MemberNetwork {
 public:
  virtual void send(GroupId group, Append&& message) = 0;
  virtual void send(GroupId group, Install&& message) = 0;
  // To the primary of another group; the result comes as on_transferred, not from within the call.
  virtual void send(const Transfer& transfer) = 0;

 protected:
  ~MemberNetwork() = default;
};

// Loop thread only. Held by a shared_ptr: RPC services refer to it weakly, as a peer may hold on to them for
// longer.
class GroupHost : public std::enable_shared_from_this<GroupHost> {
 public:
  // Both must outlive it, or halt() be called before they go.
  GroupHost(wire::EventLoop& loop, const GroupOptions& options, coordinator::Coordinator& coordinator,
            MemberNetwork& network, RecoveredState&& state);
  // The disk of a durable group, at once after it was made. `on_failed`: the disk failed; the host is halted.
  void use_disk(std::unique_ptr<Folder> folder, const GroupIdentity& identity, std::unique_ptr<LogWriter> log,
                std::function<void(const std::string& why)> on_failed);

  // --- routers. A channel must be closed before its sink goes. ---
  ChannelId open_channel(LaterAnswers& sink);
  void close_channel(ChannelId channel);
  kj::Promise<void> submit(ChannelId channel, SubmitCall context);
  kj::Promise<void> query(QueryCall context);

  // --- other members ---
  kj::Promise<void> append(const MemberName& from, AppendCall context);
  kj::Promise<void> install(const MemberName& from, InstallCall context);
  void on_reply(const AppendReply& reply);
  void on_link_down(const MemberName& member, bool gone);

  // --- other groups ---
  // Never fails: the reply says.
  kj::Promise<TransferReply> move_in(const Transfer& transfer);
  void on_transferred(GroupId to, std::uint64_t number, const TransferReply& reply);

  // --- the coordinator ---
  void on_view(const coordinator::ClusterView& view);

  // For an orderly end: gives the primary's place away and leaves the in-sync set. False: nobody to give it
  // to, or not primary.
  bool leave();
  // Stops: every call that waits and every later one is rejected, nothing is sent any more.
  void halt();

  const GroupCore& core() const { return core_; }

 private:
  template <class Context>
  struct Call {
    Context context;
    kj::Own<kj::PromiseFulfiller<void>> done;
  };
  template <class Context>
  using Calls = boost::unordered_flat_map<RequestId, Call<Context>>;

  template <class Context>
  kj::Promise<void> wait_for(Calls<Context>& calls, RequestId request, Context&& context);
  void require_running() const;
  void schedule_turn();
  void turn();
  void carry_out(GroupOutput& output);
  void finish(GroupOutput::Finished& finished);
  void report(GroupOutput::Reported& reported);
  void reply(const GroupOutput::Reply& reply);
  void consult_coordinator(GroupOutput& output);
  void arm_timer();
  static Instant now();

  wire::EventLoop& loop_;
  MemberName self_;
  coordinator::Coordinator& coordinator_;
  MemberNetwork& network_;
  GroupCore core_;
  GroupOutput output_;
  std::unique_ptr<GroupStorage> storage_;  // of a durable group
  bool halted_ = false;
  bool turn_scheduled_ = false;
  std::uint64_t ids_ = 0;  // of channels and requests
  boost::unordered_flat_map<ChannelId, LaterAnswers*> channels_;
  Calls<SubmitCall> submits_;
  Calls<QueryCall> queries_;
  Calls<AppendCall> appends_;
  Calls<InstallCall> installs_;
  boost::unordered_flat_map<RequestId, kj::Own<kj::PromiseFulfiller<TransferReply>>> move_ins_;
  std::vector<Operation> operations_;  // of the submit that is being read; kept for its memory
  boost::asio::steady_timer timer_;
  TimeMs armed_for_ms_ = UINT64_MAX;
};

}  // namespace dlm::server
