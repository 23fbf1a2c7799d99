#include "schema/wire/rpc.h"

#include <gtest/gtest.h>
#include <kj/debug.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <system_error>
#include <thread>
#include <vector>

#include "echo.capnp.h"
#include "schema/wire/codec.h"

namespace dlm::wire {
namespace {

using boost::asio::ip::tcp;

// What the test sees of the server's side.
struct Observed {
  int calls = 0;
  int destroyed = 0;
  std::vector<kj::Own<kj::PromiseFulfiller<void>>> parked;
  std::vector<Echo::Listener::Client> listeners;
};

class EchoServer final : public Echo::Server {
 public:
  explicit EchoServer(Observed& observed) : observed_(observed) {}
  ~EchoServer() { ++observed_.destroyed; }

  kj::Promise<void> echo(EchoContext context) override {
    ++observed_.calls;
    context.getResults().setData(context.getParams().getData());
    return kj::READY_NOW;
  }
  kj::Promise<void> never(NeverContext context) override {
    context.allowCancellation();
    auto paf = kj::newPromiseAndFulfiller<void>();
    observed_.parked.push_back(kj::mv(paf.fulfiller));
    return kj::mv(paf.promise);
  }
  kj::Promise<void> fail(FailContext) override { KJ_FAIL_REQUIRE("as asked for"); }
  kj::Promise<void> subscribe(SubscribeContext context) override {
    observed_.listeners.push_back(context.getParams().getListener());
    auto request = observed_.listeners.back().toldRequest();
    request.setNumber(1);
    return request.send().ignoreResult();
  }
  kj::Promise<void> blob(BlobContext context) override {
    context.getResults().initData(context.getParams().getBytes());
    return kj::READY_NOW;
  }
  kj::Promise<void> count(CountContext context) override {
    context.getResults().setCount(context.getParams().getNothings().size());
    return kj::READY_NOW;
  }

 private:
  Observed& observed_;
};

class CountingListener final : public Echo::Listener::Server {
 public:
  explicit CountingListener(std::vector<std::uint32_t>& numbers) : numbers_(numbers) {}
  kj::Promise<void> told(ToldContext context) override {
    numbers_.push_back(context.getParams().getNumber());
    return kj::READY_NOW;
  }

 private:
  std::vector<std::uint32_t>& numbers_;
};

std::string type_and_text(const kj::Exception& e) {
  return std::string(kj::str(e.getType()).cStr()) + ": " + e.getDescription().cStr();
}

struct RpcTest : testing::Test {
  ~RpcTest() noexcept {}

  // Destroyed from the last to the first.
  EventLoop loop;
  Observed observed;
  kj::Own<RpcServer> server;
  kj::Own<RpcConnection> connection;

