// dlm::Client and dlm::Lock over real sockets.
#include "dlm/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "test/integration/client/client_fixture.h"

namespace dlm {
namespace {

using testing::HasSubstr;

TEST(Client, AcquiresAndReleases) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Result<Lock> lock = client.acquire("orders/42");
  ASSERT_TRUE(lock) << lock.error().describe();
  EXPECT_EQ(lock->state(), LockState::held);
  EXPECT_TRUE(lock->token());
  EXPECT_EQ(lock->resource(), "orders/42");
  EXPECT_EQ(lock->count(), 1u);
  auto left = lock->local_deadline() - BoottimeClock::now();
  EXPECT_GT(left, seconds(0));
  EXPECT_LT(left, milliseconds(9'801));
  Result<ReleaseInfo> released = lock->release();
  ASSERT_TRUE(released);
  EXPECT_EQ(released->count, 0u);
  EXPECT_EQ(lock->state(), LockState::released);
  EXPECT_EQ(lock->release().status(), Status::not_held);
  EXPECT_EQ(routers.holders("orders/42"), 0u);
}

TEST(Client, DestructionOfTheHandleReleases) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  { Lock lock = client.acquire("a").value(); }
  EXPECT_TRUE(eventually([&] { return routers.holders("a") == 0; }));
}

TEST(Client, AssignmentReleasesWhatTheHandleHeld) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Lock lock = client.acquire("a").value();
  lock = client.acquire("b").value();
  EXPECT_TRUE(eventually([&] { return routers.holders("a") == 0; }));
  EXPECT_EQ(routers.holders("b"), 1u);
}

TEST(Client, DetachedHandleIsNotReleased) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Lock lock = client.acquire("a").value();
  lock.detach();
  EXPECT_FALSE(lock.valid());
  client.acquire("b").value().release().value();
  EXPECT_EQ(routers.holders("a"), 1u);
}

TEST(Client, TryAcquireTellsWhoHoldsIt) {
  test::FakeRouters routers(1);
  ClientOptions first = options_for(routers);
  first.client_id = "w1";
  Client one(first);
  Client two(options_for(routers));
  Lock lock = one.acquire("a").value();
  Result<Lock> refused = two.try_acquire("a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.status(), Status::timed_out);
  EXPECT_EQ(refused.error().holder.client_id, "w1");
  EXPECT_THAT(refused.error().describe(), HasSubstr("lock \"a\": timed out, held by w1 since"));
  EXPECT_THROW(refused.value(), LockError);
}

TEST(Client, QueuedRequestTellsItsPositionAndIsGrantedLater) {
  test::FakeRouters routers(1);
  ClientOptions first = options_for(routers);
  first.client_id = "w1";
  Client one(first);
  Client two(options_for(routers));
  Lock held = one.acquire("a").value();
  std::promise<QueuedInfo> queued;
  AcquireOptions options;
  options.on_queued = [&](const QueuedInfo& info) { queued.set_value(info); };
  auto waiting = std::async(std::launch::async, [&] { return two.acquire("a", options); });
  EXPECT_EQ(queued.get_future().get().holder.client_id, "w1");
  FencingToken before = held.token();
  ASSERT_TRUE(held.release());
  Result<Lock> got = waiting.get();
  ASSERT_TRUE(got) << got.error().describe();
  EXPECT_GT(got->token(), before);
}

TEST(Client, ReentrantAcquisitionsCount) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Lock outer = client.acquire("a").value();
  Lock inner = client.acquire("a").value();
  EXPECT_EQ(inner.count(), 2u);
  EXPECT_EQ(inner.token(), outer.token());
  EXPECT_EQ(inner.release().value().count, 1u);
  EXPECT_EQ(outer.release().value().count, 0u);
}

TEST(Client, StopTokenEndsTheWait) {
  test::FakeRouters routers(1);
  Client one(options_for(routers));
  Client two(options_for(routers));
  Lock held = one.acquire("a").value();
  std::stop_source stop;
  AcquireOptions options;
  options.stop = stop.get_token();
  auto waiting = std::async(std::launch::async, [&] { return two.acquire("a", options).status(); });
  EXPECT_TRUE(eventually([&] { return routers.waiters("a") == 1; }));
  stop.request_stop();
  EXPECT_EQ(waiting.get(), Status::cancelled);
  EXPECT_EQ(routers.waiters("a"), 0u);
}

