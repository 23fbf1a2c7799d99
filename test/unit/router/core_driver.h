// Drives a RouterCore by hand: clients that say things, a cluster that answers, time that passes only when
// told. What a turn gives is kept as lines of text, so that tests read like a transcript.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "router/core/router_core.h"

namespace dlm::router {

struct Sent {
  CallId call;
  ServerId server;
  GroupId group;
  std::vector<OwnedOperation> operations;
};

class CoreDriver {
 public:
  explicit CoreDriver(const RouterOptions& options = {}) : core(options) {}

  RouterCore core;
  TimeMs now = 10'000;
  coordinator::ClusterView view;

  // --- the cluster: groups 1 to n, each with the primary s<n>#1, all links up
  void start(unsigned groups = 1);
  void publish() { core.view(view, now); }
  // Makes `server` ("s2") of that incarnation the group's primary, in the next epoch.
  void elect(unsigned group, const std::string& server, std::uint64_t incarnation = 1);
  void add_server(const std::string& server, std::uint64_t incarnation = 1);
  void up(const std::string& member) { core.link_up(servers.at(member), now); }
  void down(const std::string& member, bool gone = false, const std::string& why = "connection lost") {
    core.link_down(servers.at(member), gone, why, now);
  }
  // Begins a change of the ring to these groups, weight 1 each; no group is through with it.
  void change_ring(const std::vector<unsigned>& groups);
  // The change is over.
  void settle_ring();
  // A name that the ring gives to the group; a different one for each `n`.
  std::string name_in(unsigned group, unsigned n = 0) const;

  // --- clients
  // Connected and welcomed; base is number << 16.
  ConnectionId client(std::uint64_t number, const std::vector<GroupListing>& listings = {});
  ConnectionId say_hello(std::uint64_t number, const std::vector<GroupListing>& listings = {},
                         const std::string& cluster = "");
  void send(ConnectionId from, const std::vector<Operation>& operations, std::uint64_t acked_below = 1) {
    core.operations(from, Sequence(acked_below), operations, now);
  }

  // --- turns
  // One turn; then `sent` has the new submits at its end, `log` what clients were told since the last call of
  // told().
  void turn();
  // Passes time in steps, at each the core's next turn.
  void pass(TimeMs duration_ms);
  // "c1: opened g1/0 ttl 10000 cause 1, ok 1 token 7"; one line for each frame.
  std::vector<std::string> told();
  std::vector<Sent> take_sent();
  // Turns and the one submit that came of it; fails the test when there is not exactly one.
  Sent only_sent();

  // "open 65536 client-1, acquire 65536/1 orders"
  static std::string text(const Sent& submit);
  // An answer to each operation of a submit: open_session and heartbeats ok with TTL 10000, acquires granted,
  // the others ok; but `status` for all when it is given.
  static std::vector<Answer> answers_to(const Sent& submit, Status status = Status::ok);
  void answer(const Sent& submit, Status status = Status::ok) {
    core.submitted(submit.call, answers_to(submit, status), now);
  }

  std::vector<Sent> sent;
  std::vector<QueryCall> queries;
  std::vector<RingWrite> ring_writes;
  std::vector<GroupWrite> group_writes;
  std::vector<ClientReport> reports;
  std::vector<Answer> answers;         // all that clients were told
  std::vector<SessionNotice> notices;  // likewise
  std::vector<LinkChange> links;
  std::map<std::string, ServerId> servers;  // by member name
  RouterOutput output;

 private:
  std::vector<std::string> log_;
};

Operation acquire(std::uint64_t sequence, std::string_view resource, std::uint32_t deadline_ms = 0);
Operation release(std::uint64_t sequence, std::string_view resource, std::uint32_t deadline_ms = 0);
Operation cancel(std::uint64_t sequence, std::uint64_t target, std::string_view resource);

}  // namespace dlm::router
