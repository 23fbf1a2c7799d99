// Hello and its refusals, connections that come back or go, waiting for the first view.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core_driver.h"

namespace dlm::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Hello good_hello() {
  Hello hello;
  hello.protocol_min = hello.protocol_max = kClientProtocolVersion;
  hello.client_id = "w1";
  hello.session_base = 1 << 16;
  hello.ttl_ms = 10'000;
  return hello;
}

std::string refusal_of(const Hello& hello) {
  CoreDriver d;
  d.start();
  d.core.hello(d.core.connect(d.now), hello, d.now);
  d.turn();
  auto told = d.told();
  return told.size() == 1 ? told[0] : "not one line";
}

TEST(Hello, IsWelcomed) {
  EXPECT_EQ(refusal_of(good_hello()), "c1: welcome");
}

TEST(Hello, OfAnotherProtocolIsRefusedNamingBoth) {
  Hello hello = good_hello();
  hello.protocol_min = 2;
  hello.protocol_max = 3;
  EXPECT_THAT(
      refusal_of(hello),
      HasSubstr("refused invalid argument (this router speaks client protocol 1, the client speaks 2 to 3"));
  hello.protocol_min = hello.protocol_max = 0;
  EXPECT_THAT(refusal_of(hello), HasSubstr("the client speaks 0:"));
  hello.protocol_max = 9;
  EXPECT_EQ(refusal_of(hello), "c1: welcome") << "a range that has ours in it";
}

TEST(Hello, OfAnotherClusterIsRefusedNamingBoth) {
  Hello hello = good_hello();
  hello.cluster = "green";
  EXPECT_THAT(refusal_of(hello), HasSubstr("(this router belongs to cluster blue, not green)"));
  hello.cluster = "blue";
  EXPECT_EQ(refusal_of(hello), "c1: welcome");
}

TEST(Hello, NeedsAClientIdAndASessionBase) {
  Hello hello = good_hello();
  hello.client_id = "";
  EXPECT_THAT(refusal_of(hello), HasSubstr("1 to 128 bytes, not 0"));
  const std::string longest(128, 'c');
  hello.client_id = longest;
  EXPECT_EQ(refusal_of(hello), "c1: welcome");
  const std::string too_long(129, 'c');
  hello.client_id = too_long;
  EXPECT_THAT(refusal_of(hello), HasSubstr("1 to 128 bytes, not 129"));
  hello = good_hello();
  hello.session_base = 65'537;
  EXPECT_THAT(refusal_of(hello), HasSubstr("low 16 bits"));
  hello.session_base = 0;
  EXPECT_THAT(refusal_of(hello), HasSubstr("low 16 bits"));
}

TEST(Hello, ComesFirstAndOnce) {
  CoreDriver d;
  d.start();
  ConnectionId a = d.core.connect(d.now);
  d.send(a, {acquire(1, "x")});
  ConnectionId b = d.client(1);
  d.told();
  d.core.hello(b, good_hello(), d.now);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c2: refused invalid argument (Hello comes once in a connection)"));
  EXPECT_EQ(d.core.stats().connections, 1U);
  d.turn();
  EXPECT_EQ(d.core.stats().connections, 0U);
  EXPECT_THAT(d.sent, IsEmpty());
}

