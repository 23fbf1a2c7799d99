// The way to one other member: a lasting connection, and on it for each group at most one append or install
// at a time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "schema/shard.capnp.h"
#include "schema/wire/shard_link.h"
#include "server/core/move.h"
#include "server/core/replica.h"

namespace dlm::server {

// What becomes of messages to a member. Called from the loop, not from within send().
class MemberEvents {
 public:
  virtual void on_reply(GroupId group, const AppendReply& reply) = 0;
  // The message that was out for this group got no answer.
  virtual void on_message_lost(GroupId group, const MemberName& member) = 0;
  // What became of a transfer that group `from` sent to group `to`.
  virtual void on_transferred(GroupId from, GroupId to, std::uint64_t number, const TransferReply& reply) = 0;
  // The connection is lost, or could not be made; for all groups. `gone`: the process is dead.
  virtual void on_link_down(const MemberName& member, bool gone) = 0;

 protected:
  ~MemberEvents() = default;
};

// Loop thread only.
class MemberLink {
 public:
  // `self` and `member` are the ends; the rest of `options` is used as it is.
  MemberLink(wire::EventLoop& loop, wire::ShardLinkOptions options, MemberName self, MemberName member,
             std::uint32_t call_timeout_ms, MemberEvents& events);
  ~MemberLink();

  // Waits for the connection when it is being made. Takes the place of a message of the group that is still
  // out.
  using Message = std::variant<Append, Install>;
  void send(GroupId group, Message&& message);
  // Of an arc, to the primary of another group that the member is. Does not wait for a connection. At most
  // one at a time of each number.
  void send(const Transfer& transfer);

  // The transfers that are not answered. Of these nothing is told any more when the link goes.
  struct TransferName {
    GroupId from;
    GroupId to;
    std::uint64_t number = 0;
    auto operator<=>(const TransferName&) const = default;
  };
  std::vector<TransferName> transfers_out() const;

  const std::string& address() const { return address_; }

 private:
  struct Lane {
    std::unique_ptr<Message> waiting;  // for the connection
    kj::Maybe<wire::Replica::Client> replica;
    kj::Promise<void> call = nullptr;
  };

  void on_up(wire::ShardServer::Host::Client host);
  void on_down(bool gone, const std::string& why);
  void dispatch(GroupId group, Lane& lane, const Message& message);
  template <class Results>
  void expect_reply(GroupId group, Lane& lane, capnp::RemotePromise<Results>&& answer);

  wire::EventLoop& loop_;
  MemberName self_;
  MemberName member_;
  std::string address_;
  std::uint32_t call_timeout_ms_;
  MemberEvents& events_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool was_up_ = false;
  bool told_gone_ = false;
  std::unique_ptr<wire::ShardLink> link_;
  // Before the link in destruction: capabilities go before their connection.
  kj::Maybe<wire::ShardServer::Host::Client> host_;
  std::map<GroupId, Lane> lanes_;
  std::map<TransferName, kj::Promise<void>> transfers_;
};

}  // namespace dlm::server
