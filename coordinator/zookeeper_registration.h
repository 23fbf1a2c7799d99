// One ephemeral registration in ZooKeeper, from waiting for an earlier holder of the id to having it.
// Internal to coordinator/.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "coordinator/coordinator.h"
#include "coordinator/zookeeper_client.h"

namespace dlm::coordinator {

// On the executor's thread. Always owned by a shared_ptr.
class ZookeeperRegistration : public std::enable_shared_from_this<ZookeeperRegistration> {
 public:
  struct Request {
    std::string path;
    std::string data;
    // For people: who has the id, from what stands in the node.
    std::function<std::string(const std::string& data)> taken_text;
    Coordinator::Registered done;
  };

  // `client` outlives this. Does nothing before resume().
  ZookeeperRegistration(ZookeeperClient& client, Request request);

  const std::string& path() const { return request_.path; }
  const std::string& data() const { return request_.data; }
  bool done() const { return phase_ == Phase::done; }
  bool registered() const { return done() && registered_; }

  // In touch, in the session of this number.
  void resume(std::int64_t session);
  // The connection is gone, what is under way comes to nothing.
  void pause();
  void on_event(const ZookeeperEvent& event);
  // Patience is over: says who is there, or `unreachable` when that is not known. An answer that is on its
  // way is waited for.
  void give_up(const std::string& unreachable);
  // Reports failure at once, if nothing was reported yet.
  void fail(const std::string& why);

 private:
  enum class Phase { away, trying, waiting, done };

  void attempt();
  void look();
  void waits(const ZookeeperResult& holder);
  void finish(bool ok, const std::string& why);
  void refused(const ZookeeperResult& result);
  // Runs `next` unless the answer is of a connection that was lost since.
  ZookeeperClient::Done step(std::function<void(const ZookeeperResult&)> next);

  ZookeeperClient& client_;
  const Request request_;
  Phase phase_ = Phase::away;
  std::uint64_t round_ = 0;
  std::int64_t session_ = 0;
  bool patience_over_ = false;
  bool registered_ = false;
};

}  // namespace dlm::coordinator
