// What an operator's giving up of a group's in-sync set makes of its record, and what it is refused for.
#include "coordinator/core/group_recovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dlm::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class GivingUp : public ::testing::Test {
 protected:
  GivingUp() {
    record.version = 7;
    record.config.epoch = Epoch(3);
    record.config.primary = s1;
    record.config.in_sync = {s1, s2};
    record.config.lease_ms_max = 40'000;
    record.config.ring_done = 4;
    record.config.author = "s1#4/12";
  }
  RecoveryPlan planned() const { return plan_recovery(GroupId(1), record, registered); }

  const MemberName s1{"s1", 4};
  const MemberName s2{"s2", 7};
  const MemberName s3{"s3", 9};
  const MemberName s4{"s4", 1};
  VersionedConfig record;
  std::vector<Registered> registered{{s4, true}, {s3, true}};
};

TEST_F(GivingUp, HasTheFirstLivingMemberBeginInTheNextEpochAndEra) {
  const RecoveryPlan plan = planned();
  ASSERT_TRUE(plan.ok()) << plan.refusal;
  GroupConfig expected;
  expected.epoch = Epoch(4);
  expected.primary = s3;
  expected.in_sync = {s3};
  expected.era = 2;
  expected.lease_ms_max = 40'000;
  expected.recovering = true;
  EXPECT_EQ(plan.next, expected);
  EXPECT_THAT(plan.lost, ElementsAre(s1, s2));
  EXPECT_THAT(plan.in_sync_alive, ElementsAre());
}

TEST_F(GivingUp, IsRefusedWhileAMemberOfTheSetLives) {
  registered.push_back({s2, true});
  RecoveryPlan plan = planned();
  EXPECT_THAT(plan.refusal, StartsWith("s2#7 is in sync and lives: nothing is lost."));
  EXPECT_THAT(plan.lost, ElementsAre(s1));
  EXPECT_THAT(plan.in_sync_alive, ElementsAre(s2));
  registered.back().of_group = false;
  EXPECT_FALSE(planned().ok()) << "the process lives, whatever it says that it serves";
  registered.push_back({s1, true});
  EXPECT_THAT(planned().refusal, StartsWith("s1#4 s2#7 are in sync and live"));
}

TEST_F(GivingUp, TakesAServerOfTheSetThatCameBackWithNothing) {
  registered = {{{"s1", 5}, true}};
  const RecoveryPlan plan = planned();
  ASSERT_TRUE(plan.ok()) << plan.refusal;
  EXPECT_EQ(plan.next.primary, (MemberName{"s1", 5}));
  EXPECT_THAT(plan.lost, ElementsAre(s1, s2));
}

TEST_F(GivingUp, NeedsAGroupALivingMemberAndAnEra) {
  registered = {{s3, false}};
  EXPECT_EQ(planned().refusal, "no member of g1 lives: start a server with --groups g1 first");
  registered = {{s3, true}};
  record.config.era = kEraMax;
  EXPECT_THAT(planned().refusal, HasSubstr("used up its eras"));
  record = VersionedConfig();
  EXPECT_EQ(planned().refusal, "there is no group g1");
}

TEST_F(GivingUp, IsToldByItsAuthorWhichNoServerIs) {
  GroupConfig next = planned().next;
  next.author = operator_author("r1", 3);
  EXPECT_EQ(next.author, "admin/r1/3");
  EXPECT_TRUE(is_by_operator(next));
  next.author = to_string(MemberName{"admin", 3}) + "/1";
  EXPECT_FALSE(is_by_operator(next));
  GroupConfig back;
  std::string error;
  next.author = operator_author("r1", 3);
  ASSERT_TRUE(parse_json(to_json(next), back, error)) << error;
  EXPECT_EQ(back, next);
}

TEST_F(GivingUp, IsDescribedToMembersAlsoWhenTheyMissedTheRecordItself) {
  GroupConfig next = planned().next;
  const std::string line =
      "an operator had the group begin anew (dlm admin recover): given up: s1#4 s2#7; epoch 4, era 2";
  next.author = operator_author("r1", 3);
  EXPECT_EQ(describe_giving_up(record.config, next), line);
  next.author = "s3#9/1";
  next.in_sync = {s3, s4};
  EXPECT_EQ(describe_giving_up(record.config, next), line) << "by itself only one of the set begins";
  next.primary = {"s1", 5};
  next.in_sync = {next.primary};
  EXPECT_EQ(describe_giving_up(record.config, next), "");
  next.primary = s3;
  next.epoch = Epoch(5);
  EXPECT_EQ(describe_giving_up(record.config, next), "") << "it may have taken over from one of the set";
  next = record.config;
  next.era = 2;
  EXPECT_EQ(describe_giving_up(record.config, next), "") << "a move raises the era as well";
  EXPECT_EQ(describe_giving_up(GroupConfig(), planned().next), "") << "nothing was known before";
}

}  // namespace
}  // namespace dlm::coordinator
