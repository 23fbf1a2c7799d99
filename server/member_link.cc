#include "server/member_link.h"

#include <glog/logging.h>
#include <kj/debug.h>

#include <utility>

#include "schema/wire/codec.h"
#include "server/failpoint.h"
#include "server/replica_codec.h"

namespace dlm::server {

MemberLink::MemberLink(wire::EventLoop& loop, wire::ShardLinkOptions options, MemberName self,
                       MemberName member, std::uint32_t call_timeout_ms, MemberEvents& events)
    : loop_(loop),
      self_(std::move(self)),
      member_(std::move(member)),
      address_(options.address.host + ":" + std::to_string(options.address.port)),
      call_timeout_ms_(call_timeout_ms),
      events_(events) {
  wire::ShardLink::Events link_events;
  link_events.on_up = [this](wire::ShardServer::Host::Client host) { on_up(kj::mv(host)); };
  link_events.on_down = [this](bool gone, const std::string& why) { on_down(gone, why); };
  link_ = wire::ShardLink::make(loop, std::move(options), std::move(link_events));
}

MemberLink::~MemberLink() = default;

void MemberLink::send(GroupId group, Message&& message) {
  Lane& lane = lanes_[group];
  if (host_ == nullptr) {
    lane.waiting = std::make_unique<Message>(std::move(message));
  } else {
    dispatch(group, lane, message);
  }
}

void MemberLink::on_up(wire::ShardServer::Host::Client host) {
  LOG(INFO) << "link to " << coordinator::to_string(member_) << " at " << address_ << " is up";
  was_up_ = true;
  told_gone_ = false;
  host_ = kj::mv(host);
  for (auto& [group, lane] : lanes_) {
    if (auto message = std::move(lane.waiting)) dispatch(group, lane, *message);
  }
}

void MemberLink::on_down(bool gone, const std::string& why) {
  const bool is_news = was_up_ || (gone && !told_gone_);
  if (is_news) {
    LOG(INFO) << "link to " << coordinator::to_string(member_) << " at " << address_
              << (gone ? " is down, the process is gone: " : " is down: ") << why;
  }
  was_up_ = false;
  told_gone_ = gone;
  host_ = nullptr;
  lanes_.clear();
  events_.on_link_down(member_, gone);
}

void MemberLink::dispatch(GroupId group, Lane& lane, const Message& message) {
  lane.call = nullptr;
  if (lane.replica == nullptr) {
    auto request = KJ_ASSERT_NONNULL(host_).replicaRequest();
    request.setGroup(group.value);
    lane.replica = request.send().getReplica();
  }
  wire::Replica::Client& replica = KJ_ASSERT_NONNULL(lane.replica);
  if (const Append* append = std::get_if<Append>(&message)) {
    auto request = replica.appendRequest(size_hint(*append));
    write(*append, self_, request);
    expect_reply(group, lane, request.send());
  } else {
    const auto& install = std::get<Install>(message);
    auto request = replica.installRequest(size_hint(install));
    write(install, self_, request);
    expect_reply(group, lane, request.send());
  }
}

template <class Results>
void MemberLink::expect_reply(GroupId group, Lane& lane, capnp::RemotePromise<Results>&& answer) {
  using Response = capnp::Response<Results>;
  kj::Promise<Response> result = kj::mv(answer);
  lane.call = wire::with_deadline(loop_, kj::mv(result), call_timeout_ms_, "a message to a member")
                  .then([this, group](Response&& response) {
                    DLM_FAILPOINT("append.reply_received");
                    events_.on_reply(group, read_reply(response, member_));
                  })
                  .eagerlyEvaluate([this, group](kj::Exception&& exception) {
                    VLOG(1) << to_string(group) << ": no reply from " << coordinator::to_string(member_)
                            << ": " << exception.getDescription().cStr();
                    events_.on_message_lost(group, member_);
                    // Whoever did not answer on this connection gets a new one; a broken one is noticed by
                    // the link.
                    if (exception.getType() == kj::Exception::Type::DISCONNECTED) {
                      link_->reconnect();
                    } else {
                      lanes_[group].replica = nullptr;
                    }
                  });
}

void MemberLink::send(const Transfer& transfer) {
  const GroupId from = transfer.from;
  const GroupId to = transfer.to;
  const std::uint64_t number = transfer.number;
  // Told from the loop, not from within this call.
  const auto finish = [this, from, to, number](TransferReply reply) {
    loop_.post([this, alive = std::weak_ptr<bool>(alive_), from, to, number, reply = std::move(reply)] {
      if (alive.expired()) return;
      transfers_.erase({from, to, number});
      events_.on_transferred(from, to, number, reply);
    });
  };
  if (host_ == nullptr) {
    return finish({Status::unavailable, coordinator::to_string(member_) + " is not connected", 0, {}, 0});
  }
  auto request = KJ_ASSERT_NONNULL(host_).moveInRequest(size_hint(transfer));
  request.setTo(to.value);
  write(transfer, request.initTransfer());
  using Response = capnp::Response<wire::ShardServer::Host::MoveInResults>;
  kj::Promise<Response> result = request.send();
  auto call = wire::with_deadline(loop_, kj::mv(result), call_timeout_ms_, "an arc for another group")
                  .then([finish](Response&& response) {
                    finish({static_cast<Status>(response.getStatus()),
                            std::string(wire::as_text(response.getMessage())), response.getRetryMs(),
                            std::string(wire::as_text(response.getArcs())), response.getNextNumber()});
                  })
                  .eagerlyEvaluate([finish](kj::Exception&& exception) {
                    finish({Status::unavailable, exception.getDescription().cStr(), 0, {}, 0});
                  });
  transfers_.insert_or_assign({from, to, number}, kj::mv(call));
}

std::vector<MemberLink::TransferName> MemberLink::transfers_out() const {
  std::vector<TransferName> names;
  for (const auto& [name, call] : transfers_) names.push_back(name);
  return names;
}

}  // namespace dlm::server
