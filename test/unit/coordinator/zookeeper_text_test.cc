#include <gtest/gtest.h>

#include "coordinator/zookeeper_address.h"
#include "coordinator/zookeeper_log.h"

namespace dlm::coordinator {
namespace {

TEST(ZookeeperAddress, IsHostsAndAnOptionalPath) {
  ZookeeperAddress address;
  std::string error;
  ASSERT_TRUE(parse_zookeeper_address("127.0.0.1:2181", address, error)) << error;
  EXPECT_EQ(address.hosts, "127.0.0.1:2181");
  EXPECT_EQ(address.root, "/dlm");
  ASSERT_TRUE(parse_zookeeper_address("a:1,b.example:65535/x/y", address, error)) << error;
  EXPECT_EQ(address.hosts, "a:1,b.example:65535");
  EXPECT_EQ(address.root, "/x/y");
}

TEST(ZookeeperAddress, RefusesWhatIsNoneAndSaysWhatToGive) {
  for (const char* bad :
       {"", "/dlm", "host", "host:", ":2181", "host:0", "host:65536", "host:x", "a:1,", "a:1,,b:2", "a b:1",
        "a:1/", "a:1//x", "a:1/x/", "a:1/x/../y", "a:1/.", "a:1/x y"}) {
    ZookeeperAddress address{"kept:1", "/kept"};
    std::string error;
    EXPECT_FALSE(parse_zookeeper_address(bad, address, error)) << bad;
    EXPECT_NE(error.find("host:port[,host:port...][/path]"), std::string::npos) << error;
    EXPECT_EQ(address.hosts, "kept:1");
  }
}

std::string refused(int port) {
  return "2026-01-01 13:15:25,655:8623(0x7f4e50b696c0):ZOO_ERROR@check_events@2985: Socket 127.0.0.1:" +
         std::to_string(port) +
         " zk retcode=-4, errno=111(Connection refused): server refused to accept the client";
}

TEST(ZookeeperLogFilter, LetsOneLineOfAKindThroughEveryFewSecondsAndCountsTheOthers) {
  ZookeeperLogFilter filter;
  ZookeeperLogFilter::Clock::time_point start{};
  const std::string line =
      "Socket 127.0.0.1:1 zk retcode=-4, errno=111(Connection refused): server refused to accept the client";
  EXPECT_EQ(filter.pass(refused(1), start), line);
  for (int i = 1; i < 50; ++i)
    EXPECT_EQ(filter.pass(refused(1), start + i * std::chrono::milliseconds(100)), std::nullopt);
  EXPECT_EQ(filter.pass("t:1(0x1):ZOO_WARN@other@1: another", start), "another") << "another kind";
  EXPECT_EQ(filter.pass(refused(1), start + std::chrono::seconds(5)), line + " (and 49 like it before)");
  EXPECT_EQ(filter.pass(refused(1), start + std::chrono::seconds(11)), line);
}

TEST(ZookeeperLogFilter, RemembersWhyServersCouldNotBeReached) {
  ZookeeperLogFilter filter;
  EXPECT_EQ(filter.last_failure("localhost:7"), "");
  filter.pass(refused(7), {});
  EXPECT_EQ(filter.last_failure("localhost:7"), "Connection refused");
  EXPECT_EQ(filter.last_failure("a:1,localhost:7"), "Connection refused");
  EXPECT_EQ(filter.last_failure("localhost:77"), "");
  EXPECT_EQ(filter.last_failure(""), "");
}

TEST(ZookeeperLogFilter, TakesAnyText) {
  ZookeeperLogFilter filter;
  for (const char* text :
       {"", ":ZOO_", ":ZOO_x: ", "Socket ", "errno=", "errno=)", "errno=1()", "Socket x errno=1(y"}) {
    EXPECT_NO_THROW(filter.pass(text, {})) << text;
  }
}

}  // namespace
}  // namespace dlm::coordinator
