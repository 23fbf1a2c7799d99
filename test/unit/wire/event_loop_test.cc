#include "schema/wire/event_loop.h"

#include <gtest/gtest.h>
#include <kj/debug.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <thread>
#include <vector>

namespace dlm::wire {
namespace {

TEST(EventLoop, WaitsForValuesAndVoidAndThrowsFailures) {
  EventLoop loop;
  EXPECT_EQ(loop.wait_for(kj::Promise<int>(7)), 7);
  loop.wait_for(kj::Promise<void>(kj::READY_NOW));
  EXPECT_EQ(loop.wait_for(kj::evalLater([] { return 3; }).then([](int i) { return i * 2; })), 6);
  auto pointer = loop.wait_for(kj::evalLater([] { return kj::heap<int>(5); }));
  EXPECT_EQ(*pointer, 5);
  kj::Promise<void> failing = kj::Exception(kj::Exception::Type::OVERLOADED, "", 0, kj::str("too much"));
  try {
    loop.wait_for(kj::mv(failing));
    ADD_FAILURE() << "no exception";
  } catch (const kj::Exception& e) {
    EXPECT_EQ(e.getType(), kj::Exception::Type::OVERLOADED);
  }
}

TEST(EventLoop, TimersFireInOrderAndNotEarly) {
  EventLoop loop;
  std::vector<int> fired;
  auto started = std::chrono::steady_clock::now();
  auto late = loop.timer()
                  .afterDelay(40 * kj::MILLISECONDS)
                  .then([&] { fired.push_back(2); })
                  .eagerlyEvaluate(nullptr);
  auto early = loop.timer()
                   .afterDelay(10 * kj::MILLISECONDS)
                   .then([&] { fired.push_back(1); })
                   .eagerlyEvaluate(nullptr);
  loop.wait_for(loop.timer().afterDelay(60 * kj::MILLISECONDS));
  EXPECT_EQ(fired, (std::vector<int>{1, 2}));
  EXPECT_GE(std::chrono::steady_clock::now() - started, std::chrono::milliseconds(60));
}

TEST(EventLoop, ADelayCountsFromNowThoughTheLoopWasIdle) {
  EventLoop loop;
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // nothing pumped meanwhile
  auto started = std::chrono::steady_clock::now();
  loop.wait_for(loop.timer().afterDelay(30 * kj::MILLISECONDS));
  EXPECT_GE(std::chrono::steady_clock::now() - started, std::chrono::milliseconds(30));
}

TEST(EventLoop, ATimerMadeInAnAsioHandlerFires) {
  EventLoop loop;
  auto done = kj::newPromiseAndFulfiller<void>();
  kj::Promise<void> waiting = nullptr;
  boost::asio::steady_timer asio_timer(loop.io(), std::chrono::milliseconds(5));
  asio_timer.async_wait([&](const boost::system::error_code&) {
    waiting = loop.timer()
                  .afterDelay(5 * kj::MILLISECONDS)
                  .then([&] { done.fulfiller->fulfill(); })
                  .eagerlyEvaluate(nullptr);
  });
  loop.wait_for(kj::mv(done.promise));
}

TEST(EventLoop, CancelledTimersDoNotKeepLaterOnesFromFiring) {
  EventLoop loop;
  for (int i = 0; i < 100; ++i) {
    auto dropped = loop.timer().afterDelay(1 * kj::MILLISECONDS).eagerlyEvaluate(nullptr);
  }
  loop.wait_for(loop.timer().afterDelay(20 * kj::MILLISECONDS));
}

TEST(EventLoop, ThousandsOfEventsInARowLeaveRoomForAsio) {
  EventLoop loop;
  bool stop = false;
  struct Forever {
    static kj::Promise<void> turn(const bool& stop_flag) {
      if (stop_flag) return kj::READY_NOW;
      return kj::evalLater([&stop_flag] { return turn(stop_flag); });
    }
  };
  auto spinning = Forever::turn(stop).eagerlyEvaluate(nullptr);
  boost::asio::steady_timer asio_timer(loop.io(), std::chrono::milliseconds(5));
  asio_timer.async_wait([&](const boost::system::error_code&) { stop = true; });
  loop.wait_for(kj::mv(spinning));
  EXPECT_TRUE(stop);
}

TEST(EventLoop, RunsTasksPostedFromManyThreadsEachOnceAndInOrderPerThread) {
  EventLoop loop;
  constexpr int kThreads = 4;
  constexpr int kTasks = 5'000;
  std::vector<int> counts(kThreads, 0);
  int total = 0;
  bool ordered = true;
  auto here = std::this_thread::get_id();
  std::vector<std::thread> threads;
  auto executor = loop.executor();
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTasks; ++i) {
        auto task = [&, t, i] {
          ordered =
              ordered && counts[static_cast<std::size_t>(t)]++ == i && std::this_thread::get_id() == here;
          if (++total == kThreads * kTasks) loop.stop();
        };
        if (t % 2 == 0) {
          loop.post(task);
        } else {
          executor(task);
        }
      }
    });
  }
  loop.run();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(total, kThreads * kTasks);
  EXPECT_TRUE(ordered);
}

