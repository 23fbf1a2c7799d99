#include "server/core/lease_clock.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "schema/limits.h"

namespace dlm::server {
namespace {

using Kind = TimerEvent::Kind;

TimerEvent session_timer(std::uint64_t session, std::uint32_t duration_ms) {
  TimerEvent event;
  event.kind = Kind::session;
  event.start = true;
  event.duration_ms = duration_ms;
  event.session = SessionId(session);
  return event;
}

TimerEvent hold_timer(std::uint64_t token, std::uint32_t duration_ms, std::string resource = "r") {
  TimerEvent event;
  event.kind = Kind::hold;
  event.start = true;
  event.duration_ms = duration_ms;
  event.token = FencingToken(token);
  event.resource = std::move(resource);
  return event;
}

TimerEvent wait_timer(std::uint64_t session, std::uint64_t sequence, std::uint32_t duration_ms) {
  TimerEvent event;
  event.kind = Kind::wait;
  event.start = true;
  event.duration_ms = duration_ms;
  event.session = SessionId(session);
  event.sequence = Sequence(sequence);
  event.resource = "r";
  return event;
}

TimerEvent stopped(TimerEvent event) {
  event.start = false;
  return event;
}

// What has ended, as "kind:id" in order.
std::vector<std::string> ended(LeaseClock& clock, TimeMs now, std::size_t max = 1'000'000) {
  std::vector<OwnedOperation> operations;
  clock.expired(now, max, operations);
  std::vector<std::string> names;
  for (const OwnedOperation& owned : operations) {
    Operation op = owned.view();
    switch (op.kind) {
      case OperationKind::expire_session:
        names.push_back("session:" + std::to_string(op.session.value));
        break;
      case OperationKind::expire_hold:
        names.push_back("hold:" + std::to_string(op.token.value) + ":" + std::string(op.resource));
        break;
      case OperationKind::expire_wait:
        names.push_back("wait:" + std::to_string(op.session.value) + "/" + std::to_string(op.target.value) +
                        ":" + std::string(op.resource));
        break;
      case OperationKind::forget_session:
        names.push_back("forget:" + std::to_string(op.session.value));
        break;
      default:
        names.emplace_back("?");
    }
  }
  return names;
}

using Names = std::vector<std::string>;

TEST(LeaseClock, EachKindOfDeadlineYieldsItsOperationOnce) {
  LeaseClock clock;
  clock.on(session_timer(1, 10), 0);
  clock.on(hold_timer(2, 20, "lock"), 0);
  clock.on(wait_timer(3, 4, 30), 0);
  TimerEvent tombstone = session_timer(5, 40);
  tombstone.kind = Kind::tombstone;
  clock.on(tombstone, 0);
  EXPECT_EQ(clock.size(), 4U);
  EXPECT_EQ(clock.next_deadline(), 10U);
  EXPECT_EQ(ended(clock, 9), Names{});
  EXPECT_EQ(ended(clock, 100), (Names{"session:1", "hold:2:lock", "wait:3/4:r", "forget:5"}));
  EXPECT_EQ(ended(clock, 100), Names{});
  EXPECT_EQ(clock.size(), 0U);
  EXPECT_EQ(clock.next_deadline(), std::numeric_limits<TimeMs>::max());
}

TEST(LeaseClock, EqualDeadlinesEndInTheOrderInWhichTheyBegan) {
  LeaseClock clock;
  for (std::uint64_t session : {9, 3, 7, 1}) clock.on(session_timer(session, 50), 0);
  EXPECT_TRUE(clock.renew_session(SessionId(3), 0));
  EXPECT_EQ(ended(clock, 50), (Names{"session:9", "session:7", "session:1", "session:3"}));
}

TEST(LeaseClock, ARenewalRestartsAtFullLength) {
  LeaseClock clock;
  clock.on(session_timer(1, 100), 0);
  clock.on(hold_timer(2, 100), 0);
  EXPECT_TRUE(clock.renew_session(SessionId(1), 99));
  EXPECT_TRUE(clock.renew_hold(FencingToken(2), "r", 60));
  EXPECT_EQ(clock.session_left_ms(SessionId(1), 100), 99U);
  EXPECT_EQ(clock.hold_left_ms(FencingToken(2), "r", 100), 60U);
  EXPECT_EQ(ended(clock, 159), Names{});
  EXPECT_EQ(ended(clock, 198), Names{"hold:2:r"});
  EXPECT_EQ(ended(clock, 199), Names{"session:1"});
}

TEST(LeaseClock, WhatHasEndedCanNoLongerBeRenewed) {
  LeaseClock clock;
  clock.on(session_timer(1, 100), 0);
  EXPECT_FALSE(clock.renew_session(SessionId(2), 0));
  EXPECT_EQ(ended(clock, 100), Names{"session:1"});
  EXPECT_FALSE(clock.renew_session(SessionId(1), 100));
  EXPECT_FALSE(clock.renew_hold(FencingToken(1), "r", 100));
}

TEST(LeaseClock, AStartForALiveDeadlineRestartsItWithItsNewLength) {
  LeaseClock clock;
  clock.on(hold_timer(1, 1'000), 0);
  clock.on(hold_timer(1, 10), 5);
  EXPECT_EQ(clock.size(), 1U);
  EXPECT_EQ(clock.next_deadline(), 15U);
  EXPECT_EQ(ended(clock, 15), Names{"hold:1:r"});
  EXPECT_EQ(ended(clock, 2'000), Names{});
}

TEST(LeaseClock, WhatIsGoneFromTheTableNeverEnds) {
  LeaseClock clock;
  clock.on(hold_timer(1, 10), 0);
  clock.on(wait_timer(1, 1, 10), 0);
  clock.on(stopped(hold_timer(1, 0)), 5);
  clock.on(stopped(wait_timer(1, 1, 0)), 5);
  clock.on(stopped(wait_timer(1, 2, 0)), 5);
  EXPECT_EQ(clock.size(), 0U);
  EXPECT_EQ(ended(clock, 100), Names{});
}

TEST(LeaseClock, AnEndlessWaitHasNoDeadline) {
  LeaseClock clock;
  clock.on(wait_timer(1, 1, kWaitForeverMs), 0);
  EXPECT_EQ(clock.size(), 0U);
  EXPECT_EQ(ended(clock, std::numeric_limits<TimeMs>::max()), Names{});
}

TEST(LeaseClock, NoMoreAreToldThanAskedFor) {
  LeaseClock clock;
  for (std::uint64_t session = 1; session <= 5; ++session) clock.on(session_timer(session, 10), 0);
  EXPECT_EQ(ended(clock, 10, 2), (Names{"session:1", "session:2"}));
  EXPECT_EQ(clock.next_deadline(), 10U) << "there is more to be told";
  EXPECT_EQ(ended(clock, 10, 10).size(), 3U);
}

TEST(LeaseClock, AClearedClockKnowsNothing) {
  LeaseClock clock;
  clock.on(session_timer(1, 10), 0);
  clock.clear();
  EXPECT_EQ(clock.size(), 0U);
  EXPECT_EQ(ended(clock, 100), Names{});
}

TEST(LeaseClock, NeverAsksToBeCalledLaterThanADeadline) {
  LeaseClock clock;
  clock.on(session_timer(1, 100), 0);
  clock.renew_session(SessionId(1), 50);
  EXPECT_LE(clock.next_deadline(), 150U);
  EXPECT_EQ(ended(clock, 149), Names{});
  EXPECT_EQ(clock.next_deadline(), 150U);
}

// Against a model that looks at everything.
TEST(LeaseClock, AgreesWithANaiveModelOnRandomHistories) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    LeaseClock clock;
    struct Deadline {
      TimeMs at = 0;
      std::uint64_t order = 0;
      std::uint32_t duration_ms = 0;
    };
    std::map<std::uint64_t, Deadline> model;
    TimeMs now = 0;
    std::uint64_t order = 0;
    for (int step = 0; step < 5'000; ++step) {
      std::uint64_t token = 1 + random() % 50;
      switch (random() % 4) {
        case 0: {
          auto duration_ms = static_cast<std::uint32_t>(1 + random() % 200);
          clock.on(hold_timer(token, duration_ms), now);
          model[token] = {now + duration_ms, ++order, duration_ms};
          break;
        }
        case 1: {
          auto it = model.find(token);
          EXPECT_EQ(clock.renew_hold(FencingToken(token), "r", now), it != model.end());
          if (it != model.end()) it->second = {now + it->second.duration_ms, ++order, it->second.duration_ms};
          break;
        }
        case 2:
          clock.on(stopped(hold_timer(token, 0)), now);
          model.erase(token);
          break;
        default: {
          now += random() % 20;
          std::map<std::pair<TimeMs, std::uint64_t>, std::uint64_t> due;
          for (const auto& [id, deadline] : model) {
            if (deadline.at <= now) due.emplace(std::pair(deadline.at, deadline.order), id);
          }
          Names expected;
          for (const auto& [when, id] : due) {
            expected.push_back("hold:" + std::to_string(id) + ":r");
            model.erase(id);
          }
          ASSERT_EQ(ended(clock, now), expected) << "seed " << seed << " step " << step;
        }
      }
      ASSERT_EQ(clock.size(), model.size());
    }
  }
}

TEST(LeaseClock, AMillionDeadlinesAreKeptAndEndInOrder) {
  LeaseClock clock;
  constexpr std::uint64_t kCount = 1'000'000;
  for (std::uint64_t token = 1; token <= kCount; ++token) {
    clock.on(hold_timer(token, static_cast<std::uint32_t>(1 + (token * 7919) % 100'000)), 0);
  }
  for (std::uint64_t token = 1; token <= kCount; token += 2)
    clock.renew_hold(FencingToken(token), "r", 1'000);
  EXPECT_EQ(clock.size(), kCount);
  std::vector<OwnedOperation> operations;
  clock.expired(200'000, kCount, operations);
  EXPECT_EQ(operations.size(), kCount);
  EXPECT_EQ(clock.size(), 0U);
}

// Acquire and release with a long lease, for ever: the dropped deadlines must not pile up until their time
// comes.
TEST(LeaseClock, DroppedDeadlinesDoNotPileUp) {
  LeaseClock clock;
  for (std::uint64_t token = 1; token <= 300'000; ++token) {
    clock.on(hold_timer(token, 3'600'000), token);
    clock.on(stopped(hold_timer(token, 0)), token);
  }
  EXPECT_EQ(clock.size(), 0U);
  EXPECT_EQ(clock.next_deadline() == std::numeric_limits<TimeMs>::max() || clock.next_deadline() > 290'000,
            true);
}

}  // namespace
}  // namespace dlm::server