TEST(Client, StopTokenThatWasStoppedBeforeCancelsAtOnce) {
  test::FakeRouters routers(1);
  Client one(options_for(routers));
  Client two(options_for(routers));
  Lock held = one.acquire("a").value();
  std::stop_source stop;
  stop.request_stop();
  AcquireOptions options;
  options.stop = stop.get_token();
  EXPECT_EQ(two.acquire("a", options).status(), Status::cancelled);
  EXPECT_TRUE(eventually([&] { return routers.waiters("a") == 0; }));
}

TEST(Client, ManyThreadsShareOneConnectionAndItsFrames) {
  constexpr int kThreads = 16;
  constexpr int kRounds = 50;
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  std::atomic<int> failures{0};
  int counter = 0;  // guarded by the lock
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      AcquireOptions options;
      options.owner_tag = "t" + std::to_string(t);
      for (int i = 0; i < kRounds; ++i) {
        Result<Lock> lock = client.acquire("counter", options);
        if (!lock) {
          ++failures;
          continue;
        }
        ++counter;
        if (!lock->release()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(counter, kThreads * kRounds);
  test::FakeRouterCounters seen = routers.counters();
  EXPECT_EQ(seen.connections, 1u);
  EXPECT_EQ(seen.operations, 2u * kThreads * kRounds);
}

TEST(Client, WhatIsAskedInOneTurnLeavesInOneFrame) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  client.acquire("first").value().release().value();
  test::FakeRouterCounters before = routers.counters();
  std::promise<void> done;
  std::atomic<int> left{100};
  // From a callback, which is one turn of the I/O thread.
  client.start_acquire("second", {}, [&](Result<Lock>) {
    for (int i = 0; i < 100; ++i) {
      client.start_acquire("r" + std::to_string(i), {}, [&](Result<Lock>) {
        if (--left == 0) done.set_value();
      });
    }
  });
  done.get_future().wait();
  test::FakeRouterCounters after = routers.counters();
  EXPECT_GE(after.operations - before.operations, 102u);
  EXPECT_LE(after.operation_frames - before.operation_frames, 5u);
}

TEST(Client, LosesItsLocksWhenTheGroupEndsTheSession) {
  test::FakeRouters routers(1);
  std::atomic<int> ended{0};
  ClientOptions options = options_for(routers);
  options.on_event = [&](const ClientEvent& event) {
    if (event.kind == ClientEvent::Kind::session_ended) ++ended;
  };
  Client client(options);
  Lock lock = client.acquire("a").value();
  std::promise<LostCause> lost;
  lock.on_lost([&](LostCause cause) { lost.set_value(cause); });
  std::stop_token stop = lock.stop_token();
  EXPECT_FALSE(stop.stop_requested());
  routers.end_sessions();
  EXPECT_EQ(lost.get_future().get(), LostCause::session_expired);
  EXPECT_EQ(lock.state(), LockState::lost);
  EXPECT_TRUE(eventually([&] { return stop.stop_requested() && ended == 1; }));
  EXPECT_THAT(lock.lost_reason(), HasSubstr("g1 ended the session"));
  EXPECT_EQ(lock.release().status(), Status::session_expired);
  // The next session is a new one, and works.
  Lock again = client.acquire("a").value();
  EXPECT_EQ(again.state(), LockState::held);
}

TEST(Client, CallbackOfALockThatIsLostAlreadyIsCalledWithinTheCall) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Lock lock = client.acquire("a").value();
  routers.end_sessions();
  EXPECT_TRUE(eventually([&] { return lock.state() == LockState::lost; }));
  int calls = 0;
  lock.on_lost([&](LostCause) { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(lock.stop_token().stop_requested());
}

TEST(Client, LosesItsLocksAtTheLocalDeadlineWithoutAnyMessage) {
  test::FakeRouters routers(1, 1'000);
  Client client(options_for(routers, seconds(1)));
  Lock lock = client.acquire("a").value();
  std::promise<void> endangered;
  std::promise<LostCause> lost;
  lock.on_jeopardy([&] { endangered.set_value(); });
  lock.on_lost([&](LostCause cause) { lost.set_value(cause); });
  routers.stop(0);
  endangered.get_future().wait();
  EXPECT_EQ(lost.get_future().get(), LostCause::deadline_passed);
  EXPECT_EQ(lock.state(), LockState::lost);
  EXPECT_GE(BoottimeClock::now(), lock.local_deadline());
  // Back again, what the group still holds for it is given back.
  routers.start(0);
  EXPECT_TRUE(eventually([&] { return routers.holders("a") == 0; }));
}

TEST(Client, DestructionGivesEverythingBackAndSaysGoodBye) {
  test::FakeRouters routers(1);
  auto client = std::make_unique<Client>(options_for(routers));
  Lock lock = client->acquire("a").value();
  client.reset();
  EXPECT_EQ(lock.state(), LockState::lost);
  EXPECT_EQ(lock.lost_cause(), LostCause::client_closed);
  EXPECT_EQ(lock.release().status(), Status::unavailable);
  EXPECT_TRUE(eventually([&] { return routers.holders("a") == 0 && routers.counters().byes == 1; }));
}

TEST(Client, ManyBeginToCloseBeforeOneIsWaitedFor) {
  test::FakeRouters routers(1);
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<Lock> locks;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<Client>(options_for(routers)));
    locks.push_back(clients.back()->acquire("lock " + std::to_string(i)).value());
  }
  for (auto& client : clients) client->start_close();
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(eventually([&] { return routers.holders("lock " + std::to_string(i)) == 0; }));
  for (const Lock& lock : locks) EXPECT_EQ(lock.lost_cause(), LostCause::client_closed);
  Result<Lock> late = clients.front()->acquire("a");
  EXPECT_EQ(late.status(), Status::unavailable);
  EXPECT_THAT(late.error().message, HasSubstr("closed"));
  clients.front()->start_close();
  clients.clear();
}

TEST(Client, DestructionEndsWhatIsUnderWay) {
  test::FakeRouters routers(1);
  Client other(options_for(routers));
  Lock held = other.acquire("a").value();
  auto client = std::make_unique<Client>(options_for(routers));
  std::promise<Status> ended;
  client->start_acquire("a", {}, [&](Result<Lock> result) { ended.set_value(result.status()); });
  EXPECT_TRUE(eventually([&] { return routers.waiters("a") == 1; }));
  client.reset();
  EXPECT_EQ(ended.get_future().get(), Status::unavailable);
  EXPECT_TRUE(eventually([&] { return routers.waiters("a") == 0; }));
}

TEST(Client, DestroyedInItsOwnCallbackEndsAllTheSame) {
  test::FakeRouters routers(1);
  auto client = std::make_unique<Client>(options_for(routers));
  std::promise<void> done;
  client->start_acquire("a", {}, [&](Result<Lock>) {
    client.reset();
    done.set_value();
  });
  done.get_future().wait();
  EXPECT_TRUE(eventually([&] { return routers.counters().byes == 1; }));
}

TEST(Client, ManyClientsShareAnIoThread) {
  test::FakeRouters routers(2);
  ClientOptions options = options_for(routers);
  options.io_thread.emplace();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(std::make_unique<Client>(options));
  std::atomic<int> inside = 0;
  std::set<std::thread::id> callback_threads;  // by the one thread, if it is one
  std::vector<std::future<void>> ends;
  for (auto& client : clients) {
    auto ended = std::make_shared<std::promise<void>>();
    ends.push_back(ended->get_future());
    client->start_acquire("a", {}, [&, ended](Result<Lock> lock) {
      callback_threads.insert(std::this_thread::get_id());
      EXPECT_TRUE(lock) << lock.error().describe();
      EXPECT_EQ(inside++, 0);
      --inside;
      ended->set_value();  // and the handle, going, releases
    });
  }
  for (auto& end : ends) end.wait();
  EXPECT_EQ(callback_threads.size(), 1U);
}

TEST(Client, AClientLeavesItsIoThreadToTheOthers) {
  test::FakeRouters routers(1);
  ClientOptions options = options_for(routers);
  options.io_thread.emplace();
  Client stays(options);
  auto goes = std::make_unique<Client>(options);
  Lock kept = stays.acquire("kept").value();
  Lock lost = goes->acquire("lost").value();
  std::promise<void> gone;
  goes->start_acquire("in a callback", {}, [&](Result<Lock>) {
    goes.reset();
    gone.set_value();
  });
  gone.get_future().wait();
  EXPECT_TRUE(eventually([&] { return lost.state() == LockState::lost; }));
  {
    Client another(options);
    another.acquire("b").value();
  }
  options.io_thread.reset();  // the client's own reference keeps it running
  EXPECT_EQ(kept.state(), LockState::held);
  EXPECT_TRUE(stays.acquire("c"));
}

TEST(Client, BlockingOnAClientOfTheSameIoThreadIsRefused) {
  test::FakeRouters routers(1);
  ClientOptions options = options_for(routers);
  options.io_thread.emplace();
  Client one(options);
  Client other(options);
  std::promise<Status> status;
  one.start_acquire("a", {}, [&](Result<Lock>) { status.set_value(other.acquire("b").status()); });
  EXPECT_EQ(status.get_future().get(), Status::invalid_argument);
}

TEST(Client, DetachedHoldsAreRenewedAndReleasedByAnotherClient) {
  test::FakeRouters routers(1);
  DetachedHold hold;
  {
    ClientOptions options = options_for(routers);
    options.client_id = "w7";
    Client client(options);
    AcquireOptions acquire;
    acquire.lease = seconds(60);
    hold = client.acquire_detached("a", acquire).value();
  }
  EXPECT_EQ(hold.client_id, "w7");
  EXPECT_EQ(hold.lease, seconds(60));
  Client other(options_for(routers));
  EXPECT_EQ(other.renew_detached(hold, seconds(30)).value().lease, seconds(30));
  EXPECT_EQ(other.release_detached(hold).value().count, 0u);
  Result<ReleaseInfo> again = other.release_detached(hold);
  EXPECT_EQ(again.status(), Status::not_held);
  EXPECT_EQ(again.error().cause, EndCause::released);
}

TEST(Client, CappedHoldIsRenewedByItsHandle) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  AcquireOptions options;
  options.lease_kind = LeaseKind::capped;
  options.lease = seconds(2);
  Lock lock = client.acquire("a", options).value();
  BoottimeClock::time_point before = lock.local_deadline();
  EXPECT_EQ(lock.renew(seconds(5)).value(), seconds(5));
  EXPECT_GT(lock.local_deadline(), before);
}