TEST(EventLoop, StopBeforeRunIsNotLostAndRunWorksAgain) {
  EventLoop loop;
  int ran = 0;
  loop.stop();
  loop.run();
  loop.post([&] {
    ++ran;
    loop.stop();
  });
  loop.run();
  EXPECT_EQ(ran, 1);
  std::thread other([&] { loop.stop(); });
  loop.run();
  other.join();
}

TEST(EventLoop, WaitForOnAStoppedLoopThrows) {
  EventLoop loop;
  auto never = kj::newPromiseAndFulfiller<void>();
  loop.post([&] { loop.stop(); });
  EXPECT_ANY_THROW(loop.wait_for(kj::mv(never.promise)));
  loop.run();  // takes the stop
  loop.wait_for(loop.timer().afterDelay(1 * kj::MILLISECONDS));
}

TEST(EventLoop, TasksPostedToALoopThatIsGoneAreDropped) {
  std::function<void(std::function<void()>)> executor;
  auto held = std::make_shared<int>(0);
  {
    EventLoop loop;
    executor = loop.executor();
    executor([held] { ++*held; });
    loop.post([held] { ++*held; });
  }
  executor([held] { ++*held; });
  EXPECT_EQ(*held, 0);
  EXPECT_EQ(held.use_count(), 1);
}

TEST(EventLoop, LoopsOfTwoThreadsTalkByPosting) {
  std::atomic<EventLoop*> other = nullptr;
  std::thread thread([&] {
    EventLoop loop;
    other = &loop;
    loop.run();
    other = nullptr;
  });
  while (other == nullptr) std::this_thread::yield();
  EventLoop loop;
  int pongs = 0;
  std::function<void()> ping = [&] {
    other.load()->post([&] {
      loop.post([&] {
        if (++pongs == 1'000) {
          loop.stop();
        } else {
          ping();
        }
      });
    });
  };
  ping();
  loop.run();
  EXPECT_EQ(pongs, 1'000);
  other.load()->stop();
  thread.join();
}

#ifndef __SANITIZE_THREAD__  // KJ's own locks are unknown to the thread sanitizer: Debian's library is not
                             // built for it
TEST(EventLoop, TakesInPromisesFulfilledByOtherThreads) {
  EventLoop loop;
  for (int i = 0; i < 100; ++i) {
    auto paf = kj::newPromiseAndCrossThreadFulfiller<int>();
    std::atomic<bool> done = false;
    std::thread thread([fulfiller = paf.fulfiller.get(), &done, i] {
      fulfiller->fulfill(int(i));
      done = true;
    });
    EXPECT_EQ(loop.wait_for(kj::mv(paf.promise)), i);
    thread.join();
    EXPECT_TRUE(done);
  }
}

TEST(EventLoop, RunsWhatAnotherLoopExecutesOnIt) {
  std::atomic<const kj::Executor*> executor = nullptr;
  std::atomic<EventLoop*> other = nullptr;
  std::thread thread([&] {
    EventLoop loop;
    other = &loop;
    executor = &kj::getCurrentThreadExecutor();
    loop.run();
  });
  while (executor == nullptr) std::this_thread::yield();
  EventLoop loop;
  for (int i = 0; i < 100; ++i) {
    auto there = loop.wait_for(executor.load()->executeAsync([] { return std::this_thread::get_id(); }));
    EXPECT_NE(there, std::this_thread::get_id());
  }
  other.load()->stop();
  thread.join();
}
#endif

TEST(EventLoop, ClocksCount) {
  auto before = EventLoop::now_ms();
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  EXPECT_GE(EventLoop::now_ms(), before + 3);
  EXPECT_GT(EventLoop::unix_ms(), 1'600'000'000'000ULL);
}

}  // namespace
}  // namespace dlm::wire
