// Shard servers with data folders: what a start finds in one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "node_rig.h"

namespace dlm::server {
namespace {

using testing::HasSubstr;

constexpr GroupId kG1(1);
constexpr std::uint64_t kAnn = 1u << 16;

class DurableNodeTest : public testing::Test {
 protected:
  DurableNodeTest() : path_(testing::TempDir() + "dlm-durable-nodes-" + std::to_string(::getpid())) {
    std::filesystem::remove_all(path_);
  }
  ~DurableNodeTest() override {
    for (auto& [id, node] : rig_.nodes) node.shard.reset();
    std::filesystem::remove_all(path_);
  }

  ShardNodeOptions options(const std::string& id) const {
    ShardNodeOptions options = rig_.options(id);
    options.data_dir = path_ + "/" + id;
    options.groups = options.init_ring = {kG1};
    return options;
  }
  void start(int servers) {
    for (int i = 1; i <= servers; ++i) rig_.begin(options("s" + std::to_string(i)));
    rig_.await("registration", [&] {
      for (const auto& [id, node] : rig_.nodes)
        if (!node.ready) return false;
      return true;
    });
    rig_.await_in_sync(kG1, static_cast<std::size_t>(servers));
  }
  // As the power would: nobody is handed anything.
  void kill_all() {
    for (auto& [id, node] : rig_.nodes) node.shard.reset();
  }
  std::unique_ptr<FakeRouter> router() {
    auto router = std::make_unique<FakeRouter>(rig_, rig_.nodes.at(rig_.primary(kG1)).shard->address());
    EXPECT_EQ(router->open(kG1), Status::ok);
    return router;
  }
  std::string why_not(const ShardNodeOptions& options) {
    NodeRig::Node& node = rig_.begin(options);
    rig_.await("the failure", [&] { return !node.failure.empty(); });
    return node.failure;
  }

  NodeRig rig_;
  const std::string path_;
};

TEST_F(DurableNodeTest, AllGoOnWithEveryHoldAfterTheyWereKilled) {
  start(3);
  std::vector<Answer> held;
  {
    auto at = router();
    at->ask(open_session(kAnn, "ann"));
    for (std::uint64_t i = 1; i <= 20; ++i)
      held.push_back(at->ask(acquire(kAnn, i, "lock " + std::to_string(i))));
  }
  const coordinator::MemberName name = rig_.nodes.at("s1").shard->name();
  for (int round = 0; round < 3; ++round) {
    kill_all();
    start(3);
    EXPECT_EQ(rig_.nodes.at("s1").shard->name(), name);
    EXPECT_EQ(rig_.view.groups.at(kG1).config.era, 1u);
    auto at = router();
    for (std::uint64_t i = 1; i <= 20; ++i)
      EXPECT_EQ(at->ask(acquire(kAnn, i, "lock " + std::to_string(i))).token, held[i - 1].token);
  }
}

TEST_F(DurableNodeTest, ADamagedFolderIsRefusedAndTheGroupGoesOn) {
  start(2);
  const std::string damaged = rig_.primary(kG1) == "s1" ? "s2" : "s1";
  router()->ask(open_session(kAnn, "ann"));
  rig_.kill(damaged);
  {
    std::fstream log(path_ + "/" + damaged + "/g1/log-000000000001",
                     std::ios::in | std::ios::out | std::ios::binary);
    log.seekp(5'000);
    log.put('x');
  }
  EXPECT_THAT(why_not(options(damaged)), HasSubstr("log-000000000001: damaged at byte 4608"));
  rig_.nodes.erase(damaged);
  std::filesystem::remove_all(path_ + "/" + damaged);
  rig_.begin(options(damaged));  // a new member
  rig_.await_in_sync(kG1, 2);
}

TEST_F(DurableNodeTest, AFolderThatIsInUseIsRefused) {
  start(1);
  ShardNodeOptions second = options("s2");
  second.data_dir = path_ + "/s1";
  EXPECT_THAT(why_not(second), HasSubstr("another process uses the data folder"));
}

TEST_F(DurableNodeTest, AFolderOfAnotherServerIsRefused) {
  start(1);
  kill_all();
  ShardNodeOptions second = options("s2");
  second.data_dir = path_ + "/s1";
  EXPECT_THAT(why_not(second), HasSubstr("is the data folder of server s1"));
}

TEST_F(DurableNodeTest, AFolderWhoseServerWasStartedWithAnotherIsOutdated) {
  start(2);
  rig_.kill("s1");
  rig_.await("s2 alone", [&] { return rig_.view.groups.at(kG1).config.in_sync.size() == 1; });
  ShardNodeOptions elsewhere = options("s1");
  elsewhere.data_dir = path_ + "/elsewhere";
  rig_.begin(elsewhere);
  rig_.await_in_sync(kG1, 2);
  kill_all();  // so that nobody takes it out of the set
  EXPECT_THAT(why_not(options("s1")), HasSubstr("what is in the folder is outdated"));
}

TEST_F(DurableNodeTest, AGroupFolderThatIsMissingIsRefused) {
  start(1);
  kill_all();
  std::filesystem::remove_all(path_ + "/s1/g1");
  EXPECT_THAT(why_not(options("s1")), HasSubstr("g1: is missing"));
}

}  // namespace
}  // namespace dlm::server
