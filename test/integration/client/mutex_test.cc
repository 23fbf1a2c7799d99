// dlm::Mutex and dlm::SharedMutex with the standard's lock types.
#include "dlm/mutex.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "test/integration/client/client_fixture.h"

namespace dlm {
namespace {

TEST(Mutex, ExcludesThreadsOfOneClientAndOtherClients) {
  test::FakeRouters routers(1);
  Client one(options_for(routers));
  Client two(options_for(routers));
  Mutex first(one, "m");
  Mutex same_client(one, "m");
  Mutex other_client(two, "m");
  int counter = 0;
  std::vector<std::thread> threads;
  for (Mutex* mutex : {&first, &first, &same_client, &other_client}) {
    threads.emplace_back([&, mutex] {
      for (int i = 0; i < 50; ++i) {
        std::unique_lock guard(*mutex);
        int seen = counter;
        std::this_thread::yield();
        counter = seen + 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, 200);
}

TEST(Mutex, TriesAndTimesOutOnContentionOnly) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Mutex held(client, "m");
  Mutex other(client, "m");
  std::lock_guard guard(held);
  EXPECT_TRUE(held.token());
  EXPECT_EQ(held.state(), LockState::held);
  EXPECT_FALSE(other.try_lock());
  EXPECT_FALSE(other.try_lock_for(milliseconds(20)));
  EXPECT_FALSE(other.try_lock_until(std::chrono::system_clock::now() + milliseconds(20)));
  EXPECT_EQ(other.state(), LockState::released);
  std::unique_lock timed(other, milliseconds(10));
  EXPECT_FALSE(timed.owns_lock());
}

TEST(Mutex, ThrowsOnFaults) {
  test::FakeRouters routers(1);
  ClientOptions options = options_for(routers);
  options.request_timeout = milliseconds(200);
  Client client(options);
  routers.stop(0);
  Mutex mutex(client, "m");
  try {
    mutex.lock();
    FAIL() << "it locked without a router";
  } catch (const LockError& e) {
    EXPECT_EQ(e.status(), Status::unavailable);
  }
}

TEST(Mutex, ScopedLockTakesSeveralInAnyOrderWithoutDeadlock) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Mutex a(client, "a");
  Mutex b(client, "b");
  int counter = 0;
  std::thread forth([&] {
    for (int i = 0; i < 20; ++i) {
      std::scoped_lock both(a, b);
      ++counter;
    }
  });
  std::thread back([&] {
    for (int i = 0; i < 20; ++i) {
      std::scoped_lock both(b, a);
      ++counter;
    }
  });
  forth.join();
  back.join();
  EXPECT_EQ(counter, 40);
}

TEST(Mutex, TellsWhenItsHoldIsLost) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Mutex mutex(client, "m");
  std::unique_lock guard(mutex);
  std::stop_token stop = mutex.stop_token();
  routers.end_sessions();
  EXPECT_TRUE(eventually([&] { return stop.stop_requested(); }));
  EXPECT_EQ(mutex.state(), LockState::lost);
  guard.unlock();
  guard.lock();
  EXPECT_EQ(mutex.state(), LockState::held);
}

TEST(SharedMutex, ReadersShareAndWritersExclude) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  SharedMutex mutex(client, "m");
  std::shared_lock reader(mutex);
  EXPECT_TRUE(mutex.token());
  std::async(std::launch::async, [&] {
    std::shared_lock another(mutex, std::try_to_lock);
    EXPECT_TRUE(another.owns_lock());
    EXPECT_FALSE(mutex.try_lock());
  }).get();
  EXPECT_TRUE(eventually([&] { return routers.holders("m") == 1; }));
  reader.unlock();
  std::unique_lock writer(mutex);
  std::async(std::launch::async, [&] {
    EXPECT_FALSE(mutex.try_lock_shared());
    EXPECT_FALSE(mutex.try_lock_shared_for(milliseconds(10)));
    EXPECT_FALSE(mutex.try_lock_for(milliseconds(10)));
  }).get();
}

TEST(SharedMutex, ManyReadersAndWritersKeepCount) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  SharedMutex mutex(client, "m");
  int counter = 0;
  std::atomic<int> torn{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 30; ++i) {
        if (t % 3 == 0) {
          std::unique_lock guard(mutex);
          ++counter;
        } else {
          std::shared_lock guard(mutex);
          int seen = counter;
          std::this_thread::yield();
          if (seen != counter) ++torn;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, 60);
  EXPECT_EQ(torn, 0);
}

}  // namespace
}  // namespace dlm
