// What clients should not send, and do.
#include <capnp/serialize.h>
#include <gmock/gmock.h>

#include <random>

#include "world.h"

namespace dlm::router {
namespace {

using ::testing::HasSubstr;

class Edge : public World {
 protected:
  Edge() { start_all(); }

  std::unique_ptr<EdgeClient> stranger() { return std::make_unique<EdgeClient>(loop, router->port()); }
  void until_refused(EdgeClient& client) {
    until([&] { return !client.closed.empty(); }, "the end of the connection");
    // Whatever happened, others are served.
    auto other = this->client(99);
    other->send({acquire(++sequence_, "x")});
    until([&] { return !other->answers.empty(); }, "an answer for somebody else");
  }

 private:
  std::uint64_t sequence_ = 0;
};

TEST_F(Edge, RefusesAnotherProtocol) {
  auto c = stranger();
  c->hello(1, "", 9);
  until_refused(*c);
  EXPECT_THAT(c->refusal, HasSubstr("speaks client protocol 1, the client speaks 9"));
}

TEST_F(Edge, RefusesAnotherCluster) {
  auto c = stranger();
  c->hello(1, "green");
  until_refused(*c);
  EXPECT_EQ(c->refusal, "this router belongs to cluster blue, not green");
}

TEST_F(Edge, RefusesOperationsBeforeHello) {
  auto c = stranger();
  c->send({acquire(1, "x")});
  until_refused(*c);
  EXPECT_EQ(c->refusal, "a connection begins with Hello");
}

TEST_F(Edge, ClosesOnBytesThatAreNoFrames) {
  auto c = stranger();
  c->send_raw("GET / HTTP/1.1\r\nHost: locks\r\n\r\n");
  until_refused(*c);
}

TEST_F(Edge, ClosesOnAFrameThatIsTooLong) {
  auto c = client(1);
  c->send_raw(std::string("DLM1\xff\xff\xff\x7f", 8));
  until_refused(*c);
}

TEST_F(Edge, RefusesAFrameThatIsNoMessage) {
  auto c = client(1);
  c->send_raw(std::string("DLM1\x08\x00\x00\x00", 8) + "\xff\xff\xff\xff\xff\xff\xff\xff");
  until_refused(*c);
  EXPECT_THAT(c->refusal, HasSubstr("malformed frame"));
}

TEST_F(Edge, RefusesTooManyOperationsInAFrame) {
  auto c = client(1);
  c->send(std::vector<Operation>(kOperationsPerFrameMax + 1, acquire(1, "x")));
  until_refused(*c);
  EXPECT_THAT(c->refusal, HasSubstr("at most 16384 operations, not 16385"));
}

TEST_F(Edge, RefusesAMessageWhosePointersMakeItLargerThanItIs) {
  auto c = client(1);
  // A list of 2^29-1 empty structs: no bytes at all, work without end.
  std::uint64_t words[] = {
      0,                            // one segment; its size is set below
      (1ULL << 48) | (1ULL << 32),  // root: struct, 1 data word, 1 pointer
      1,                            // discriminant: operations
      1ULL << 48 | 1ULL << 32,      // pointer: struct Operations follows
      0,                            // ackedBelow
      (7ULL << 32) | 1,             // list of composites, of 0 words
      (0x1fffffffULL << 2),         // tag: 2^29-1 elements without data
  };
  words[0] = 6ULL << 32;
  std::string frame("DLM1\0\0\0\0", 8);
  frame[4] = static_cast<char>(sizeof words);
  frame.append(reinterpret_cast<const char*>(words), sizeof words);
  c->send_raw(frame);
  until_refused(*c);
  EXPECT_NE(c->refusal, "");
}

TEST_F(Edge, SurvivesDamagedFramesOfEveryKind) {
  // A good frame with random bytes of its payload changed: refused, closed or taken, but never worse.
  capnp::MallocMessageBuilder builder;
  auto list = builder.initRoot<wire::ClientFrame>().initOperations().initList(3);
  for (unsigned i = 0; i < 3; ++i) {
    list[i].setKind(2);
    list[i].setSequence(i + 1);
    list[i].setResource(capnp::Data::Reader(reinterpret_cast<const kj::byte*>("some-name"), 9));
    list[i].setClientId("some-client");
  }
  auto words = capnp::messageToFlatArray(builder);
  auto bytes = words.asBytes();
  std::mt19937 random(42);
  for (int round = 0; round < 60; ++round) {
    std::string frame("DLM1\0\0\0\0", 8);
    for (int i = 0; i < 4; ++i)
      frame[4 + static_cast<std::size_t>(i)] = static_cast<char>(bytes.size() >> (8 * i));
    frame.append(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
    for (int i = 0; i < 3; ++i) frame[8 + random() % bytes.size()] = static_cast<char>(random());
    auto c = client(1'000 + static_cast<std::uint64_t>(round));
    c->send_raw(frame);
    run_for(3);
  }
  auto c = client(1);
  c->send({acquire(1, "still-there")});
  until([&] { return c->has(1, Status::ok); }, "the lock");
}

TEST_F(Edge, RefusesNamesThatAreTooLongAndGoesOn) {
  auto c = client(1);
  const std::string name(kResourceBytesMax + 1, 'n');
  c->send({acquire(1, name), acquire(2, "x")});
  until([&] { return c->has(1, Status::invalid_argument) && c->has(2, Status::ok); }, "two answers");
  EXPECT_THAT(c->answers[1].back().message, HasSubstr("at most 4096 bytes, not 4097"));
}

}  // namespace
}  // namespace dlm::router
