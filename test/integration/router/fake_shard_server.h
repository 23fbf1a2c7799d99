// A shard server as routers see it, without replication behind it: several of them share one FakeGroup, which
// stands for the state that they would replicate. Serves whoever the group says is primary.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "schema/operation.h"
#include "schema/shard.capnp.h"
#include "schema/wire/rpc.h"

namespace dlm::router {

// Exclusive locks with a queue, sessions, and answers kept for repeats.
class FakeGroup {
 public:
  using Name = std::pair<std::uint64_t, std::uint64_t>;  // session, sequence

  explicit FakeGroup(GroupId group) : id(group) {}

  // Applies one; grants that follow for others are put into `later`.
  Answer apply(const Operation& op, std::vector<Answer>& later);

  const GroupId id;
  std::string primary;            // member name
  bool silent = false;            // submits get no answer, though they are applied
  bool broken = false;            // channels fail, though their connections live
  bool away = false;              // all that it had went to another group
  std::vector<GroupId> moved_to;  // told to who sends a heartbeat
  std::set<std::uint64_t> sessions;
  std::map<Name, Answer> answers;
  std::map<std::string, Name> held;
  std::map<std::string, std::deque<Name>> waiting;
  std::vector<std::string> submits;  // "s1#1: 3": who got how many operations
  std::vector<std::string> applied;  // "acquire 65536/1 x", repeats left out

 private:
  Answer acquire(const Operation& op, const Name& name);
  void release(const Operation& op, std::vector<Answer>& later);
  Answer granted(const Name& name);

  std::uint64_t last_token_ = std::uint64_t{1} << 40;
};

class FakeShardServer {
 public:
  FakeShardServer(wire::EventLoop& loop, std::string cluster, std::string member,
                  std::vector<std::shared_ptr<FakeGroup>> groups);
  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }

 private:
  class Host;
  class Greeter;
  class Channel;
  struct Shared {
    std::string cluster;
    std::string member;
    std::map<GroupId, std::shared_ptr<FakeGroup>> groups;
    std::map<GroupId, kj::Maybe<wire::AnswerListener::Client>> listeners;
  };
  std::shared_ptr<Shared> shared_;
  kj::Own<wire::RpcServer> server_;
};

}  // namespace dlm::router