TEST(Client, ReadsAndWalksAllPages) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  std::vector<Lock> held;
  for (int i = 0; i < 5; ++i) held.push_back(client.acquire("orders/" + std::to_string(i)).value());
  held.push_back(client.acquire("other").value());
  EXPECT_EQ(client.inspect("orders/3").value().holders.at(0).client_id, client.client_id());
  std::set<std::string> seen;
  ASSERT_TRUE(
      client.list("orders/", [&](const LockReport& lock) { return seen.insert(lock.resource).second; }));
  EXPECT_EQ(seen.size(), 5u);
  ListOptions page;
  page.group = GroupId(1);
  page.limit = 2;
  EXPECT_NE(client.list_page(page).value().next_cursor, 0u);
  EXPECT_EQ(client.status().value().cluster, "fake");
}

TEST(Client, ArgumentsOutsideTheLimitsAreRefusedWithTheLimit) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Result<Lock> lock = client.acquire(std::string(4'097, 'x'));
  EXPECT_EQ(lock.status(), Status::invalid_argument);
  EXPECT_THAT(lock.error().message, HasSubstr("at most 4096"));
  EXPECT_TRUE(client.acquire(std::string(4'096, 'x')));
  EXPECT_TRUE(client.acquire(""));
  AcquireOptions no_lease;
  no_lease.lease_kind = LeaseKind::capped;
  EXPECT_EQ(client.acquire("a", no_lease).status(), Status::invalid_argument);
  AcquireOptions negative;
  negative.wait = milliseconds(-1);
  EXPECT_EQ(client.acquire("a", negative).status(), Status::invalid_argument);
  ClientOptions bad;
  bad.routers = {"nonsense"};
  EXPECT_THROW(Client{bad}, LockError);
  bad = ClientOptions{};
  bad.client_id = std::string(129, 'c');
  EXPECT_THROW(Client{bad}, LockError);
}

TEST(Client, BlockingCallInACallbackIsRefusedInsteadOfHangingForEver) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  std::promise<Status> status;
  client.start_acquire("a", {}, [&](Result<Lock>) { status.set_value(client.acquire("b").status()); });
  EXPECT_EQ(status.get_future().get(), Status::invalid_argument);
}

TEST(Client, StatesAreReadByManyThreadsWhileLocksComeAndGo) {
  test::FakeRouters routers(2, 1'000);
  Client client(options_for(routers, seconds(1)));
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      AcquireOptions options;
      options.owner_tag = std::to_string(t);
      for (int i = 0; !stop; ++i) {
        Result<Lock> lock = client.acquire("r" + std::to_string(i % 3), options);
        if (!lock) continue;
        lock->on_lost([](LostCause) {});
        std::thread reader([&] {
          for (int n = 0; n < 50; ++n) (void)lock->state();
        });
        (void)lock->stop_token();
        reader.join();
      }
    });
  }
  for (int i = 0; i < 4; ++i) {
    std::this_thread::sleep_for(milliseconds(200));
    routers.end_sessions();
    routers.stop(i % 2);
    std::this_thread::sleep_for(milliseconds(100));
    routers.start(i % 2);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  SUCCEED();
}

}  // namespace
}  // namespace dlm