  void listen(const RpcLimits& limits = {}) {
    server = RpcServer::listen(loop, {"127.0.0.1", 0}, limits, [this]() -> capnp::Capability::Client {
      return kj::heap<EchoServer>(observed);
    });
  }
  RpcConnection::Result try_connect(const HostPort& address, std::uint32_t timeout_ms = 5'000,
                                    const RpcLimits& limits = {}) {
    return loop.wait_for(RpcConnection::connect(loop, address, limits, timeout_ms));
  }
  kj::Own<RpcConnection> connect(const RpcLimits& limits = {}) {
    auto result = try_connect({"127.0.0.1", server->port()}, 5'000, limits);
    EXPECT_EQ(result.error, ConnectError::none) << result.why;
    return kj::mv(result.connection);
  }
  Echo::Client echo_of(RpcConnection& from) { return from.bootstrap().castAs<Echo>(); }
  kj::Promise<std::string> echo(Echo::Client& client, std::string_view text) {
    auto request = client.echoRequest();
    request.setData(as_bytes(text));
    return request.send().then([](auto&& response) { return std::string(as_text(response.getData())); });
  }
  // "" when the promise was kept, otherwise the type and text of its exception.
  template <class T>
  std::string failure_of(kj::Promise<T> promise) {
    return loop.wait_for(promise.then([](auto&&...) { return std::string(); },
                                      [](kj::Exception&& e) { return type_and_text(e); }));
  }
  void let_pass(std::uint32_t ms) { loop.wait_for(loop.timer().afterDelay(ms * kj::MILLISECONDS)); }
};

bool is_disconnected(const std::string& failure) {
  return failure.starts_with("disconnected");
}

TEST_F(RpcTest, ManyCallsInFlightAreAllAnswered) {
  listen();
  connection = connect();
  auto client = echo_of(*connection);
  std::vector<kj::Promise<std::string>> calls;
  for (int i = 0; i < 2'000; ++i) calls.push_back(echo(client, "call " + std::to_string(i)));
  for (int i = 0; i < 2'000; ++i) {
    ASSERT_EQ(loop.wait_for(kj::mv(calls[static_cast<std::size_t>(i)])), "call " + std::to_string(i));
  }
  EXPECT_EQ(observed.calls, 2'000);
  // The last Finish, which waited for another call, leaves by itself in the end.
  for (int i = 0; i < 1'000 && connection->queued_bytes() > 0; ++i) let_pass(10);
  EXPECT_EQ(connection->queued_bytes(), 0u);
}

TEST_F(RpcTest, BigMessagesArriveBothWays) {
  listen();
  connection = connect();
  auto client = echo_of(*connection);
  std::string big(30u << 20, 'b');
  for (std::size_t i = 0; i < big.size(); i += 997) big[i] = static_cast<char>(i);
  EXPECT_TRUE(loop.wait_for(echo(client, big)) == big);
  EXPECT_EQ(loop.wait_for(echo(client, "small")), "small");
}

TEST_F(RpcTest, TheServerCallsBack) {
  listen();
  connection = connect();
  auto client = echo_of(*connection);
  std::vector<std::uint32_t> numbers;
  auto request = client.subscribeRequest();
  request.setListener(kj::heap<CountingListener>(numbers));
  loop.wait_for(request.send().ignoreResult());
  for (std::uint32_t i = 2; i <= 100; ++i) {
    auto told = observed.listeners.front().toldRequest();
    told.setNumber(i);
    loop.wait_for(told.send().ignoreResult());
  }
  EXPECT_EQ(numbers.size(), 100u);
  EXPECT_EQ(numbers.back(), 100u);
  observed.listeners.clear();
}

TEST_F(RpcTest, AFailingMethodFailsItsCallOnly) {
  listen();
  connection = connect();
  auto client = echo_of(*connection);
  auto failure = failure_of(client.failRequest().send().ignoreResult());
  EXPECT_TRUE(failure.starts_with("failed") && failure.find("as asked for") != std::string::npos) << failure;
  EXPECT_EQ(loop.wait_for(echo(client, "still here")), "still here");
}

TEST_F(RpcTest, EachConnectionHasABootstrapOfItsOwnThatGoesWithIt) {
  listen();
  auto first = connect();
  auto second = connect();
  {
    auto one = echo_of(*first);
    auto two = echo_of(*second);
    loop.wait_for(echo(one, "1"));
    loop.wait_for(echo(two, "2"));
  }
  EXPECT_EQ(observed.destroyed, 0);
  first = nullptr;
  while (observed.destroyed == 0) let_pass(5);
  auto client = echo_of(*second);
  EXPECT_EQ(loop.wait_for(echo(client, "2")), "2");
  EXPECT_EQ(observed.destroyed, 1);
}

TEST_F(RpcTest, WhenTheServerGoesItsClientsAreTold) {
  listen();
  connection = connect();
  auto client = echo_of(*connection);
  loop.wait_for(echo(client, "hello"));
  auto call = client.neverRequest().send().ignoreResult().eagerlyEvaluate(nullptr);
  while (observed.parked.empty()) let_pass(1);
  auto lost = connection->on_disconnect();
  auto lost_too = connection->on_disconnect();
  server = nullptr;
  loop.wait_for(kj::mv(lost));
  loop.wait_for(kj::mv(lost_too));
  EXPECT_TRUE(is_disconnected(failure_of(kj::mv(call))));
  EXPECT_TRUE(is_disconnected(failure_of(echo(client, "too late"))));
  loop.wait_for(connection->on_disconnect());
  EXPECT_FALSE(observed.parked.front()->isWaiting()) << "the parked call was cancelled";
}

TEST_F(RpcTest, WhenAClientGoesItsCallsAndCapabilitiesAreDropped) {
  listen();
  connection = connect();
  std::vector<std::uint32_t> numbers;
  {
    auto client = echo_of(*connection);
    auto request = client.subscribeRequest();
    request.setListener(kj::heap<CountingListener>(numbers));
    loop.wait_for(request.send().ignoreResult());
    auto call = client.neverRequest().send().ignoreResult().eagerlyEvaluate(nullptr);
    while (observed.parked.empty()) let_pass(1);
    connection = nullptr;
    EXPECT_FALSE(failure_of(kj::mv(call)).empty());
  }
  while (observed.destroyed == 0) let_pass(1);
  auto told = observed.listeners.front().toldRequest();
  EXPECT_TRUE(is_disconnected(failure_of(told.send().ignoreResult())));
  observed.listeners.clear();
}

TEST_F(RpcTest, CapabilitiesThatOutliveTheirConnectionOnlyFail) {
  listen();
  connection = connect();
  auto client = echo_of(*connection);
  loop.wait_for(echo(client, "hello"));
  auto unsent = client.echoRequest();
  connection = nullptr;
  EXPECT_FALSE(failure_of(echo(client, "gone")).empty());
  EXPECT_FALSE(failure_of(unsent.send().ignoreResult()).empty());
}

TEST_F(RpcTest, OnDisconnectIsKeptWhenTheConnectionIsDestroyedLocally) {
  listen();
  connection = connect();
  auto lost = connection->on_disconnect();
  connection = nullptr;
  loop.wait_for(kj::mv(lost));
}

TEST_F(RpcTest, NobodyListeningIsRefused) {
  listen();
  HostPort address{"127.0.0.1", server->port()};
  server->stop_accepting();
  for (int i = 0; i < 50; ++i) {
    auto result = try_connect(address);
    ASSERT_EQ(result.error, ConnectError::refused) << result.why;
    ASSERT_EQ(result.connection.get(), nullptr);
  }
  auto result = try_connect({"localhost", address.port});
  EXPECT_EQ(result.error, ConnectError::refused);
  EXPECT_NE(result.why.find("connection refused"), std::string::npos) << result.why;
}

TEST_F(RpcTest, StopAcceptingLeavesConnectionsAlone) {
  listen();
  connection = connect();
  server->stop_accepting();
  auto client = echo_of(*connection);
  EXPECT_EQ(loop.wait_for(echo(client, "still here")), "still here");
}

TEST_F(RpcTest, SilenceIsUnreachableAfterTheTimeOut) {
  // A backlog of one that is full: further connects are neither accepted nor refused.
  tcp::acceptor deaf(loop.io(), tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  deaf.listen(0);
  HostPort address{"127.0.0.1", deaf.local_endpoint().port()};
  std::vector<kj::Own<RpcConnection>> filling;
  RpcConnection::Result result;
  for (int i = 0; i < 10 && result.error == ConnectError::none; ++i) {
    result = try_connect(address, 200);
    if (result.error == ConnectError::none) filling.push_back(kj::mv(result.connection));
  }
  EXPECT_EQ(result.error, ConnectError::unreachable);
  EXPECT_NE(result.why.find("no connection within 200ms"), std::string::npos) << result.why;
}

TEST_F(RpcTest, ANameThatDoesNotResolveIsUnreachable) {
  auto result = try_connect({"no-such-host.invalid", 1});
  EXPECT_EQ(result.error, ConnectError::unreachable);
  EXPECT_NE(result.why.find("no-such-host.invalid:1"), std::string::npos) << result.why;
}

TEST_F(RpcTest, ADroppedAttemptIsCancelled) {
  listen();
  for (int i = 0; i < 20; ++i) {
    auto attempt = RpcConnection::connect(loop, {"127.0.0.1", server->port()}, {}, 1'000);
    if (i % 2 == 0) let_pass(0);
  }
  connection = connect();
  auto client = echo_of(*connection);
  EXPECT_EQ(loop.wait_for(echo(client, "hello")), "hello");
}

TEST_F(RpcTest, ATakenPortIsASystemError) {
  listen();
  try {
    auto second = RpcServer::listen(loop, {"127.0.0.1", server->port()}, {},
                                    []() -> capnp::Capability::Client { return nullptr; });
    ADD_FAILURE() << "listened twice";
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::errc::address_in_use);
    EXPECT_NE(std::string(e.what()).find("cannot listen on 127.0.0.1:"), std::string::npos) << e.what();
  }
}

TEST_F(RpcTest, AMessageOverTheOwnLimitFailsItsCallOnly) {
  RpcLimits small{.message_bytes_max = 100'000};
  listen(small);
  connection = connect(small);
  auto client = echo_of(*connection);
  EXPECT_FALSE(failure_of(echo(client, std::string(200'000, 'x'))).empty());
  auto request = client.blobRequest();
  request.setBytes(200'000);
  EXPECT_FALSE(failure_of(request.send().ignoreResult()).empty());
  EXPECT_EQ(loop.wait_for(echo(client, std::string(90'000, 'x'))).size(), 90'000u);
}

// Who reads it would make room for each element.
TEST_F(RpcTest, ASmallMessageThatClaimsToBeLargeFailsItsCallOnly) {
  listen();
  connection = connect();
  auto client = echo_of(*connection);
  auto modest = client.countRequest();
  modest.initNothings(500);
  EXPECT_EQ(loop.wait_for(modest.send().then([](auto&& response) { return response.getCount(); })), 500u);
  auto boasting = client.countRequest();
  boasting.initNothings(10'000'000);
  EXPECT_TRUE(failure_of(boasting.send().ignoreResult()).starts_with("failed"));
  EXPECT_EQ(loop.wait_for(echo(client, "still here")), "still here");
}

TEST_F(RpcTest, AMessageOverThePeersLimitCutsThatConnectionAndNoOther) {
  listen({.message_bytes_max = 100'000});
  auto other = connect();
  auto other_client = echo_of(*other);
  connection = connect();
  auto client = echo_of(*connection);
  auto lost = connection->on_disconnect();
  auto failure = failure_of(echo(client, std::string(10u << 20, 'x')));
  EXPECT_TRUE(is_disconnected(failure)) << failure;
  loop.wait_for(kj::mv(lost));
  EXPECT_EQ(loop.wait_for(echo(other_client, "unharmed")), "unharmed");
}

TEST_F(RpcTest, StrangersAndDamagedMessagesAreCutOff) {
  listen();
  connection = connect();
  auto client = echo_of(*connection);
  std::vector<std::string> strangers = {
      "GET / HTTP/1.1\r\n\r\n",
      std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8),  // 2^32 segments
      std::string("\0\0\0\0\xff\xff\xff\x7f", 8),          // a segment of 16 GiB
      std::string("\x03\0\0\0\xff\xff\x7f\0\xff\xff\x7f\0\xff\xff\x7f\0\xff\xff\x7f\0\0\0\0\0", 24),
      std::string("\0\0\0\0\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16),  // a pointer to nowhere
      std::string(4'096, '\0'),
  };
  for (const auto& bytes : strangers) {
    tcp::socket stranger(loop.io());
    stranger.connect({boost::asio::ip::address_v4::loopback(), server->port()});
    boost::asio::write(stranger, boost::asio::buffer(bytes));
    stranger.shutdown(tcp::socket::shutdown_send);
    bool closed = false;
    std::vector<char> answer(10'000);
    std::function<void()> read = [&] {
      stranger.async_read_some(boost::asio::buffer(answer),
                               [&](const boost::system::error_code& error, std::size_t) {
                                 if (error) {
                                   closed = true;
                                 } else {
                                   read();
                                 }
                               });
    };
    read();
    for (int i = 0; i < 5'000 && !closed; ++i) let_pass(2);
    EXPECT_TRUE(closed);
    EXPECT_EQ(loop.wait_for(echo(client, "unharmed")), "unharmed");
  }
}

TEST_F(RpcTest, APeerThatDoesNotReadIsCutOffAtTheQueueLimit) {
  tcp::acceptor acceptor(loop.io(), tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  auto connecting = RpcConnection::connect(loop, {"127.0.0.1", acceptor.local_endpoint().port()},
                                           {.queue_bytes_max = 1u << 20}, 5'000);
  tcp::socket deaf = acceptor.accept();
  connection = loop.wait_for(kj::mv(connecting)).connection;
  auto client = echo_of(*connection);
  bool lost = false;
  auto watching = connection->on_disconnect().then([&] { lost = true; }).eagerlyEvaluate(nullptr);
  std::vector<kj::Promise<std::string>> calls;
  std::string chunk(200'000, 'x');
  for (int i = 0; i < 1'000 && !lost; ++i) {
    calls.push_back(echo(client, chunk));
    let_pass(0);
    ASSERT_LE(connection->queued_bytes(), 2u << 20);
  }
  ASSERT_TRUE(lost);
  auto failure = failure_of(kj::mv(calls.front()));
  EXPECT_TRUE(is_disconnected(failure) && failure.find("reads too slowly") != std::string::npos) << failure;
}

TEST_F(RpcTest, ConnectionsBeyondTheLimitAreClosedAtOnce) {
  listen({.connections_max = 2});
  auto first = connect();
  auto second = connect();
  auto third = connect();
  loop.wait_for(third->on_disconnect());
  first = nullptr;
  for (;;) {  // until the server has seen that there is room again
    third = connect();
    auto client = echo_of(*third);
    if (failure_of(echo(client, "hello")).empty()) break;
  }
}

TEST_F(RpcTest, ADeadlineRejectsAsDisconnectedAndSaysWhat) {
  listen();
  connection = connect();
  auto client = echo_of(*connection);
  auto failure =
      failure_of(with_deadline(loop, client.neverRequest().send().ignoreResult(), 20, "the echo server"));
  EXPECT_EQ(failure, "disconnected: the echo server: no answer in time");
  EXPECT_EQ(loop.wait_for(with_deadline(loop, echo(client, "in time"), 5'000, "the echo server")), "in time");
}

TEST_F(RpcTest, LoopsOfTwoThreadsTalk) {
  std::promise<std::uint16_t> port;
  std::promise<EventLoop*> server_loop;
  std::thread thread([&] {
    EventLoop there;
    Observed seen;
    {
      auto echo_server =
          RpcServer::listen(there, {"127.0.0.1", 0}, {},
                            [&seen]() -> capnp::Capability::Client { return kj::heap<EchoServer>(seen); });
      port.set_value(echo_server->port());
      server_loop.set_value(&there);
      there.run();
    }
    EXPECT_EQ(seen.calls, 500);
  });
  auto result = try_connect({"localhost", port.get_future().get()});
  if (result.error != ConnectError::none) ADD_FAILURE() << result.why;
  connection = kj::mv(result.connection);
  auto client = echo_of(*connection);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(loop.wait_for(echo(client, std::to_string(i))), std::to_string(i));
  auto lost = connection->on_disconnect();
  server_loop.get_future().get()->stop();
  loop.wait_for(kj::mv(lost));
  thread.join();
}

}  // namespace
}  // namespace dlm::wire
