// How servers and routers register.
#include "coordinator/member_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dlm::coordinator {
namespace {

std::string why_not(std::string_view json) {
  ServerMember member;
  std::string error;
  EXPECT_FALSE(parse_json("s1", json, member, error)) << json;
  EXPECT_EQ(member, ServerMember()) << "as it was";
  return error;
}

TEST(ServerMember, IsReadAsItWasWritten) {
  for (bool durable : {false, true}) {
    const ServerMember member{{"s1", 42}, "10.0.0.5:7800", {GroupId(1), GroupId(20)}, durable};
    ServerMember read;
    std::string error;
    ASSERT_TRUE(parse_json("s1", to_json(member), read, error)) << error;
    EXPECT_EQ(read, member);
  }
}

TEST(ServerMember, SaysItsDurability) {
  EXPECT_EQ(to_json(ServerMember{{"s1", 42}, "h:1", {GroupId(1)}, true}),
            R"({"incarnation":42,"address":"h:1","groups":["g1"],"durability":"fsync"})");
  EXPECT_THAT(why_not(R"({"incarnation":42,"address":"h:1","groups":["g1"]})"),
              ::testing::HasSubstr("durability"));
  EXPECT_THAT(why_not(R"({"incarnation":42,"address":"h:1","groups":["g1"],"durability":"disk"})"),
              ::testing::HasSubstr(R"(must be "memory" or "fsync")"));
}

}  // namespace
}  // namespace dlm::coordinator
