#include "schema/wire/busy_polling.h"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>

#include "schema/wire/turn.h"

namespace dlm::wire {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr auto kInstant = BusyPolling::Duration(1);

TEST(BusyPollingPolicy, SleepsUntilAWaitTurnsOutToBeShort) {
  BusyPolling polling(milliseconds(1));
  EXPECT_FALSE(polling.stays_awake());
  polling.waited(milliseconds(1) - kInstant);
  EXPECT_TRUE(polling.stays_awake());
  polling.waited(milliseconds(1));
  EXPECT_FALSE(polling.stays_awake());
}

TEST(BusyPollingPolicy, LooksUntilItsTimeIsUpOrAnotherThreadWantedTheProcessor) {
  const BusyPolling polling(milliseconds(1));
  EXPECT_TRUE(polling.looks_again(milliseconds(1) - kInstant, kInstant));
  EXPECT_FALSE(polling.looks_again(milliseconds(1), kInstant));
  EXPECT_TRUE(polling.looks_again(kInstant, BusyPolling::kOthersRan - kInstant));
  EXPECT_FALSE(polling.looks_again(kInstant, BusyPolling::kOthersRan));
}

TEST(BusyPollingPolicy, IsOffWithoutATime) {
  EXPECT_FALSE(BusyPolling({}).enabled());
  EXPECT_TRUE(BusyPolling(milliseconds(1)).enabled());
}

// A loop that is awake for hours in every wait but the first one.
struct AwakeLoop : testing::Test {
  AwakeLoop() { polling.waited(kInstant); }
  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  BusyPolling polling{hours(1)};
};

TEST_F(AwakeLoop, RunsWhatAnotherThreadPosts) {
  bool ran = false;
  std::thread other([&] { boost::asio::post(io, [&] { ran = true; }); });
  EXPECT_EQ(run_one(io, polling), 1U);
  other.join();
  EXPECT_TRUE(ran);
}

TEST_F(AwakeLoop, RunsTimers) {
  bool ran = false;
  boost::asio::steady_timer timer(io, milliseconds(5));
  timer.async_wait([&](const boost::system::error_code& error) { ran = !error; });
  EXPECT_EQ(run_one(io, polling), 1U);
  EXPECT_TRUE(ran);
}

TEST_F(AwakeLoop, EndsWhenTheLoopIsStopped) {
  std::thread other([&] { io.stop(); });
  EXPECT_EQ(run_one(io, polling), 0U);
  other.join();
}

TEST_F(AwakeLoop, EndsWhenItIsOutOfWork) {
  work.reset();
  EXPECT_EQ(run_one(io, polling), 0U);
}

TEST_F(AwakeLoop, TurnsAreTheSame) {
  int ran = 0;
  std::thread other([&] {
    boost::asio::post(io, [&] {
      ++ran;
      boost::asio::post(io, [&] {
        ++ran;
        work.reset();
      });
    });
  });
  Turn::run(io, hours(1));
  other.join();
  EXPECT_EQ(ran, 2);
}

}  // namespace
}  // namespace dlm::wire
