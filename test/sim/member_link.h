// The way to one other member, as server/member_link.h: for each group at most one append or install is out.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "test/sim/server_link.h"
#include "test/sim/transfer_calls.h"

namespace dlm::sim {

class MemberLink {
 public:
  struct Events {
    std::function<void(GroupId, const server::AppendReply&)> on_reply;
    std::function<void(GroupId, const server::MemberName&)> on_message_lost;
    std::function<void(const server::MemberName&, bool gone)> on_link_down;
    TransferCalls::Told on_transferred;
  };
  MemberLink(Process& process, Network& network, const std::string& self,
             const coordinator::ServerMember& member, std::uint32_t call_timeout_ms, const Events& events);

  // Waits for the connection when it is being made. Takes the place of a message of the group that is still
  // out.
  using Content = std::variant<server::Append, server::Install>;
  void send(GroupId group, Content message);
  void send(const server::Transfer& transfer) { transfers_.send(link_, transfer); }

 private:
  struct Lane {
    std::optional<Content> waiting;
    std::uint64_t call = 0;  // out; 0: none
  };
  void dispatch(GroupId group, Lane& lane, Content message);
  void on_up();
  void on_message(Message&& message);

  Process& process_;
  server::MemberName member_;
  std::uint32_t call_timeout_ms_;
  const Events& events_;
  std::uint64_t last_call_ = 0;
  std::map<GroupId, Lane> lanes_;
  TransferCalls transfers_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  ServerLink link_;
};

}  // namespace dlm::sim
