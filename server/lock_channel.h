// One router's channel to one group: its submits and queries, and the later answers on their way back to it.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "schema/shard.capnp.h"
#include "schema/wire/event_loop.h"
#include "server/group_host.h"

namespace dlm::server {

struct LockChannelLimits {
  std::size_t queued_answers_max = 262'144;  // a router that does not take its answers is cut off
  std::size_t answers_per_call_max = 8'192;
  std::uint32_t call_timeout_ms = 5'000;
  std::size_t operations_per_submit_max = 65'536;
};

// Loop thread only. Closes its channel at the group when the router has dropped it.
class LockChannel final : public wire::LockChannel::Server, private LaterAnswers {
 public:
  LockChannel(wire::EventLoop& loop, std::weak_ptr<GroupHost> host, wire::AnswerListener::Client listener,
              const LockChannelLimits& limits);
  ~LockChannel() noexcept(false);

  kj::Promise<void> submit(SubmitContext context) override;
  kj::Promise<void> query(QueryContext context) override;

 private:
  void later(std::vector<Answer>&& answers) override;
  void send();
  void cut_off(const char* why);
  std::shared_ptr<GroupHost> host();

  wire::EventLoop& loop_;
  std::weak_ptr<GroupHost> host_;
  wire::AnswerListener::Client listener_;
  LockChannelLimits limits_;
  ChannelId channel_;
  bool cut_off_ = false;
  bool sending_ = false;  // at most one call is out: the next answers collect meanwhile
  std::deque<Answer> queue_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  kj::Promise<void> call_ = nullptr;  // last: what it runs uses the rest
};

}  // namespace dlm::server
