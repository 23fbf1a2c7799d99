// The asynchronous operations with Boost.Asio's completion tokens.
#include "dlm/async.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>

#include "test/integration/client/client_fixture.h"

namespace dlm {
namespace {

namespace asio = boost::asio;

TEST(Async, CoroutineAcquiresRenewsAndReleases) {
  asio::io_context io;  // outlives the clients that complete on it
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  bool done = false;
  auto run = [&]() -> asio::awaitable<void> {
    AcquireOptions options;
    options.lease_kind = LeaseKind::capped;
    options.lease = seconds(5);
    Result<Lock> lock = co_await async_acquire(client, "a", options, asio::use_awaitable);
    EXPECT_TRUE(lock.has_value());
    EXPECT_EQ((co_await async_renew(*lock, seconds(7), asio::use_awaitable)).value(), seconds(7));
    LockReport report = (co_await async_inspect(client, "a", asio::use_awaitable)).value();
    EXPECT_EQ(report.holders.size(), 1u);
    Result<ReleaseInfo> released = co_await async_release(std::move(*lock), asio::use_awaitable);
    EXPECT_EQ(released.value().count, 0u);
    EXPECT_EQ((co_await async_status(client, asio::use_awaitable)).value().cluster, "fake");
    done = true;
  };
  asio::co_spawn(io, run, asio::detached);
  io.run();  // the operations under way keep it running
  EXPECT_TRUE(done);
}

TEST(Async, CompletesOnTheHandlersExecutor) {
  asio::io_context io;  // outlives the clients that complete on it
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  std::thread::id completed_on;
  async_acquire(client, "a", {}, asio::bind_executor(io, [&](Result<Lock> lock) {
                  EXPECT_TRUE(lock.has_value());
                  completed_on = std::this_thread::get_id();
                }));
  io.run();
  EXPECT_EQ(completed_on, std::this_thread::get_id());
}

TEST(Async, FuturesWork) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  std::future<Result<Lock>> first = async_acquire(client, "a", {}, asio::use_future);
  Result<Lock> lock = first.get();
  ASSERT_TRUE(lock);
  Client other(options_for(routers));
  std::future<Result<Lock>> refused = async_try_acquire(other, "a", {}, asio::use_future);
  EXPECT_EQ(refused.get().status(), Status::timed_out);
  EXPECT_TRUE(async_release(std::move(*lock), asio::use_future).get());
}

TEST(Async, DetachedHoldsWork) {
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  AcquireOptions options;
  options.lease = seconds(5);
  DetachedHold hold = async_acquire_detached(client, "a", options, asio::use_future).get().value();
  hold = async_renew_detached(client, hold, seconds(9), asio::use_future).get().value();
  EXPECT_EQ(hold.lease, seconds(9));
  EXPECT_TRUE(async_release_detached(client, hold, asio::use_future).get());
}

TEST(Async, CancellationSlotWithdrawsTheWait) {
  asio::io_context io;  // outlives the clients that complete on it
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Client other(options_for(routers));
  Lock held = other.acquire("a").value();
  asio::cancellation_signal signal;
  Status ended = Status::ok;
  async_acquire(client, "a", {},
                asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, [&](Result<Lock> lock) {
                                               ended = lock.status();
                                             })));
  EXPECT_TRUE(eventually([&] { return routers.waiters("a") == 1; }));
  asio::post(io, [&] { signal.emit(asio::cancellation_type::terminal); });
  io.run();
  EXPECT_EQ(ended, Status::cancelled);
  EXPECT_EQ(routers.waiters("a"), 0u);
}

TEST(Async, RaceWithATimerCancelsTheLoser) {
  using namespace asio::experimental::awaitable_operators;
  asio::io_context io;  // outlives the clients that complete on it
  test::FakeRouters routers(1);
  Client client(options_for(routers));
  Client other(options_for(routers));
  Lock held = other.acquire("a").value();
  std::size_t winner = 9;
  auto run = [&]() -> asio::awaitable<void> {
    asio::steady_timer timer(io, milliseconds(50));
    auto result = co_await (async_acquire(client, "a", {}, asio::use_awaitable) ||
                            timer.async_wait(asio::use_awaitable));
    winner = result.index();
  };
  asio::co_spawn(io, run, asio::detached);
  io.run();
  EXPECT_EQ(winner, 1u);
  EXPECT_EQ(routers.waiters("a"), 0u);
}

}  // namespace
}  // namespace dlm
