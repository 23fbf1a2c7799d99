// dlm::Client among routers: those that go, fall silent, refuse, or belong to somebody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "dlm/client.h"
#include "test/integration/client/client_fixture.h"

namespace dlm {
namespace {

using testing::HasSubstr;

TEST(ClientRouters, GoesOnAtAnotherRouterWithItsLocksHeld) {
  test::FakeRouters routers(2, 3'000);
  Client client(options_for(routers, seconds(3)));
  Lock lock = client.acquire("a").value();
  FencingToken token = lock.token();
  for (int round = 0; round < 3; ++round) {
    std::size_t used = routers.address(0) == client.router() ? 0 : 1;
    routers.stop(used);
    Result<Lock> other = client.acquire("b");
    ASSERT_TRUE(other) << other.error().describe();
    EXPECT_EQ(client.router(), routers.address(1 - used));
    ASSERT_TRUE(other->release());
    routers.start(used);
  }
  // Beyond the first deadline: the renewals went through the others.
  BoottimeClock::time_point first = lock.local_deadline();
  EXPECT_TRUE(eventually([&] { return lock.local_deadline() > first; }));
  EXPECT_EQ(lock.state(), LockState::held);
  EXPECT_EQ(lock.token(), token);
  EXPECT_TRUE(lock.release());
}

TEST(ClientRouters, LostAnswersAreAskedForAgainAndDoneOnce) {
  test::FakeRouters routers(2);
  Client client(options_for(routers));
  ASSERT_TRUE(client.wait_connected(seconds(20)));
  routers.drop_next_answers();
  Result<Lock> lock = client.acquire("a");
  ASSERT_TRUE(lock) << lock.error().describe();
  EXPECT_EQ(lock->count(), 1u);
  EXPECT_GE(routers.counters().repeats, 1u);
  routers.drop_next_answers();
  Result<ReleaseInfo> released = lock->release();
  ASSERT_TRUE(released) << released.error().describe();
  EXPECT_EQ(released->count, 0u);
}

TEST(ClientRouters, SilentRouterIsLeftForAnother) {
  test::FakeRouters routers(2, 1'000);
  Client client(options_for(routers, seconds(1)));
  client.acquire("a").value().release().value();
  std::size_t used = routers.address(0) == client.router() ? 0 : 1;
  routers.set_silent(used, true);
  Result<Lock> lock = client.acquire("b");
  ASSERT_TRUE(lock) << lock.error().describe();
  EXPECT_EQ(client.router(), routers.address(1 - used));
}

TEST(ClientRouters, WithoutARouterItSaysWhyEachIsUnreachable) {
  test::FakeRouters routers(2);
  ClientOptions options = options_for(routers);
  routers.stop(0);
  routers.set_refusal(1, Status::unavailable, "it is going away");
  options.request_timeout = milliseconds(500);
  Client client(options);
  Result<Lock> lock = client.acquire("a");
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.status(), Status::unavailable);
  EXPECT_FALSE(lock.error().outcome_unknown);
  EXPECT_THAT(lock.error().message,
              HasSubstr("no router reachable: " + options.routers[0] + " refused the connection"));
  EXPECT_THAT(lock.error().message, HasSubstr("it is going away"));
  EXPECT_EQ(client.wait_connected(milliseconds(10)).status(), Status::unavailable);
}

TEST(ClientRouters, LastingRefusalFailsAtOnceWithItsStatus) {
  test::FakeRouters routers(1);
  routers.set_refusal(0, Status::invalid_argument, "a TTL is at most 1h");
  ClientOptions options = options_for(routers);
  options.request_timeout = seconds(60);
  Client client(options);
  Result<Lock> lock = client.acquire("a");
  EXPECT_EQ(lock.status(), Status::invalid_argument);
  EXPECT_THAT(lock.error().message, HasSubstr("a TTL is at most 1h"));
}

TEST(ClientRouters, RouterOfAnotherClusterIsNotUsed) {
  test::FakeRouters routers(2);
  Client client(options_for(routers));
  ASSERT_TRUE(client.wait_connected(seconds(20)));
  std::size_t used = routers.address(0) == client.router() ? 0 : 1;
  routers.set_cluster(1 - used, "another");
  routers.stop(used);
  EXPECT_TRUE(eventually([&] { return routers.hello_cluster(1 - used) == "fake"; }));
  Result<void> connected = client.wait_connected(milliseconds(100));
  ASSERT_FALSE(connected);
  EXPECT_THAT(connected.error().message, HasSubstr("is of another cluster"));
  routers.start(used);
  EXPECT_TRUE(client.wait_connected(seconds(20)));
  EXPECT_EQ(client.router(), routers.address(used));
}

TEST(ClientRouters, RoutersComeFromTheEnvironmentWhenNoneAreGiven) {
  test::FakeRouters routers(1);
  ::setenv("DLM_ROUTERS", (" " + routers.address(0) + " ,").c_str(), 1);
  Client client;
  ::unsetenv("DLM_ROUTERS");
  EXPECT_TRUE(client.wait_connected(seconds(20)));
  EXPECT_EQ(client.router(), routers.address(0));
}

}  // namespace
}  // namespace dlm
