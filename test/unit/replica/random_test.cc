// Random runs, each from one seed: messages lost, repeated and in any order, processes killed, frozen and
// restarted, links cut, a slow coordinator. Cluster checks safety after every step; then the faults stop and
// the group must serve again.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "test/unit/replica/cluster.h"

namespace dlm::server::test {
namespace {

constexpr int kSteps = 600;

ReplicaOptions options_of_a_run(std::mt19937_64& random) {
  ReplicaOptions options;
  options.ping_interval_ms = 20;
  options.silence_timeout_ms = 120;
  options.propose_retry_ms = 20;
  options.coordinator_timeout_ms = 400;
  options.log_bytes_max = random() % 2 == 0 ? 600 : 1u << 20;
  options.append_bytes_max = random() % 2 == 0 ? 250 : 1u << 20;
  options.durable = random() % 2 == 0;
  return options;
}

class RandomRun {
 public:
  explicit RandomRun(std::uint64_t seed)
      : random_(seed), options_(options_of_a_run(random_)), cluster_(options_) {
    const int servers = 2 + static_cast<int>(below(4));
    for (int server = 1; server <= servers; ++server) servers_.push_back("s" + std::to_string(server));
    faults_ = static_cast<int>(below(4));  // from a calm run to a wild one
    loss_percent_ = below(3) == 0 ? 0 : below(12);
  }

  // The first violation; empty: none.
  std::string run() {
    for (const std::string& server : servers_)
      if (below(4) != 0) cluster_.start(server);
    for (int step = 0; step < kSteps && cluster_.violation().empty(); ++step) this->step();
    if (cluster_.violation().empty()) recover();
    return cluster_.violation().empty() ? problem_ : cluster_.violation();
  }

  std::uint64_t total_losses() const { return cluster_.record().config.era - 1; }
  std::uint64_t acknowledged() const { return acknowledged_; }
  Epoch epoch() const { return cluster_.record().config.epoch; }
  std::size_t snapshots() const { return cluster_.snapshots(); }
  std::size_t restarts() const { return restarts_; }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  const std::string& any_server() { return servers_[below(servers_.size())]; }

  void step() {
    const std::uint64_t dice = below(100);
    if (dice < 65) {
      for (std::uint64_t moves = 1 + below(4); moves > 0; --moves) move_an_event();
    } else if (dice < 80) {
      cluster_.pass(below(10) == 0 ? below(150) : 1 + below(15));
    } else if (dice < 92) {
      client();
    } else if (static_cast<int>(below(4)) < faults_) {
      fault();
    }
  }

  void move_an_event() {
    std::vector<Event>& events = cluster_.events();
    if (events.empty()) return;
    std::size_t index = below(2) == 0 ? 0 : below(events.size());
    if (cluster_.held(events[index])) return;
    // What the coordinator shows comes to each in its order.
    if (std::holds_alternative<View>(events[index].what)) {
      const MemberName to = events[index].to;
      index = 0;
      while (!std::holds_alternative<View>(events[index].what) || events[index].to != to) ++index;
    }
    const bool message = std::holds_alternative<Append>(events[index].what) ||
                         std::holds_alternative<Install>(events[index].what) ||
                         std::holds_alternative<AppendReply>(events[index].what);
    if (message && below(100) < loss_percent_) {
      cluster_.drop(index, below(3) != 0);
      return;
    }
    if (message && below(100) < loss_percent_) events.push_back(Event(events[index]));
    cluster_.deliver(index);
  }

  void client() {
    std::string server = any_server();
    for (const std::string& other : servers_)  // clients seek who serves, and may find one that does no more
      if (below(3) != 0 && cluster_.runs(other) && cluster_[other].role() == Role::primary) server = other;
    if (!cluster_.runs(server) || cluster_.frozen(server)) return;
    if (below(3) == 0) {
      cluster_.barrier(server);
    } else if (below(40) == 0) {
      cluster_.step_down(server, below(2) == 0 ? StepDown::stay_in_set : StepDown::leave_set);
    } else {
      texts_.push_back("t" + std::to_string(texts_.size()));
      cluster_.append(server, texts_.back());
    }
  }

  void fault() {
    const std::string& server = any_server();
    if (options_.durable && below(4) == 0) return restart(server);
    switch (below(8)) {
      case 0:
        kill(server);
        break;
      case 1:
        if (!cluster_.runs(server)) cluster_.start(server);
        break;
      case 2:
        cluster_.cut(server, any_server());
        break;
      case 3:
        cluster_.cut_both(server, any_server());
        break;
      case 4:
        below(2) == 0 ? cluster_.cut_both(server, "zk") : cluster_.cut("zk", server);
        break;
      case 5:
      case 6:
        cluster_.heal();
        break;
      default:
        if (!cluster_.runs(server)) return;
        cluster_.frozen(server) ? cluster_.thaw(server) : cluster_.freeze(server);
    }
  }

