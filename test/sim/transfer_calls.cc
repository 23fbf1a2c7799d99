#include "test/sim/transfer_calls.h"

#include <algorithm>
#include <utility>

namespace dlm::sim {

server::TransferReply unreached(const std::string& why) {
  server::TransferReply reply;
  reply.status = Status::unavailable;
  reply.message = why;
  return reply;
}

TransferCalls::~TransferCalls() {
  if (!process_.alive()) return;
  for (const auto& [name, call] : out_) {
    process_.post(0, [told = told_, arc = name] { told(arc, unreached("it left the cluster")); });
  }
}

void TransferCalls::send(ServerLink& link, const server::Transfer& transfer) {
  const Name name{transfer.from, transfer.to, transfer.number};
  const std::uint64_t call = out_[name] = ++last_call_;
  if (!link.up()) return fail_later(name, call, 0, "it is not connected");
  link.send(MoveIn{call, transfer});
  fail_later(name, call, timeout_ms_ * kMs, "no answer in time");
}

void TransferCalls::fail_later(const Name& name, std::uint64_t call, TimeUs delay, const std::string& why) {
  process_.post(delay, [this, name, call, why, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    auto found = out_.find(name);
    if (found == out_.end() || found->second != call) return;
    out_.erase(found);
    told_(name, unreached(why));
  });
}

void TransferCalls::replied(const MovedIn& reply) {
  auto found =
      std::find_if(out_.begin(), out_.end(), [&](const auto& entry) { return entry.second == reply.call; });
  if (found == out_.end()) return;
  const Name name = found->first;
  out_.erase(found);
  told_(name, reply.reply);
}

void TransferCalls::link_down() {
  for (const auto& [name, call] : out_) fail_later(name, call, 0, "the connection is lost");
}

}  // namespace dlm::sim
