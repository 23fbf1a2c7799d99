// The inside of a ServerProcess: one life of it. Only the files of that class include this.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/sim/alarm.h"
#include "test/sim/coordinator_client.h"
#include "test/sim/group_disk.h"
#include "test/sim/member_link.h"
#include "test/sim/server_process.h"

namespace dlm::sim {

// One router's channel to one group.
struct Channel {
  LinkId link;
  std::deque<Answer> queue;
  bool sending = false;
  std::uint64_t sent = 0;  // counts the calls
  bool cut_off = false;
};

struct ServerProcess::Life final : Endpoint {
  struct Asked {  // whose answer a request of the core is
    LinkId link;
    std::uint64_t call = 0;
    server::ChannelId channel;
  };
  struct Host {
    Host(const server::GroupOptions& options, server::RecoveredState&& state, Process& process, Task ring)
        : core(options, std::move(state)), alarm(process, std::move(ring)) {}
    server::GroupCore core;
    std::unique_ptr<GroupDisk> disk;  // of a durable one
    bool turn_scheduled = false;
    Alarm alarm;
    std::map<server::RequestId, Asked> asked;
    std::map<server::RequestId, TransferCalls::Name> local_moves;  // from groups that are led here, too
    std::map<server::ChannelId, Channel> channels;
    std::map<LinkId, server::ChannelId> channel_of;
  };

  explicit Life(ServerProcess& process);

  server::Instant now() const { return {self.clock_ms(), self.world().now() / kMs}; }

  // coordinator
  void on_view(const coordinator::ClusterView& view);
  const server::LockTableLimits& limits() const;
  void make_hosts();
  std::unique_ptr<GroupDisk> open_disk(GroupId group);
  void follow_members();
  void begin_session();
  void session_ended();
  void proposed(GroupId group, bool accepted);
  void settle_ring_if_due();
  void fail(const std::string& why);
  // connections
  void on_message(LinkId link, Message&& message) override;
  void on_closed(LinkId link) override;
  void take(LinkId link, const Submit& submit);
  void take(LinkId link, const Query& query);
  void take(LinkId link, Replicate&& message);
  void take(LinkId link, const LateTaken& taken);
  void take(LinkId link, const MoveIn& move);
  server::ChannelId channel_of(Host& host, LinkId link);
  // the turn
  void schedule_turn(GroupId group, Host& host);
  void turn(GroupId group);
  void carry_out(GroupId group, Host& host, server::GroupOutput& output);
  void answer(Host& host, server::GroupOutput& output);
  void later(GroupId group, Host& host, server::GroupOutput::Later&& later);
  void send_later(GroupId group, Host& host, server::ChannelId id);
  void send(GroupId group, MemberLink::Content message);
  void send(const server::Transfer& transfer);
  void move_in(Host& host, server::RequestId request, const server::Transfer& transfer);
  void arrived(Host& host, const server::GroupOutput::Arrived& arrival);
  void transferred(const TransferCalls::Name& name, const server::TransferReply& reply);
  void consult_coordinator(GroupId group, Host& host, server::GroupOutput& output);
  void rang(GroupId group, Host& host);

  ServerProcess& self;
  server::MemberName name;
  coordinator::ClusterView view;
  bool failed = false;
  bool registered = false;  // at least once
  bool proposing_ring = false;
  std::vector<GroupId> unknown;  // groups with a proposal whose session ended before its outcome was known
  std::map<GroupId, Host> hosts;
  std::map<LinkId, std::string> greeted;  // and who they said they are
  std::uint64_t ids = 0;
  MemberLink::Events member_events;
  std::map<server::MemberName, std::unique_ptr<MemberLink>> links;
  std::unique_ptr<CoordinatorClient> coordinator;
};

}  // namespace dlm::sim
