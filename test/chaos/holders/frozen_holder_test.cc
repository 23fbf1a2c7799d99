// The holder's side of a freeze: a process that wakes past its lease finds the lock LOST before anything of
// its own leaves.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "test/support/child_process.h"
#include "test/support/fake_router.h"

namespace dlm::chaos {
namespace {

constexpr std::uint32_t kTtlMs = 1'000;

class FrozenHolder : public testing::Test {
 protected:
  FrozenHolder()
      : log_(testing::TempDir() + "/frozen-holder-" + std::to_string(getpid())),
        routers_(1, kTtlMs),
        holder_({DLM_CHAOS_PROGRAM, "holder", "--router", routers_.address(0), "--resource", "r", "--log",
                 log_, "--ttl", std::to_string(kTtlMs)},
                log_ + ".err") {}
  ~FrozenHolder() override {
    std::filesystem::remove(log_);
    std::filesystem::remove(log_ + ".err");
  }

  // Everything that a client sends beside its Hello.
  std::size_t sent() const {
    const test::FakeRouterCounters counters = routers_.counters();
    return counters.operation_frames + counters.heartbeats + counters.byes;
  }

  std::string log() const {
    std::ifstream file(log_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  void await(const std::string& line) {
    while (log().find(line) == std::string::npos) {
      ASSERT_TRUE(holder_.running()) << log() << test::tail_of(log_ + ".err");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  const std::string log_;
  test::FakeRouters routers_;
  test::ChildProcess holder_;
};

TEST_F(FrozenHolder, FindsItsLockLostBeforeAnythingOfItsOwnIsSent) {
  await("held\n");
  holder_.stop();
  std::this_thread::sleep_for(std::chrono::milliseconds(kTtlMs + 500));
  const std::size_t before = sent();  // what was on its way has long arrived
  holder_.signal(SIGCONT);
  await("callback\n");
  // The thread that sends rests in the callback now, for a second: had anything been sent before, it would
  // have come.
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  EXPECT_EQ(sent(), before);
  holder_.wait();
  EXPECT_NE(log().find("state lost\n"), std::string::npos) << log();
  EXPECT_NE(log().find("release session expired\n"), std::string::npos) << log();
}

}  // namespace
}  // namespace dlm::chaos
