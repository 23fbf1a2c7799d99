#include "test/sim/member_link.h"

#include <utility>

namespace dlm::sim {

MemberLink::MemberLink(Process& process, Network& network, const std::string& self,
                       const coordinator::ServerMember& member, std::uint32_t call_timeout_ms,
                       const Events& events)
    : process_(process),
      member_(member.name),
      call_timeout_ms_(call_timeout_ms),
      events_(events),
      transfers_(process, call_timeout_ms, events.on_transferred),
      link_(process, network, {member.address, self, to_string(member.name), call_timeout_ms},
            {.on_up = [this] { on_up(); },
             .on_down =
                 [this](bool gone) {
                   lanes_.clear();
                   transfers_.link_down();
                   events_.on_link_down(member_, gone);
                 },
             .on_message = [this](Message&& message) { on_message(std::move(message)); }}) {}

void MemberLink::send(GroupId group, Content message) {
  Lane& lane = lanes_[group];
  if (link_.up()) {
    dispatch(group, lane, std::move(message));
  } else {
    lane.waiting = std::move(message);
  }
}

void MemberLink::on_up() {
  for (auto& [group, lane] : lanes_) {
    if (!lane.waiting) continue;
    Content message = std::move(*lane.waiting);
    lane.waiting.reset();
    dispatch(group, lane, std::move(message));
  }
}

void MemberLink::dispatch(GroupId group, Lane& lane, Content message) {
  const std::uint64_t call = lane.call = ++last_call_;
  link_.send(Replicate{call, group, std::move(message)});
  process_.post(call_timeout_ms_ * kMs, [this, group, call, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    auto found = lanes_.find(group);
    if (found == lanes_.end() || found->second.call != call) return;
    found->second.call = 0;
    events_.on_message_lost(group, member_);
    link_.reconnect();
  });
}

void MemberLink::on_message(Message&& message) {
  if (const auto* arrived = std::get_if<MovedIn>(&message)) return transfers_.replied(*arrived);
  GroupId group;
  std::uint64_t call = 0;
  const auto* done = std::get_if<Replicated>(&message);
  const auto* failed = std::get_if<CallFailed>(&message);
  if (done != nullptr) {
    group = done->group;
    call = done->call;
  } else if (failed != nullptr) {
    group = failed->group;
    call = failed->call;
  }
  auto found = lanes_.find(group);
  if (found == lanes_.end() || found->second.call != call) return;
  found->second.call = 0;
  if (done != nullptr && done->replied) {
    server::AppendReply reply = done->reply;
    reply.from = member_;
    events_.on_reply(group, reply);
  } else {
    events_.on_message_lost(group, member_);
  }
}

}  // namespace dlm::sim
