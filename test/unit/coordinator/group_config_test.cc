#include "coordinator/core/group_config.h"

#include <gtest/gtest.h>

namespace dlm::coordinator {
namespace {

GroupConfig sample() {
  GroupConfig config;
  config.epoch = Epoch(3);
  config.primary = {"s1", 42};
  config.in_sync = {{"s1", 42}, {"s2", 7}};
  config.author = "s1#42/17";
  return config;
}

TEST(GroupConfigJson, IsReadableByPeople) {
  EXPECT_EQ(
      to_json(sample()),
      R"({"epoch":3,"primary":"s1#42","inSync":["s1#42","s2#7"],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":"s1#42/17"})");
}

TEST(GroupConfigJson, RoundTripsEveryField) {
  GroupConfig config = sample();
  config.epoch = Epoch(UINT64_MAX);
  config.primary.incarnation = config.in_sync[0].incarnation = UINT64_MAX;
  config.era = kEraMax;
  config.lease_ms_max = UINT32_MAX;
  config.recovering = true;
  config.ring_done = UINT64_MAX;
  config.author = "quote \" and\nline";
  GroupConfig read;
  std::string error;
  ASSERT_TRUE(parse_json(to_json(config), read, error)) << error;
  EXPECT_EQ(read, config);

  GroupConfig nobody;
  nobody.epoch = Epoch(1);
  ASSERT_TRUE(parse_json(to_json(nobody), read, error)) << error;
  EXPECT_EQ(read, nobody);
}

struct BadConfig {
  const char* json;
  const char* error;
};

TEST(GroupConfigJson, RefusesWhatIsNotAConfigurationAndSaysWhy) {
  const BadConfig cases[] = {
      {"", "not JSON: incomplete JSON"},
      {"{", "not JSON: incomplete JSON"},
      {"[]", "not a JSON object"},
      {"{}", "epoch is missing"},
      {R"({"epoch":1,"primary":"","inSync":[],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":"","more":1})",
       "more is not a known field"},
      {R"({"epoch":0,"primary":"","inSync":[],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":""})",
       "epoch must be a whole number from 1 to 18446744073709551615"},
      {R"({"epoch":-1,"primary":"","inSync":[],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":""})",
       "epoch must be a whole number from 1 to 18446744073709551615"},
      {R"({"epoch":1.5,"primary":"","inSync":[],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":""})",
       "epoch must be a whole number from 1 to 18446744073709551615"},
      {R"({"epoch":1,"primary":"","inSync":[],"era":16777216,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":""})",
       "era must be a whole number from 1 to 16777215"},
      {R"({"epoch":1,"primary":"","inSync":[],"era":1,"leaseMsMax":4294967296,"recovering":false,"ringDone":0,"author":""})",
       "leaseMsMax must be a whole number from 0 to 4294967295"},
      {R"({"epoch":1,"primary":7,"inSync":[],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":""})",
       "primary must be a string"},
      {R"({"epoch":1,"primary":"s1","inSync":[],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":""})",
       "primary must be a member such as \"s1#42\""},
      {R"({"epoch":1,"primary":"s1#1","inSync":[],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":""})",
       "primary is not in inSync"},
      {R"({"epoch":1,"primary":"","inSync":"s1#1","era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":""})",
       "inSync must be a list"},
      {R"({"epoch":1,"primary":"","inSync":[1],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":""})",
       "inSync must be a list of members such as \"s1#42\""},
      {R"({"epoch":1,"primary":"","inSync":["s1#1","s1#1"],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":0,"author":""})",
       "inSync names s1#1 twice"},
      {R"({"epoch":1,"primary":"","inSync":[],"era":1,"leaseMsMax":0,"recovering":0,"ringDone":0,"author":""})",
       "recovering must be true or false"},
      {R"({"epoch":1,"primary":"","inSync":[],"era":1,"leaseMsMax":0,"recovering":false,"ringDone":-1,"author":""})",
       "ringDone must be a whole number from 0 to 18446744073709551615"},
  };
  for (const BadConfig& bad : cases) {
    GroupConfig out = sample();
    std::string error;
    EXPECT_FALSE(parse_json(bad.json, out, error)) << bad.json;
    EXPECT_EQ(error, bad.error) << bad.json;
    EXPECT_EQ(out, sample()) << "a refused text changes nothing: " << bad.json;
  }
}