  // The power fails, for one or for all.
  void restart(const std::string& server) {
    const bool all = below(3) == 0;
    for (const std::string& other : servers_)
      if (cluster_.runs(other) && (all || other == server)) cluster_.kill(other, below(3));
    for (const std::string& other : servers_)
      if (all || other == server) cluster_.start(other);
    ++restarts_;
  }

  // Mostly spares the last living member of the set, without which the group begins anew.
  void kill(const std::string& server) {
    if (!cluster_.runs(server)) return;
    bool another = cluster_.record().version == 0;
    for (const std::string& other : servers_)
      another = another || (other != server && cluster_.runs(other) &&
                            cluster_.record().config.has(cluster_.name(other)));
    if (!another && below(8) != 0) return;
    const MemberName name = cluster_.name(server);
    cluster_.kill(server, below(4));
    if (below(30) == 0) cluster_.wipe(server);
    if (below(2) == 0) cluster_.unregister(name);
    if (below(2) != 0) return;
    for (const std::string& other : servers_)  // their connections to it break, and it refuses new ones
      if (cluster_.runs(other)) cluster_.events().push_back({{}, cluster_.name(other), LinkDown{name, true}});
  }

  void recover() {
    cluster_.heal();
    for (const std::string& server : servers_) {
      cluster_.thaw(server);
      if (!cluster_.runs(server)) cluster_.start(server);
    }
    cluster_.run_for(5'000);
    acknowledged_ = 0;
    for (const std::string& text : texts_) acknowledged_ += cluster_.acknowledged(text) ? 1 : 0;
    const std::string server = cluster_.serving();
    if (server.empty()) {
      problem_ = "nobody serves\n" + cluster_.describe();
      return;
    }
    const std::uint64_t barrier = cluster_.barrier(server);
    cluster_.append(server, "the end");
    cluster_.run_for(200);
    if (!cluster_.acknowledged("the end") || !cluster_.passed(server, barrier))
      problem_ = "does not commit\n" + cluster_.describe();
    if (cluster_.record().config.in_sync.size() != servers_.size())
      problem_ = "not all joined\n" + cluster_.describe();
    for (const std::string& other : servers_)
      if (cluster_.applied(other) != cluster_.applied(server))
        problem_ = other + " differs\n" + cluster_.describe();
  }

  std::mt19937_64 random_;
  ReplicaOptions options_;
  Cluster cluster_;
  std::vector<std::string> servers_;
  std::vector<std::string> texts_;
  int faults_ = 0;
  std::uint64_t loss_percent_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::size_t restarts_ = 0;
  std::string problem_;
};

// DLM_REPLICA_SEED replays one run; DLM_REPLICA_RUNS sets how many there are.
TEST(ReplicaRandom, KeepsItsPromisesAndServesAgainAfterTheFaults) {
  const auto number = [](const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
  };
  const std::uint64_t only = number("DLM_REPLICA_SEED", 0);
  const std::uint64_t runs = number("DLM_REPLICA_RUNS", 500);
  std::uint64_t total_losses = 0, acknowledged = 0, takeovers = 0, snapshots = 0, restarts = 0;
  for (std::uint64_t seed = only ? only : 1; seed <= (only ? only : runs); ++seed) {
    RandomRun run(seed);
    ASSERT_EQ(run.run(), "") << "replay with DLM_REPLICA_SEED=" << seed;
    total_losses += run.total_losses();
    acknowledged += run.acknowledged();
    takeovers += run.epoch().value > 1 ? run.epoch().value - 1 : 0;
    snapshots += run.snapshots();
    restarts += run.restarts();
  }
  RecordProperty("total_losses", std::to_string(total_losses));
  RecordProperty("acknowledged", std::to_string(acknowledged));
  RecordProperty("takeovers", std::to_string(takeovers));
  RecordProperty("snapshots", std::to_string(snapshots));
  if (only) return;
  // The runs are worth something only if much happened in them.
  EXPECT_GT(acknowledged, runs * 5);
  EXPECT_GT(takeovers, runs / 2);
  EXPECT_GT(snapshots, runs / 10);
  EXPECT_GT(restarts, runs / 10);
  EXPECT_GT(total_losses, runs / 100);
}

}  // namespace
}  // namespace dlm::server::test
