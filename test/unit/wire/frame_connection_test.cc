#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include <boost/asio/write.hpp>
#include <memory>
#include <string>

#include "loopback.h"
#include "schema/client.capnp.h"
#include "schema/wire/codec.h"
#include "schema/wire/frame.h"

namespace dlm::wire {
namespace {

// One end of a connection, and what happened at it.
struct End {
  End(tcp::socket socket, const FrameLimits& limits = {})
      : connection(FrameConnection::make(std::move(socket), limits)) {}

  void start() {
    connection->start({.on_frames =
                           [this](const std::vector<Words>& frames) {
                             EXPECT_EQ(closes, 0) << "no frames after on_close";
                             ++reads;
                             for (auto words : frames) {
                               capnp::FlatArrayMessageReader reader(words);
                               auto data = reader.getRoot<ClientFrame>().getQuery().getQuery().getInspect();
                               received.emplace_back(as_text(data));
                             }
                             if (on_frames) on_frames();
                           },
                       .on_close =
                           [this](const std::string& reason) {
                             EXPECT_FALSE(in_call) << "never from within a call";
                             ++closes;
                             why = reason;
                           }});
  }
  void send(std::string_view text) {
    capnp::MallocMessageBuilder message;
    message.initRoot<ClientFrame>().initQuery().initQuery().setInspect(as_bytes(text));
    in_call = true;
    connection->send(message);
    in_call = false;
  }
  void close(const std::string& reason) {
    in_call = true;
    connection->close(reason);
    in_call = false;
  }

  std::shared_ptr<FrameConnection> connection;
  std::vector<std::string> received;
  std::function<void()> on_frames;
  int reads = 0;
  int closes = 0;
  std::string why;
  bool in_call = false;
};

struct FrameConnectionTest : testing::Test {
  void connect(const FrameLimits& limits = {}) {
    auto [left_socket, right_socket] = connected_sockets(io);
    left = std::make_unique<End>(std::move(left_socket), limits);
    right = std::make_unique<End>(std::move(right_socket), limits);
    left->start();
    right->start();
  }
  // One end a connection, the other a bare socket.
  tcp::socket connect_bare(const FrameLimits& limits = {}) {
    auto [left_socket, right_socket] = connected_sockets(io);
    left = std::make_unique<End>(std::move(left_socket), limits);
    left->start();
    return std::move(right_socket);
  }
  void until(const std::function<bool()>& done) { run_until(io, done); }

