#include "schema/wire/turn.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <functional>
#include <string>
#include <vector>

namespace dlm::wire {
namespace {

using Phase = Turn::Phase;

// Notes what it is called for, and may have more to do.
struct Worker : std::enable_shared_from_this<Worker> {
  Worker(std::vector<std::string>& record, std::string own_name) : log(record), name(std::move(own_name)) {}
  void work() {
    log.push_back(name);
    if (then) then();
  }
  std::vector<std::string>& log;
  std::string name;
  std::function<void()> then;
};

struct TurnTest : testing::Test {
  std::shared_ptr<Worker> worker(const std::string& name) { return std::make_shared<Worker>(log, name); }
  void at_end(Phase phase, std::shared_ptr<Worker> who) {
    Turn::of(io).at_end<&Worker::work>(phase, std::move(who));
  }
  void post(std::function<void()> task) { boost::asio::post(io, std::move(task)); }

  boost::asio::io_context io;
  std::vector<std::string> log;
};

TEST_F(TurnTest, TheEndComesAfterAllThatIsReadyPhaseByPhase) {
  post([&] {
    log.push_back("read 1");
    at_end(Phase::afterwards, worker("afterwards"));
    at_end(Phase::send, worker("send"));
    at_end(Phase::decide, worker("decide"));
  });
  post([&] {
    log.push_back("read 2");
    at_end(Phase::pump, worker("pump"));
  });
  Turn::run(io);
  EXPECT_EQ(log, (std::vector<std::string>{"read 1", "read 2", "pump", "decide", "send", "afterwards"}));
}

TEST_F(TurnTest, AnEarlierPhaseThatALaterOneAddsToComesBeforeSending) {
  auto decide = worker("decide");
  decide->then = [&] { at_end(Phase::pump, worker("pump again")); };
  post([&] {
    at_end(Phase::send, worker("send"));
    at_end(Phase::decide, decide);
  });
  Turn::run(io);
  EXPECT_EQ(log, (std::vector<std::string>{"decide", "pump again", "send"}));
}

TEST_F(TurnTest, WhatAddsToItselfForEverLeavesRoomForHandlers) {
  bool stop = false;
  auto restless = worker("restless");
  restless->then = [&, self = restless.get()] {
    if (log.size() == 1'000) post([&] { stop = true; });
    ASSERT_LT(log.size(), 100'000U);
    if (!stop) at_end(Phase::pump, self->shared_from_this());
  };
  post([&] { at_end(Phase::pump, restless); });
  Turn::run(io);
  EXPECT_TRUE(stop);
  restless->then = nullptr;
}

TEST_F(TurnTest, ALoopThatIsRunOtherwiseGetsItAsAHandler) {
  at_end(Phase::send, worker("send"));
  at_end(Phase::pump, worker("pump"));
  io.run();
  EXPECT_EQ(log, (std::vector<std::string>{"pump", "send"}));
}

TEST_F(TurnTest, WhatIsLeftWhenTheLoopIsStoppedIsDoneWhenItRunsAgain) {
  post([&] {
    at_end(Phase::send, worker("before"));
    io.stop();
  });
  Turn::run(io);
  io.restart();
  post([&] { at_end(Phase::send, worker("after")); });
  Turn::run(io);
  EXPECT_EQ(log, (std::vector<std::string>{"before", "after"}));
}

TEST_F(TurnTest, OwnersOfWhatIsNeverDoneAreLetGoWithTheLoop) {
  auto owner = worker("never");
  std::weak_ptr<Worker> weak = owner;
  {
    boost::asio::io_context other;
    Turn::of(other).at_end<&Worker::work>(Phase::send, std::move(owner));
    EXPECT_FALSE(weak.expired());
  }
  EXPECT_TRUE(weak.expired());
  EXPECT_TRUE(log.empty());
}

}  // namespace
}  // namespace dlm::wire
