// A primary that gives its place to a backup, because it is asked to or is about to end.
#include <gtest/gtest.h>

#include "group_cluster.h"

namespace dlm::server {
namespace {

constexpr std::uint64_t kAnn = 1u << 16;

GroupQuery step_down(const std::string& member) {
  return {GroupQuery::Kind::step_down, member, 0, 0};
}

// A cluster of so many members, all in sync.
class GroupStepDown : public ::testing::Test {
 protected:
  void begin(std::size_t members) {
    cluster_ = std::make_unique<GroupCluster>(static_cast<int>(members));
    for (int i = 0; i < 100 && cluster_->config().in_sync.size() < members; ++i) cluster_->pass_ms(50);
    ASSERT_EQ(cluster_->config().in_sync.size(), members);
  }
  std::string primary() const { return cluster_->primary(); }
  std::string primary_member() const { return coordinator::to_string(cluster_->config().primary); }

  std::string other_than(const std::string& server) const {
    for (const MemberName& member : cluster_->config().in_sync)
      if (member.server != server) return member.server;
    return "";
  }
  // Routers that don't reach the primary ask a backup, for so long.
  void ask_backup(const std::string& backup, TimeMs ms) {
    for (TimeMs passed = 0; passed < ms; passed += 100) {
      cluster_->submit(backup, {});
      cluster_->pass_ms(100);
    }
  }

  std::unique_ptr<GroupCluster> cluster_;
};

TEST_F(GroupStepDown, HandsOverInOrder) {
  begin(3);
  const std::string old = primary();
  cluster_->ask(old, open_session(kAnn, "ann"));
  const Answer first = cluster_->ask(old, acquire(kAnn, 1, "a"));
  EXPECT_TRUE(cluster_->core(old).step_down({cluster_->now_ms(), 0}, StepDown::leave_set));
  cluster_->settle();
  cluster_->pass_ms(100);
  EXPECT_NE(primary(), old);
  EXPECT_EQ(cluster_->config().in_sync.size(), 3U) << "it did not end, and joined again";
  EXPECT_EQ(cluster_->ask(primary(), acquire(kAnn, 1, "a")).token, first.token);
}

TEST_F(GroupStepDown, ThatIsAskedForIsAnsweredWithTheNewPrimary) {
  begin(3);
  const std::string old = primary();
  const RequestId request = cluster_->query(old, step_down(primary_member()));
  ASSERT_TRUE(cluster_->is_reported(request));
  EXPECT_NE(primary(), old);
  const auto& reported = cluster_->report(request);
  EXPECT_EQ(std::get<GroupReport>(reported.content).primary, primary_member());
  EXPECT_EQ(cluster_->config().in_sync.size(), 3U) << "it stays as a backup";
}

TEST_F(GroupStepDown, IsForTheMemberThatIsNamed) {
  begin(2);
  const std::string old = primary();
  const std::string other = old == "s1" ? "s2" : "s1";
  EXPECT_EQ(cluster_->report(cluster_->query(old, step_down("s9#1"))).status, Status::not_primary);
  EXPECT_EQ(cluster_->report(cluster_->query(other, step_down(primary_member()))).status,
            Status::not_primary);
  EXPECT_EQ(primary(), old);
}

TEST_F(GroupStepDown, WithoutABackupSaysSo) {
  begin(1);
  const auto& reported = cluster_->report(cluster_->query(primary(), step_down(primary_member())));
  EXPECT_EQ(reported.status, Status::unavailable);
  EXPECT_EQ(reported.message, "g1 has no backup in sync that could take over");
}

TEST_F(GroupStepDown, ThatFindsNobodyInTimeSaysSoAndTheGroupGoesOn) {
  begin(2);
  const std::string old = primary();
  cluster_->cut_from_coordinator(old);
  const RequestId request = cluster_->query(old, step_down(primary_member()));
  EXPECT_FALSE(cluster_->is_reported(request));
  cluster_->pass_ms(1'500);
  ASSERT_TRUE(cluster_->is_reported(request));
  EXPECT_EQ(cluster_->report(request).status, Status::unavailable);
  EXPECT_EQ(cluster_->ask(old, open_session(kAnn, "ann")).status, Status::ok);
}

// --- out of the routers' reach ---------------------------------------------------------------------------

TEST_F(GroupStepDown, APrimaryThatNoRouterReachesGivesItsPlaceToWhomTheyAsk) {
  begin(3);
  const std::string old = primary();
  const std::string asked = other_than(old);
  ask_backup(asked, 800);
  EXPECT_EQ(primary(), asked);
  EXPECT_EQ(cluster_->config().in_sync.size(), 3U);
}

TEST_F(GroupStepDown, APrimaryThatARouterReachesStays) {
  begin(3);
  const std::string old = primary();
  for (int i = 0; i < 20; ++i) {
    cluster_->ask(old, open_session(kAnn, "ann"));
    ask_backup(other_than(old), 200);
  }
  EXPECT_EQ(primary(), old);
}

TEST_F(GroupStepDown, APrimaryThatNobodyAsksStays) {
  begin(3);
  const std::string old = primary();
  cluster_->submit(other_than(old), {});  // once, by mistake
  cluster_->pass_ms(5'000);
  EXPECT_EQ(primary(), old);
}

TEST_F(GroupStepDown, APrimaryWithAnswersToGiveStays) {
  begin(3);
  const std::string old = primary();
  const std::string asked = other_than(old);
  for (const MemberName& member : cluster_->config().in_sync)
    if (member.server != old && member.server != asked) cluster_->cut_off(member.server);
  cluster_->submit(old, {open_session(kAnn, "ann")});  // until that one is given up
  ask_backup(asked, 900);
  EXPECT_EQ(cluster_->config().primary.server, old);
}

}  // namespace
}  // namespace dlm::server