  boost::asio::io_context io;
  std::unique_ptr<End> left;
  std::unique_ptr<End> right;
};

TEST_F(FrameConnectionTest, FramesArriveInOrderBothWays) {
  connect();
  for (int i = 0; i < 1'000; ++i) {
    left->send("l" + std::to_string(i));
    right->send("r" + std::to_string(i));
  }
  until([&] { return left->received.size() == 1'000 && right->received.size() == 1'000; });
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_EQ(right->received[static_cast<std::size_t>(i)], "l" + std::to_string(i));
    ASSERT_EQ(left->received[static_cast<std::size_t>(i)], "r" + std::to_string(i));
  }
  EXPECT_EQ(left->connection->queued_bytes(), 0u);
}

TEST_F(FrameConnectionTest, WhatIsSentInOneTurnArrivesTogether) {
  connect();
  for (int i = 0; i < 50; ++i) left->send("x");
  until([&] { return right->received.size() == 50; });
  EXPECT_EQ(right->reads, 1) << "one write on loopback is one read";
}

TEST_F(FrameConnectionTest, BigFramesArriveWhole) {
  connect();
  std::string big(6u << 20, 'b');
  for (std::size_t i = 0; i < big.size(); i += 997) big[i] = static_cast<char>(i >> 8);
  for (int i = 0; i < 3; ++i) {
    left->send(big);
    right->send(big);
    left->send("small");
  }
  until([&] { return right->received.size() == 6 && left->received.size() == 3; });
  for (std::size_t i = 0; i < 6; ++i) EXPECT_TRUE(right->received[i] == (i % 2 == 0 ? big : "small"));
  EXPECT_EQ(left->received[2], big);
}

TEST_F(FrameConnectionTest, AFrameOverTheLimitIsNotSentAndClosesTheConnection) {
  connect({.frame_bytes_max = 1'000});
  left->send("good");
  left->send(std::string(2'000, 'x'));
  left->send("ignored");
  until([&] { return left->closes == 1 && right->closes == 1; });
  EXPECT_NE(left->why.find("can't be sent: the limit is 1000"), std::string::npos) << left->why;
  EXPECT_EQ(right->received, std::vector<std::string>{"good"});
}

TEST_F(FrameConnectionTest, APeerThatDoesNotReadIsCutOffAtTheQueueLimit) {
  tcp::socket deaf = connect_bare({.queue_bytes_max = 1u << 20});
  std::string chunk(100'000, 'x');
  for (int i = 0; i < 2'000 && left->closes == 0; ++i) {
    left->send(chunk);
    ASSERT_LE(left->connection->queued_bytes(), 1u << 20);
    io.restart();
    io.poll();
  }
  until([&] { return left->closes == 1; });
  EXPECT_NE(left->why.find("reads too slowly"), std::string::npos) << left->why;
  EXPECT_EQ(left->connection->queued_bytes(), 0u);
}

TEST_F(FrameConnectionTest, OverflowWithinOnFramesIsReportedOnceAndLater) {
  connect({.queue_bytes_max = 100'000});
  left->on_frames = [&] {
    for (int i = 0; i < 100; ++i) left->send(std::string(50'000, 'x'));
  };
  right->send("go");
  until([&] { return left->closes == 1 && right->closes == 1; });
  EXPECT_NE(left->why.find("reads too slowly"), std::string::npos);
}

TEST_F(FrameConnectionTest, CloseSendsWhatIsQueuedAndTellsBothEnds) {
  connect();
  std::string big(5u << 20, 'q');
  left->send(big);
  left->send("last words");
  left->close("enough");
  left->close("twice");
  left->send("ignored");
  until([&] { return left->closes == 1 && right->closes == 1; });
  EXPECT_EQ(left->why, "enough");
  EXPECT_EQ(right->why, "closed by the peer");
  ASSERT_EQ(right->received.size(), 2u);
  EXPECT_EQ(right->received[1], "last words");
}

TEST_F(FrameConnectionTest, LastWordsArriveThoughThePeerIsStillSending) {
  connect();
  left->on_frames = [&] {
    left->send("refused");
    left->close("refused");
  };
  for (int i = 0; i < 40; ++i) right->send(std::string(100'000, 'x'));
  until([&] { return left->closes == 1 && right->closes == 1; });
  EXPECT_EQ(right->received, std::vector<std::string>{"refused"});
  EXPECT_EQ(left->reads, 1) << "nothing is delivered after close()";
}

TEST_F(FrameConnectionTest, CloseEndsThoughThePeerNeverReads) {
  tcp::socket deaf = connect_bare();
  for (int i = 0; i < 100; ++i) left->send(std::string(100'000, 'x'));
  left->close("impatient");
  until([&] { return left->closes == 1; });
  EXPECT_EQ(left->why, "impatient");
}

TEST_F(FrameConnectionTest, APeerThatVanishesIsReported) {
  tcp::socket peer = connect_bare();
  peer.set_option(tcp::socket::linger(true, 0));  // a reset, as from a process that died with unread bytes
  peer.close();
  until([&] { return left->closes == 1; });
  EXPECT_NE(left->why.find("connection lost"), std::string::npos) << left->why;
  left->send("ignored");
  left->close("ignored");
  io.restart();
  io.poll();
  EXPECT_EQ(left->closes, 1);
}

TEST_F(FrameConnectionTest, AStrangerIsClosedWithAReason) {
  tcp::socket stranger = connect_bare();
  boost::asio::write(stranger, boost::asio::buffer(std::string("GET / HTTP/1.1\r\n\r\n")));
  until([&] { return left->closes == 1; });
  EXPECT_EQ(left->why, "not a DLM client (bad magic)");
  EXPECT_TRUE(left->received.empty());
  char byte = 0;
  boost::system::error_code error;
  EXPECT_EQ(stranger.read_some(boost::asio::buffer(&byte, 1), error), 0u);
  EXPECT_EQ(error, boost::asio::error::eof);
}

TEST_F(FrameConnectionTest, AFrameThatTheReceiverCannotReadClosesTheConnection) {
  tcp::socket stranger = connect_bare();
  std::string damaged("DLM1\x10\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 24);
  boost::asio::write(stranger, boost::asio::buffer(damaged));
  until([&] { return left->closes == 1; });
  EXPECT_EQ(left->why.substr(0, 9), "bad frame") << left->why;
}

TEST_F(FrameConnectionTest, ClosedBeforeStartItStillReportsOnceStarted) {
  auto [socket, other] = connected_sockets(io);
  End end(std::move(socket));
  end.close("changed my mind");
  until([&] { return end.connection->queued_bytes() == 0; });
  io.restart();
  io.poll();
  end.start();
  EXPECT_EQ(end.closes, 0);
  until([&] { return end.closes == 1; });
  EXPECT_EQ(end.why, "changed my mind");
}

TEST_F(FrameConnectionTest, CallbacksAreLetGoAfterClose) {
  tcp::socket peer = connect_bare();
  auto [socket, other] = connected_sockets(io);
  auto connection = FrameConnection::make(std::move(socket), {});
  auto held = std::make_shared<int>(1);
  bool closed = false;
  connection->start({.on_frames = [held](const std::vector<Words>&) {},
                     .on_close = [held, connection, &closed](const std::string&) { closed = true; }});
  connection->close("done");
  std::weak_ptr<FrameConnection> gone = connection;
  connection.reset();
  other.close();
  until([&] { return closed; });
  until([&] { return gone.expired(); });
  EXPECT_EQ(held.use_count(), 1);
}

TEST_F(FrameConnectionTest, NamesItsPeer) {
  auto [socket, other] = connected_sockets(io);
  auto connection = FrameConnection::make(std::move(socket), {});
  EXPECT_EQ(connection->peer(), "127.0.0.1:" + std::to_string(other.local_endpoint().port()));
}

TEST_F(FrameConnectionTest, MayBeLeftOpenWhenTheLoopGoes) {
  connect();
  left->send("never read");
  right->send(std::string(1u << 20, 'x'));
}

}  // namespace
}  // namespace dlm::wire
