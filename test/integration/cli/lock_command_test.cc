// `dlm lock`: the command's environment, its exit code, its signals, and waiting in line.
#include <gmock/gmock.h>

#include <csignal>
#include <fstream>

#include "test/integration/cli/service.h"

namespace dlm::test {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class LockCommand : public ServiceTest {
 protected:
  static Ended lock(const std::string& name, const std::vector<std::string>& command,
                    const std::vector<std::string>& options = {}) {
    return dlm(words(name, command, options));
  }
  static std::vector<std::string> words(const std::string& name, const std::vector<std::string>& command,
                                        const std::vector<std::string>& options = {}) {
    std::vector<std::string> out = {"lock", name};
    out.insert(out.end(), options.begin(), options.end());
    out.emplace_back("--");
    out.insert(out.end(), command.begin(), command.end());
    return out;
  }
  static bool is_free(const std::string& name) {
    Ended shown = dlm({"inspect", name, "--json"});
    return shown.code == 0 && json_of(shown.out).at("holders").as_array().empty();
  }
  // True once `path` has something in it.
  static bool appears(const std::string& path) {
    return eventually([&] { return !contents_of(path).empty(); });
  }

  TemporaryFolder folder_;
};

TEST_F(LockCommand, GivesTheCommandTokenAndResourceAndReleasesAfterwards) {
  Ended ended = lock("orders/1", {"sh", "-c", "echo $DLM_TOKEN $DLM_RESOURCE ${DLM_RESOURCE_HEX-none}"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  EXPECT_THAT(ended.out, MatchesRegex("[0-9]{13,} orders/1 none\n"));
  EXPECT_TRUE(is_free("orders/1"));
}

TEST_F(LockCommand, GivesTheBytesOfANameThatIsNotPrintableInHex) {
  Ended ended = lock("--name-hex=ff00", {"sh", "-c", "echo \"$DLM_RESOURCE\" | cat; echo $DLM_RESOURCE_HEX"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("ff00\n"));
}

TEST_F(LockCommand, HoldsTheLockWhileTheCommandRuns) {
  Ended ended = lock("held", {DLM_PROGRAM, "acquire", "held", "--client", "other", "--lease", "5s"});
  EXPECT_EQ(ended.code, 75) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("held"));
}

TEST_F(LockCommand, EndsWithTheCommandsCode) {
  EXPECT_EQ(lock("code", {"true"}).code, 0);
  EXPECT_EQ(lock("code", {"sh", "-c", "exit 7"}).code, 7);
  EXPECT_EQ(lock("code", {"sh", "-c", "exit 255"}).code, 255);
  EXPECT_EQ(lock("code", {"sh", "-c", "kill -USR1 $$"}).code, 128 + SIGUSR1);
  EXPECT_TRUE(is_free("code"));
}

TEST_F(LockCommand, PassesItsArgumentsOnWordByWord) {
  Ended ended = lock("words", {"printf", "%s|", "--wait", "a b", "--", "--json", "", "-v"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "--wait|a b|--|--json||-v|");
}

TEST_F(LockCommand, SaysWhenTheCommandCanNotBeRun) {
  Ended missing = lock("x", {"/nonexistent/program"});
  EXPECT_EQ(missing.code, 127);
  expect_one_error_line(missing);
  Ended forbidden = lock("x", {"/etc/passwd"});
  EXPECT_EQ(forbidden.code, 126);
  expect_one_error_line(forbidden);
  EXPECT_TRUE(is_free("x"));
}

TEST_F(LockCommand, LeavesOpenFilesToTheCommandButNotItsOwn) {
  Ended ended = lock("files", {"sh", "-c", "ls /proc/self/fd | wc -l"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  int with_lock = std::atoi(ended.out.c_str());
  // 0, 1, 2 and the one that ls reads the folder with; what this test was started with is passed on too.
  Ended plain = lock("files", {"sh", "-c", "exec 7</dev/null; ls /proc/self/fd | wc -l"});
  EXPECT_EQ(std::atoi(plain.out.c_str()), with_lock + 1);
  EXPECT_LE(with_lock, 12) << ended.out;
}

TEST_F(LockCommand, GivesUpWhenTheWaitIsOver) {
  Program holder(words("busy", {"sleep", "600"}), service().environment());
  ASSERT_TRUE(eventually([&] { return !is_free("busy"); }));
  for (const char* wait : {"0", "none", "100ms"}) {
    Ended refused = lock("busy", {"true"}, {"--wait", wait});
    EXPECT_EQ(refused.code, 75);
    expect_one_error_line(refused);
  }
  Ended in_json = lock("busy", {"true"}, {"--wait", "0", "--json"});
  EXPECT_EQ(json_of(in_json.err).at("error").at("status").as_string(), "timed_out");
  holder.signal(SIGTERM);
  EXPECT_EQ(holder.wait().code, 128 + SIGTERM);
  EXPECT_EQ(lock("busy", {"true"}).code, 0);
}

TEST_F(LockCommand, ShowsWhomItWaitsForAndThenRuns) {
  Program holder(words("line", {"sleep", "600"}, {"--client", "first"}), service().environment());
  ASSERT_TRUE(eventually([&] { return !is_free("line"); }));
  Program waiter(words("line", {"echo", "ran"}, {"-v"}), service().environment());
  EXPECT_TRUE(eventually([&] {
    return waiter.err().find("waiting for line: held by first") != std::string::npos;
  })) << waiter.err();
  holder.signal(SIGINT);
  EXPECT_EQ(holder.wait().code, 128 + SIGINT);
  Ended ended = waiter.wait();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "ran\n");
}

TEST_F(LockCommand, InterruptedWhileWaitingLeavesTheLine) {
  Program holder(words("left", {"sleep", "600"}), service().environment());
  ASSERT_TRUE(eventually([&] { return !is_free("left"); }));
  Program waiter(words("left", {"touch", folder_.path("ran")}, {"-v"}), service().environment());
  ASSERT_TRUE(eventually([&] { return waiter.err().find("waiting for left") != std::string::npos; }))
      << waiter.err();
  waiter.signal(SIGINT);
  EXPECT_EQ(waiter.wait().code, 128 + SIGINT);
  EXPECT_EQ(json_of(dlm({"inspect", "left", "--json"}).out).at("waiter_count").as_int64(), 0);
  holder.signal(SIGTERM);
  holder.wait();
  EXPECT_TRUE(is_free("left"));
}

TEST_F(LockCommand, PassesSignalsOnToTheCommand) {
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    std::string ready = folder_.path("ready" + std::to_string(signal));
    std::string script = "trap 'echo got " + std::to_string(signal) + "; exit 9' " + std::to_string(signal) +
                         "; echo up > " + ready + "; while :; do sleep 0.05; done";
    Program program(words("signals", {"sh", "-c", script}), service().environment());
    ASSERT_TRUE(appears(ready)) << program.err();
    program.signal(signal);
    Ended ended = program.wait();
    EXPECT_EQ(ended.code, 9) << ended.err;
    EXPECT_EQ(ended.out, "got " + std::to_string(signal) + "\n");
  }
  EXPECT_TRUE(is_free("signals"));
}

TEST_F(LockCommand, SharesALockAmongReaders) {
  Ended ended =
      lock("readers", {DLM_PROGRAM, "lock", "readers", "--shared", "--", "echo", "both"}, {"--shared"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "both\n");
}

TEST_F(LockCommand, LosesNoUpdateOfACounter) {
  std::string counter = folder_.path("counter");
  std::ofstream(counter) << "0\n";
  std::string add = "n=$(cat " + counter + "); echo $((n+1)) > " + counter;
  std::string loop = "i=0; while [ $i -lt 10 ]; do " DLM_PROGRAM " lock counter -- sh -c '" + add +
                     "' || exit 1; i=$((i+1)); done";
  // Shells of their own, each under a lock of its own: a way to run several at once.
  std::vector<std::unique_ptr<Program>> loops;
  for (int i = 0; i < 4; ++i) {
    loops.push_back(std::make_unique<Program>(words("loop/" + std::to_string(i), {"sh", "-c", loop}),
                                              service().environment()));
  }
  for (auto& each : loops) {
    Ended ended = each->wait();
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(ended.err, "");
  }
  EXPECT_EQ(contents_of(counter), "40\n");
}

}  // namespace
}  // namespace dlm::test
