// `dlm dev`: beginning and end.
#include <gmock/gmock.h>

#include <csignal>

#include "test/integration/cli/service.h"

namespace dlm::test {
namespace {

using ::testing::HasSubstr;

TEST(Dev, SaysThatItIsReadyAndWhatToTryAndEndsOnASignal) {
  for (int signal : {SIGINT, SIGTERM}) {
    Program dev({"dev", "--listen", "127.0.0.1:0"});
    ASSERT_TRUE(
        eventually([&] { return dev.out().find("Ctrl-C ends it") != std::string::npos || !dev.running(); }));
    EXPECT_THAT(dev.out(), HasSubstr("dlm dev is ready: router on 127.0.0.1:"));
    EXPECT_THAT(dev.out(), HasSubstr("export DLM_ROUTERS=127.0.0.1:"));
    dev.signal(signal);
    Ended ended = dev.wait();
    EXPECT_EQ(ended.code, 0);
    EXPECT_EQ(ended.err, "");
  }
}

TEST(Dev, EndsInOrderWhileClientsAreConnected) {
  Service service;
  ASSERT_TRUE(service.ok()) << service.program().err();
  Program holder({"lock", "x", "--", "sleep", "600"}, service.environment());
  ASSERT_TRUE(eventually([&] { return service.dlm({"ls"}).out.find("x ") != std::string::npos; }));
  service.program().signal(SIGTERM);
  Ended ended = service.program().wait();
  EXPECT_EQ(ended.code, 0);
  EXPECT_EQ(ended.err, "");
}

TEST(Dev, NamesThePortThatIsInUse) {
  Service service;
  ASSERT_TRUE(service.ok()) << service.program().err();
  Ended second = run({"dev", "--listen", service.router()});
  EXPECT_EQ(second.code, 71);
  expect_one_error_line(second);
  EXPECT_THAT(second.err, HasSubstr("port " + service.router().substr(service.router().rfind(':') + 1)));
  EXPECT_THAT(second.err, HasSubstr("--listen"));
}

TEST(Dev, RunsGroupsOfOneReplicaAndKeepsToItsLeaseLimits) {
  Service service({"--groups", "1", "--replicas", "1", "--lease-min", "2s", "--lease-max", "30s"});
  ASSERT_TRUE(service.ok()) << service.program().err();
  EXPECT_EQ(service.dlm({"lock", "x", "--", "true"}).code, 0);
  Ended too_long = service.dlm({"acquire", "x", "--lease", "31s"});
  EXPECT_EQ(too_long.code, 64);
  EXPECT_THAT(too_long.err, HasSubstr("30s"));
  EXPECT_EQ(service.dlm({"acquire", "x", "--lease", "30s"}).code, 0);
}

TEST(Dev, ServesSpareGroupsThatTheRingDoesNotHave) {
  Service service({"--groups", "1", "--replicas", "1", "--spare-groups", "1"});
  ASSERT_TRUE(service.ok()) << service.program().err();
  EXPECT_EQ(json_of(service.program().out()).at("spare_groups").as_int64(), 1);
  auto cluster = json_of(service.dlm({"status", "--json"}).out);
  EXPECT_EQ(cluster.at("ring").as_array().size(), 1U);
  ASSERT_EQ(cluster.at("groups").as_array().size(), 2U);
  EXPECT_EQ(cluster.at("groups").as_array()[1].at("problem").as_string(), "");
}

}  // namespace
}  // namespace dlm::test
