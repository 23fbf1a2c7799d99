// Routers for tests of the client library: real sockets and frames in front of one group with a simple lock
// table in memory, all on a thread of its own. They can be stopped, made silent, made to refuse, and asked
// what they saw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "schema/types.h"
#include "test/support/fake_ring.h"

namespace dlm::test {

struct FakeRouterCounters {
  std::size_t connections = 0;
  std::size_t operation_frames = 0;
  std::size_t operations = 0;
  std::size_t heartbeats = 0;
  std::size_t byes = 0;
  std::size_t repeats = 0;  // operations that had been seen before
};

// Any thread. All routers share the group's state, as real ones do.
class FakeRouters {
 public:
  explicit FakeRouters(std::size_t count, std::uint32_t session_ttl_ms = 10'000);
  ~FakeRouters();

  std::string address(std::size_t router) const;
  std::vector<std::string> addresses() const;

  // Closes the listener and all its connections; start() listens on the same port again.
  void stop(std::size_t router);
  void start(std::size_t router);
  // Reads everything and answers nothing, heartbeats included.
  void set_silent(std::size_t router, bool silent);
  // Answers Hello with a refusal; Status::ok: no longer.
  void set_refusal(std::size_t router, Status status, const std::string& message);
  void set_cluster(std::size_t router, const std::string& cluster);
  // The cluster id that the router found in the last Hello.
  std::string hello_cluster(std::size_t router) const;
  std::size_t clients(std::size_t router) const;

  // The group ends all sessions, with their holds and waits, and says so.
  void end_sessions();
  // The same without a word, until the next heartbeat.
  void end_sessions_silently();
  // Drops the connection instead of answering the next operations frame, after having executed it.
  void drop_next_answers();

  // Looks at the ring that they tell of, or sets it up, on their thread.
  void with_ring(const std::function<void(FakeRing&)>& what);
  // Drops the connection instead of answering the next change of the ring, after having carried it out or
  // instead.
  void drop_next_change(bool done);

  FakeRouterCounters counters() const;
  std::size_t holders(const std::string& resource) const;
  std::size_t waiters(const std::string& resource) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dlm::test
