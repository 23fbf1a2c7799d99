// Arcs on their way to the primaries that one other server has, as server/member_link.cc sends them: a call
// each, which fails when the link is down, goes down, or has no answer in time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "test/sim/server_link.h"

namespace dlm::sim {

// Nobody, or not now.
server::TransferReply unreached(const std::string& why);

class TransferCalls {
 public:
  struct Name {
    GroupId from;
    GroupId to;
    std::uint64_t number = 0;
    auto operator<=>(const Name&) const = default;
  };
  // Never told from within send().
  using Told = std::function<void(const Name&, const server::TransferReply&)>;
  TransferCalls(Process& process, std::uint32_t timeout_ms, Told told)
      : process_(process), timeout_ms_(timeout_ms), told_(std::move(told)) {}
  // Who is not needed any more will not answer.
  ~TransferCalls();

  // Takes the place of a call of the same name.
  void send(ServerLink& link, const server::Transfer& transfer);
  void replied(const MovedIn& reply);
  void link_down();

 private:
  void fail_later(const Name& name, std::uint64_t call, TimeUs delay, const std::string& why);

  Process& process_;
  std::uint32_t timeout_ms_;
  Told told_;
  std::uint64_t last_call_ = 0;
  std::map<Name, std::uint64_t> out_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace dlm::sim
