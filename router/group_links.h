// The router's links to the shard servers: lasting connections, a lock channel per group, submits, queries,
// and the listener through which grants come later. Decides nothing: the core says what goes where.
#pragma once

#include <kj/async.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "router/core/router_core.h"
#include "schema/wire/event_loop.h"
#include "schema/wire/rpc.h"

namespace dlm::router {

// Loop thread only. The core must outlive it.
class GroupLinks {
 public:
  // `self`: the router's id, told to servers. `wake` is called after each input to the core.
  GroupLinks(wire::EventLoop& loop, RouterCore& core, std::string self, wire::RpcLimits limits,
             std::function<void()> wake);
  ~GroupLinks();
  GroupLinks(const GroupLinks&) = delete;
  GroupLinks& operator=(const GroupLinks&) = delete;

  // The part of a turn's output that is for servers.
  void perform(const RouterOutput& output);

 private:
  struct Server;
  class Listener;

  void change(const LinkChange& change);
  void submit(const Submit& submit);
  void query(const QueryCall& call);
  void fail_query(CallId call, const std::string& why);
  Server* find(ServerId id);
  // Input to the core, then a turn.
  template <class Input>
  void tell(Input&& input) {
    input();
    wake_();
  }

  wire::EventLoop& loop_;
  RouterCore& core_;
  const std::string self_;
  const wire::RpcLimits limits_;
  std::function<void()> wake_;
  std::map<ServerId, std::shared_ptr<Server>> servers_;
  std::vector<CallId> unsent_submits_;
  std::vector<CallId> unsent_queries_;
};

}  // namespace dlm::router
