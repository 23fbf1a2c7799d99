// Random operations and faults over a group of three, against a model of who holds what.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "group_cluster.h"

namespace dlm::server {
namespace {

constexpr int kClients = 6;
constexpr int kResources = 4;

// Every operation is sent again, as routers do, until it is answered; so the model knows each outcome.
class RandomHistory {
 public:
  explicit RandomHistory(std::uint64_t seed) : random_(seed), cluster_(3, options()) {}

  void run(int rounds) {
    await_primary();
    for (std::uint64_t client = 1; client <= kClients; ++client)
      names_.push_back("c" + std::to_string(client));
    for (std::uint64_t client = 1; client <= kClients; ++client) {
      const Operation open = open_session(client << 16, names_[client - 1], 3'600'000);
      while (!is_final(cluster_.ask(cluster_.primary(), open))) await_primary();
    }
    recover();
    for (int round = 0; round < rounds && !::testing::Test::HasFailure(); ++round) one_round();
    recover();
    EXPECT_TRUE(cluster_.agree());
  }

 private:
  struct Asked {
    std::uint64_t client = 0;
    std::string resource;
    Operation operation;
    bool answered = false;
    Answer answer;
  };

  static GroupOptions options() {
    GroupOptions options;
    options.replica.log_bytes_max = 2'048;  // so that those who come back need snapshots
    options.snapshot_chunk_bytes = 256;
    return options;
  }

  static bool is_final(const Answer& answer) {
    return answer.status != Status::not_primary && answer.status != Status::unavailable;
  }

  void await_primary() {
    for (int i = 0; i < 2'000 && cluster_.primary().empty(); ++i) cluster_.pass_ms(10);
    ASSERT_NE(cluster_.primary(), "");
  }

  void break_something() {
    const std::string server = "s" + std::to_string(1 + random_() % 3);
    switch (random_() % 6) {
      case 0:
      case 1:
        // Never the last one in sync: that would lose everything, as it should.
        if (!cluster_.is_running(server) || in_sync_running() < 2) return;
        cluster_.kill(server);
        if (random_() % 2 == 0) cluster_.unregister(server);
        break;
      case 2:
        if (!cluster_.is_running(server)) cluster_.restart(server);
        break;
      case 3:
        cluster_.cut_off(server);
        break;
      default:
        for (int i = 1; i <= 3; ++i) cluster_.mend("s" + std::to_string(i));
    }
  }

  std::size_t in_sync_running() {
    std::size_t count = 0;
    for (const MemberName& member : cluster_.config().in_sync) count += cluster_.is_running(member);
    return count;
  }

  void recover() {
    for (int i = 1; i <= 3; ++i) {
      const std::string server = "s" + std::to_string(i);
      cluster_.mend(server);
      if (!cluster_.is_running(server)) cluster_.restart(server);
    }
    cluster_.pass_ms(2'000);  // what was lost on the way is missed after the silence timeout only
    for (int i = 0; i < 300 && (cluster_.primary().empty() || cluster_.config().in_sync.size() < 3); ++i) {
      cluster_.pass_ms(50);
    }
    ASSERT_EQ(cluster_.config().in_sync.size(), 3U);
    await_primary();
  }

  void one_round() {
    std::vector<Asked> asked = choose();
    for (int tries = 0; !all_answered(asked); ++tries) {
      if (tries > 20) recover();
      ASSERT_LT(tries, 30) << "no progress";
      send(asked, tries < 20);
    }
    for (const Asked& one : asked) check_repeat(one);
    judge(asked);
  }

  // Each of some clients releases what it holds, or takes something.
  std::vector<Asked> choose() {
    std::vector<Asked> asked;
    for (std::uint64_t client = 1; client <= kClients; ++client) {
      if (random_() % 2 == 0) continue;
      Asked one;
      one.client = client;
      one.resource = "r" + std::to_string(random_() % kResources);
      bool holds = false;
      for (const auto& [resource, holder] : holder_) {
        if (holder != client) continue;
        one.resource = resource;
        holds = true;
      }
      const std::uint64_t sequence = ++sequence_[client];
      one.operation = holds ? release(client << 16, sequence, "") : acquire(client << 16, sequence, "");
      asked.push_back(one);
    }
    return asked;
  }

  static bool all_answered(const std::vector<Asked>& asked) {
    return std::all_of(asked.begin(), asked.end(), [](const Asked& one) { return one.answered; });
  }

  static Operation operation_of(const Asked& one) {
    Operation op = one.operation;
    op.resource = one.resource;
    return op;
  }

  void send(std::vector<Asked>& asked, bool with_faults) {
    const std::string primary = cluster_.primary();
    if (primary.empty()) {
      cluster_.pass_ms(50);
      if (with_faults && random_() % 4 == 0) break_something();
      return;
    }
    std::vector<std::pair<Asked*, RequestId>> sent;
    for (Asked& one : asked) {
      if (!one.answered) sent.emplace_back(&one, cluster_.submit(primary, {operation_of(one)}));
    }
    if (with_faults && random_() % 3 == 0) break_something();
    cluster_.settle();
    if (with_faults && random_() % 3 == 0) break_something();
    cluster_.pass_ms(random_() % 100);
    for (auto& [one, request] : sent) {
      if (!cluster_.is_finished(request) || !is_final(cluster_.answers(request).front())) continue;
      one->answered = true;
      one->answer = cluster_.answers(request).front();
    }
  }

  // The first answer is the answer for ever.
  void check_repeat(const Asked& one) {
    if (cluster_.primary().empty()) return;
    const Answer answer = cluster_.ask(cluster_.primary(), operation_of(one));
    if (!is_final(answer)) return;
    EXPECT_EQ(answer.status, one.answer.status);
    EXPECT_EQ(answer.token, one.answer.token);
  }

  void judge(const std::vector<Asked>& asked) {
    for (const Asked& one : asked) {
      if (one.operation.kind != OperationKind::release) continue;
      EXPECT_EQ(one.answer.status, Status::ok) << one.answer.message;
      holder_.erase(one.resource);
    }
    for (const Asked& one : asked) {
      if (one.operation.kind != OperationKind::acquire) continue;
      if (one.answer.status != Status::ok) {
        EXPECT_EQ(one.answer.status, Status::timed_out) << one.answer.message;
        continue;
      }
      EXPECT_TRUE(holder_.emplace(one.resource, one.client).second) << "two hold " << one.resource;
      EXPECT_GT(one.answer.token, last_token_[one.resource]);
      last_token_[one.resource] = one.answer.token;
    }
  }

  std::mt19937_64 random_;
  GroupCluster cluster_;
  std::vector<std::string> names_;
  std::map<std::string, std::uint64_t> holder_;
  std::map<std::string, FencingToken> last_token_;
  std::map<std::uint64_t, std::uint64_t> sequence_;
};

class GroupRandomTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(GroupRandomTest, NothingIsHeldTwiceOrAnsweredTwoWays) {
  RandomHistory(GetParam()).run(150);
}

INSTANTIATE_TEST_SUITE_P(Seeds, GroupRandomTest, ::testing::Range<std::uint64_t>(1, 21));

}  // namespace
}  // namespace dlm::server
