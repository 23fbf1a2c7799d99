// Clients that mean harm, or are broken: each is cut off with one line in the log, and others notice nothing.
#include <capnp/serialize.h>
#include <glog/logging.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <boost/asio/connect.hpp>

#include "schema/wire/codec.h"
#include "world.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// The log's lines about clients that were cut off, while it lives.
class CutOffLines final : public google::LogSink {
 public:
  CutOffLines() { google::AddLogSink(this); }
  ~CutOffLines() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, std::size_t length) override {
    std::string line(message, length);
    if (line.find("cut off") != std::string::npos) lines.push_back(std::move(line));
  }
  std::vector<std::string> lines;
};

// A socket that sends what it is told to, and never reads.
class Stranger {
 public:
  Stranger(wire::EventLoop& loop, std::uint16_t port) : socket_(loop.io()) {
    socket_.connect({boost::asio::ip::make_address("127.0.0.1"), port});
    socket_.non_blocking(true);
  }
  // As much as the kernel takes now; false: the connection is over.
  bool send(std::string_view bytes) {
    unsent_ += bytes;
    return flush();
  }
  bool flush() {
    while (!unsent_.empty()) {
      const ssize_t sent = ::send(socket_.native_handle(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN;
      unsent_.erase(0, static_cast<std::size_t>(sent));
    }
    return true;
  }
  std::size_t unsent_bytes() const { return unsent_.size(); }
  // Whether the other side has ended it; only of one to which nothing was sent but its end.
  bool is_over() {
    char bytes[4'096];
    for (;;) {
      const ssize_t count = ::recv(socket_.native_handle(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (count == 0 || (count < 0 && errno != EAGAIN)) return true;
      if (count < 0) return false;
    }
  }

 private:
  boost::asio::ip::tcp::socket socket_;
  std::string unsent_;
};

std::string frame_of(capnp::MessageBuilder& builder) {
  auto words = capnp::messageToFlatArray(builder);
  auto bytes = words.asBytes();
  std::string frame("DLM1\0\0\0\0", 8);
  for (int i = 0; i < 4; ++i)
    frame[4 + static_cast<std::size_t>(i)] = static_cast<char>(bytes.size() >> (8 * i));
  return frame.append(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
}

std::string hello_frame() {
  capnp::MallocMessageBuilder builder;
  auto hello = builder.initRoot<wire::ClientFrame>().initHello();
  hello.setProtocolMin(kClientProtocolVersion);
  hello.setProtocolMax(kClientProtocolVersion);
  hello.setClientId("greedy");
  hello.setSessionBase(77 << 16);
  hello.setTtlMs(10'000);
  return frame_of(builder);
}

class Hostile : public World {
 protected:
  void start(RouterProcessOptions options = {}) {
    start_all(std::move(options));
    bystander_ = client(1);
  }
  Stranger stranger() { return Stranger(loop, router->port()); }
  // A client that behaves has its locks all the while.
  void serve_bystander() {
    const std::uint64_t sequence = ++sequence_;
    bystander_->send({acquire(sequence, "mine/" + std::to_string(sequence))});
    until([&] { return bystander_->has(sequence, Status::ok); }, "a lock for somebody else");
  }
  void until_cut_off(const std::function<bool()>& is_over) {
    until([&] { return is_over(); }, "the end of the connection");
    until([&] { return !log.lines.empty(); }, "a line in the log");
    serve_bystander();
    run_for(30);
    EXPECT_THAT(log.lines, SizeIs(1));
    EXPECT_EQ(router->stats().connections, 1U) << "the bystander's";
  }

  CutOffLines log;

 private:
  std::unique_ptr<EdgeClient> bystander_;
  std::uint64_t sequence_ = 0;
};

TEST_F(Hostile, OneThatSendsGarbage) {
  start();
  Stranger bad = stranger();
  bad.send("GET / HTTP/1.1\r\nHost: locks\r\n\r\n");
  until_cut_off([&] { return bad.is_over(); });
  EXPECT_THAT(log.lines, ElementsAre(HasSubstr("is cut off: not a DLM client (bad magic)")));
}

TEST_F(Hostile, OneThatAnnouncesMoreThanAFrameMayHave) {
  start();
  Stranger bad = stranger();
  bad.send(hello_frame() + std::string("DLM1\xff\xff\xff\x7f", 8));
  until_cut_off([&] { return bad.is_over(); });
  EXPECT_THAT(log.lines, ElementsAre(HasSubstr("is over the limit of 8388608")));
}

TEST_F(Hostile, OneThatConnectsAndSaysNothing) {
  RouterProcessOptions options;
  options.core.hello_timeout_ms = 200;
  start(options);
  Stranger bad = stranger();
  until_cut_off([&] { return bad.is_over(); });
  EXPECT_THAT(log.lines, ElementsAre(HasSubstr("a connection begins with Hello; none came in time")));
}

TEST_F(Hostile, OneThatSendsHalfAFrameForEver) {
  RouterProcessOptions options;
  options.half_frame_ms = 200;
  start(options);
  Stranger bad = stranger();
  const std::string frame = hello_frame();
  bad.send(frame + frame.substr(0, frame.size() / 2));
  until_cut_off([&] { return bad.is_over(); });
  EXPECT_THAT(log.lines, ElementsAre(HasSubstr("half a frame came, and the rest not within 200ms")));
}

TEST_F(Hostile, OneThatSendsAByteFromTimeToTime) {
  RouterProcessOptions options;
  options.half_frame_ms = 300;
  start(options);
  Stranger bad = stranger();
  const std::string frame = hello_frame();
  std::size_t sent = 0;
  until_cut_off([&] {
    run_for(20);
    return (sent < frame.size() - 1 && !bad.send(frame.substr(sent++, 1))) || bad.is_over();
  });
}

TEST_F(Hostile, ManyThatAnnounceTheLargestFrameAndSendMostOfIt) {
  RouterProcessOptions options;
  options.frames.budget = std::make_shared<wire::BufferBudget>(8u << 20);
  start(options);
  std::vector<Stranger> bad;
  const std::string part = std::string("DLM1\x00\x00\x80\x00", 8) + std::string(6u << 20, 'x');
  for (int i = 0; i < 8; ++i) {
    bad.push_back(stranger());
    bad.back().send(part);
  }
  const auto over = [&] {
    return std::count_if(bad.begin(), bad.end(),
                         [](Stranger& each) { return !each.flush() || each.is_over(); });
  };
  until([&] { return over() >= 6; }, "most of them to be cut off");
  EXPECT_LE(options.frames.budget->used_bytes(), 16u << 20);
  EXPECT_THAT(log.lines.front(),
              HasSubstr("the buffers of all connections are full, and it sends too large"));
  serve_bystander();
}

TEST_F(Hostile, OneThatAsksAMillionTimesAndReadsNoAnswer) {
  RouterProcessOptions options;
  options.frames.queue_bytes_max = 1u << 20;
  start(options);
  Stranger bad = stranger();
  bad.send(hello_frame());
  constexpr unsigned kPerFrame = 10'000;
  bool over = false;
  for (std::uint64_t sequence = 1; sequence < 1'000'000 && !over; sequence += kPerFrame) {
    capnp::MallocMessageBuilder builder;
    auto list = builder.initRoot<wire::ClientFrame>().initOperations().initList(kPerFrame);
    for (unsigned i = 0; i < kPerFrame; ++i) wire::write(acquire(sequence + i, "greedy"), list[i]);
    over = !bad.send(frame_of(builder));
    for (int i = 0; i < 200 && !over && bad.unsent_bytes() > 0; ++i) {
      run_for(5);
      over = !bad.flush();
    }
    over = over || bad.unsent_bytes() > 0;
  }
  until([&] { return router->stats().connections == 1; }, "the end of the connection");
  ASSERT_THAT(log.lines, SizeIs(1));
  EXPECT_THAT(log.lines[0], HasSubstr("the peer reads too slowly"));
  EXPECT_EQ(router->stats().pending, 0U) << "nothing is kept for it";
  serve_bystander();
}

TEST_F(Hostile, ACrowdIsCountedAndDoesNotFillTheLog) {
  start();
  std::vector<Stranger> crowd;
  for (int i = 0; i < 60; ++i) {
    crowd.push_back(stranger());
    crowd.back().send("garbage!");
  }
  until(
      [&] { return std::all_of(crowd.begin(), crowd.end(), [](Stranger& each) { return each.is_over(); }); },
      "the end of all of them");
  serve_bystander();
  EXPECT_GE(log.lines.size(), 10U);
  EXPECT_LE(log.lines.size(), 40U) << "in a few seconds at most";
}

}  // namespace
}  // namespace dlm::router
