// What becomes of the command of `dlm lock` when the lock is lost, or dlm itself is killed or stopped. Each
// test has a service of its own to stop or kill.
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "test/integration/cli/service.h"

namespace dlm::test {
namespace {

using ::testing::HasSubstr;

class LostLock : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(service_.ok()) << service_.program().err(); }

  // A command in two processes that says when it runs, and that it got SIGTERM.
  std::vector<std::string> lock_words(const std::string& trap) const {
    std::string script =
        "trap '" + trap + "' TERM; sleep 1000 & echo $$ $! > " + pids_ + "; while :; do sleep 0.05; done";
    return {"lock", "x", "--ttl", "2s", "--kill-grace", "300ms", "--", "sh", "-c", script};
  }
  bool command_runs() const {
    return eventually([this] { return contents_of(pids_).find('\n') != std::string::npos; });
  }
  // Both processes are dead (or dying, not yet collected by init).
  bool command_is_gone() const {
    return eventually([this] {
      std::istringstream numbers(contents_of(pids_));
      for (pid_t pid = 0; numbers >> pid;) {
        std::string stat = contents_of("/proc/" + std::to_string(pid) + "/stat");
        bool dead =
            stat.empty() || stat.find(") Z ") != std::string::npos || stat.find(") X ") != std::string::npos;
        if (!dead) return false;
      }
      return true;
    });
  }

  TemporaryFolder folder_;
  std::string pids_ = folder_.path("pids");
  std::string terminated_ = folder_.path("terminated");
  Service service_;
};

TEST_F(LostLock, EndsTheCommandWhenTheServiceIsGone) {
  Program program(lock_words("echo yes > " + terminated_ + "; exit 0"), service_.environment());
  ASSERT_TRUE(command_runs()) << program.err();
  service_.program().signal(SIGKILL);
  Ended ended = program.wait();
  EXPECT_EQ(ended.code, 79) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("dlm: the lock on x was lost while the command ran"));
  EXPECT_EQ(contents_of(terminated_), "yes\n");
  EXPECT_TRUE(command_is_gone());
}

TEST_F(LostLock, KillsACommandThatIgnoresSigterm) {
  Program program(lock_words(""), service_.environment());
  ASSERT_TRUE(command_runs()) << program.err();
  service_.program().signal(SIGSTOP);
  EXPECT_EQ(program.wait().code, 79);
  EXPECT_TRUE(command_is_gone());
  service_.program().signal(SIGCONT);
}

TEST_F(LostLock, EndsTheCommandWhenDlmIsKilled) {
  Program program(lock_words("echo yes > " + terminated_ + "; exit 0"), service_.environment());
  ASSERT_TRUE(command_runs()) << program.err();
  program.signal(SIGKILL);
  program.wait();
  EXPECT_TRUE(command_is_gone());
  EXPECT_EQ(contents_of(terminated_), "yes\n");
}

TEST_F(LostLock, KillsTheCommandOfADlmThatIsStopped) {
  Program program(lock_words(""), service_.environment());
  ASSERT_TRUE(command_runs()) << program.err();
  program.signal(SIGSTOP);
  EXPECT_TRUE(command_is_gone());
  // The next one may have it.
  EXPECT_EQ(service_.dlm({"lock", "x", "--", "true"}).code, 0);
  program.signal(SIGCONT);
  EXPECT_EQ(program.wait().code, 79);
}

TEST_F(LostLock, OutlivesAServiceThatIsStoppedForLessThanTheTtl) {
  Program program({"lock", "x", "--ttl", "30s", "--", "sh", "-c", "echo up > " + pids_ + "; sleep 1; exit 3"},
                  service_.environment());
  ASSERT_TRUE(command_runs()) << program.err();
  service_.program().signal(SIGSTOP);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  service_.program().signal(SIGCONT);
  EXPECT_EQ(program.wait().code, 3);
}

}  // namespace
}  // namespace dlm::test