TEST(TotalLoss, IsWhenNobodyOfTheSetLivesAndOverWhenAllItsServersAreBackAnew) {
  GroupConfig config = sample();  // s1#42 s2#7 in sync
  struct Case {
    std::vector<MemberName> alive;
    bool lost;
    std::vector<std::string> missing;
    const char* text;
  };
  const Case cases[] = {
      {{{"s1", 42}, {"s2", 7}}, false, {}, ""},
      {{{"s2", 7}}, false, {}, ""},
      {{{"s1", 43}, {"s2", 7}, {"s3", 1}}, false, {}, ""},
      {{}, true, {"s1", "s2"}, "all replicas were lost (s1#42 s2#7), s1 and s2 must come back"},
      {{{"s1", 43}}, true, {"s2"}, "all replicas were lost (s1#42 s2#7), s2 must come back"},
      {{{"s3", 99}}, true, {"s1", "s2"}, "all replicas were lost (s1#42 s2#7), s1 and s2 must come back"},
      // An older incarnation is news that came late, not a return.
      {{{"s1", 43}, {"s2", 6}}, true, {"s2"}, "all replicas were lost (s1#42 s2#7), s2 must come back"},
      {{{"s1", 43}, {"s2", 8}}, true, {}, "all replicas were lost (s1#42 s2#7), it begins anew"},
  };
  for (const Case& each : cases) {
    const TotalLoss loss = total_loss(config, each.alive);
    EXPECT_EQ(loss.lost, each.lost) << each.text;
    EXPECT_EQ(loss.missing, each.missing) << each.text;
    EXPECT_EQ(describe(loss, config), each.text);
  }
  config.in_sync.clear();
  EXPECT_FALSE(total_loss(config, {}).lost) << "there was nothing to lose";
}

TEST(LeaseStep, DoublesFromTheDefaultUpToTheLimit) {
  constexpr std::uint32_t kHourMs = 3'600'000;
  EXPECT_EQ(lease_step_ms(1, kHourMs), 10'000U);
  EXPECT_EQ(lease_step_ms(10'000, kHourMs), 10'000U);
  EXPECT_EQ(lease_step_ms(10'001, kHourMs), 20'000U);
  EXPECT_EQ(lease_step_ms(100'000, kHourMs), 160'000U);
  EXPECT_EQ(lease_step_ms(kHourMs, kHourMs), kHourMs);
  EXPECT_EQ(lease_step_ms(1'000, 2'000), 2'000U) << "no longer lease is ever given";
  EXPECT_EQ(lease_step_ms(UINT32_MAX, UINT32_MAX), UINT32_MAX);
}

TEST(MemberName, IsReadBackAsItIsPrinted) {
  MemberName read;
  ASSERT_TRUE(parse_member("s1#42", read));
  EXPECT_EQ(read, (MemberName{"s1", 42}));
  EXPECT_EQ(to_string(MemberName{}), "");
  for (const char* bad : {"", "#1", "s1", "s1#", "s1#x", "s1#1x", "s1#-1", "s1#01", "s1# 1",
                          "s1#18446744073709551616", "s 1#1", "s1#1#1", "..#1"}) {
    EXPECT_FALSE(parse_member(bad, read)) << bad;
  }
}

TEST(ServerId, IsShortAndOfSafeCharacters) {
  for (const char* good : {"s1", "a", "node-7.rack_2", "-", "..."})
    EXPECT_TRUE(valid_server_id(good)) << good;
  EXPECT_TRUE(valid_server_id(std::string(64, 'a')));
  EXPECT_FALSE(valid_server_id(std::string(65, 'a')));
  for (const char* bad : {"", ".", "..", "a/b", "a b", "a#1", "\xc3\xbc", "a\n"})
    EXPECT_FALSE(valid_server_id(bad)) << bad;
}

}  // namespace
}  // namespace dlm::coordinator