TEST(Hello, MustComeInTime) {
  CoreDriver d;
  d.start();
  d.core.connect(d.now);
  d.pass(9'999);
  EXPECT_THAT(d.told(), IsEmpty());
  d.pass(1);
  EXPECT_THAT(d.told(),
              ElementsAre(HasSubstr("c1: refused invalid argument (a connection begins with Hello; none")));
}

TEST(Hello, WaitsForTheFirstViewForSomeTime) {
  CoreDriver d;
  ConnectionId early = d.say_hello(1, {{GroupId(1), 2, true}});
  d.send(early, {acquire(1, "x")});
  d.pass(4'000);
  ConnectionId later = d.say_hello(2);
  d.core.heartbeat(later, 1, std::vector{GroupListing{GroupId(1), 7, true}}, d.now);
  d.pass(999);
  EXPECT_THAT(d.told(), IsEmpty());
  d.pass(1);
  EXPECT_THAT(d.told(),
              ElementsAre("c1: refused unavailable (this router has not reached the coordinator yet: try "
                          "another router)"));
  d.start();
  EXPECT_THAT(d.told(), ElementsAre("c2: welcome"));
  d.send(later, {acquire(1, "x")});
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 131079/1");
}

TEST(Hello, OfAnotherClusterIsRefusedAlsoWhenItCameBeforeTheView) {
  CoreDriver d;
  d.say_hello(1, {}, "green");
  d.start();
  EXPECT_THAT(d.told(), ElementsAre(HasSubstr("belongs to cluster blue, not green")));
}

TEST(Connections, AreLimited) {
  RouterOptions options;
  options.connections_max = 2;
  CoreDriver d(options);
  d.start();
  ConnectionId a = d.client(1);
  d.client(2);
  d.core.connect(d.now);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre(HasSubstr("c3: refused overloaded (this router has its limit of 2")));
  d.core.disconnect(a);
  d.turn();
  d.turn();
  d.client(3);
}

TEST(Connections, ThatGoAreForgottenWithAllThatIsTheirs) {
  CoreDriver d;
  d.start();
  ConnectionId a = d.client(1, {{GroupId(1), 0, true}});
  ConnectionId b = d.client(2, {{GroupId(1), 0, true}});
  d.send(a, {acquire(1, "x")});
  Sent out = d.only_sent();
  d.send(a, {acquire(2, "y")});
  d.send(b, {acquire(1, "z")});
  d.core.heartbeat(a, 1, std::vector{GroupListing{GroupId(1), 0, true}}, d.now);
  d.core.disconnect(a);
  d.answer(out);
  EXPECT_EQ(CoreDriver::text(d.only_sent()), "acquire 131072/1");
  EXPECT_THAT(d.told(), IsEmpty());
  EXPECT_EQ(d.core.stats().pending, 1U);
  // Whoever gets its place afterwards has nothing to do with it.
  d.send(a, {acquire(3, "x")});
  d.core.disconnect(a);
  ConnectionId next = d.client(3);
  EXPECT_NE(next, a);
  d.send(a, {acquire(4, "x")});
  d.turn();
  EXPECT_EQ(d.core.stats().pending, 1U);
}

TEST(Connections, AClientThatComesBackTakesItsOperationsAlong) {
  CoreDriver d;
  d.start();
  ConnectionId old = d.client(1);
  d.send(old, {acquire(1, "x")});
  Sent out = d.only_sent();
  ConnectionId fresh = d.say_hello(1);
  d.turn();
  EXPECT_THAT(
      d.told(),
      ElementsAre("c2: welcome", "c1: refused unavailable (the client came back over another connection)"));
  d.send(fresh, {acquire(1, "x")});
  // The first try's answer is the answer, whichever connection it was sent for.
  d.answer(out);
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c2: ok 1 token 101"));
  EXPECT_EQ(d.core.stats().pending, 0U);
}

TEST(Connections, AnotherClientCannotTakeOverASessionBase) {
  CoreDriver d;
  d.start();
  d.client(1);
  ConnectionId thief = d.core.connect(d.now);
  Hello hello = good_hello();
  hello.client_id = "thief";
  d.core.hello(thief, hello, d.now);
  d.turn();
  EXPECT_THAT(d.told(),
              ElementsAre(HasSubstr("c2: refused invalid argument (another client uses this session base")));
  EXPECT_EQ(d.core.stats().connections, 2U);
  d.turn();
  EXPECT_EQ(d.core.stats().connections, 1U);
}

TEST(Connections, ARefusalComesAfterTheAnswersThatWereDue) {
  CoreDriver d;
  d.start();
  ConnectionId c = d.client(1);
  d.send(c, {acquire(1, "x")});
  d.answer(d.only_sent());
  d.core.refuse(c, Status::invalid_argument, "malformed frame");
  d.turn();
  EXPECT_THAT(d.told(), ElementsAre("c1: opened g1/0 ttl 10000 cause 1, ok 1 token 101",
                                    "c1: refused invalid argument (malformed frame)"));
}

}  // namespace
}  // namespace dlm::router
