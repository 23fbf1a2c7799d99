// `dlm lock` on a terminal: the command reads from it, and its keys reach the command.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>

#include "test/integration/cli/service.h"

namespace dlm::test {
namespace {

// `sh -c script` as the leader of a session with a terminal of its own, job control on, as a user's shell is.
class OnTerminal {
 public:
  OnTerminal(const std::string& script, const std::string& router) {
    pid_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (pid_ != 0) return;
    setenv("DLM_ROUTERS", router.c_str(), 1);
    execl("/bin/sh", "sh", "-c", script.c_str(), nullptr);
    _exit(127);
  }
  ~OnTerminal() {
    if (!ended_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(terminal_);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  void type(const std::string& keys) const {
    EXPECT_EQ(write(terminal_, keys.data(), keys.size()), ssize_t(keys.size()));
  }

  // Whether the screen has shown `text` so far.
  bool shows(const std::string& text) {
    return eventually([&] {
      read_screen();
      return screen_.find(text) != std::string::npos;
    });
  }
  bool ends() {
    return eventually([&] {
      read_screen();
      int status = 0;
      if (!ended_ && waitpid(pid_, &status, WNOHANG) == pid_) ended_ = true;
      return ended_;
    });
  }
  const std::string& screen() const { return screen_; }

 private:
  void read_screen() {
    std::array<char, 4096> bytes{};
    pollfd source{terminal_, POLLIN, 0};
    while (poll(&source, 1, 0) == 1 && (source.revents & POLLIN) != 0) {
      ssize_t count = read(terminal_, bytes.data(), bytes.size());
      if (count <= 0) return;
      screen_.append(bytes.data(), static_cast<std::size_t>(count));
    }
  }

  pid_t pid_ = -1;
  int terminal_ = -1;
  bool ended_ = false;
  std::string screen_;
};

class Terminal : public ServiceTest {
 protected:
  TemporaryFolder folder_;
};

TEST_F(Terminal, IsTheCommandsWhenItReadsFromIt) {
  OnTerminal shell(DLM_PROGRAM
                   " lock x -- sh -c 'echo ready; read word; echo got $word; exit 4'; echo code $?; "
                   "read after; echo then $after",
                   service().router());
  ASSERT_TRUE(shell.shows("ready")) << shell.screen();
  shell.type("hello\n");
  EXPECT_TRUE(shell.shows("got hello")) << shell.screen();
  EXPECT_TRUE(shell.shows("code 4")) << shell.screen();
  // And the shell's again afterwards.
  shell.type("again\n");
  EXPECT_TRUE(shell.shows("then again")) << shell.screen();
  EXPECT_TRUE(shell.ends());
}

// Counts the interrupts that it gets, before and (as the terminal is handed over then) after it reads.
constexpr const char* kCounter =
    "n=0; trap 'n=$((n+1))' INT\n"
    "wait_for() { while [ $n -lt $1 ]; do sleep 0.05; done; sleep 0.5; echo \"interrupts $n\"; }\n"
    "echo ready; wait_for 1\n"
    "read word; echo \"got $word\"; wait_for 2\n";

TEST_F(Terminal, PassesCtrlCToTheCommandOnce) {
  std::ofstream(folder_.path("script")) << kCounter;
  OnTerminal dlm("exec " DLM_PROGRAM " lock x -- sh " + folder_.path("script"), service().router());
  ASSERT_TRUE(dlm.shows("ready")) << dlm.screen();
  dlm.type("\x03");
  ASSERT_TRUE(dlm.shows("interrupts 1")) << dlm.screen();
  dlm.type("hello\n");
  ASSERT_TRUE(dlm.shows("got hello")) << dlm.screen();
  dlm.type("\x03");
  EXPECT_TRUE(dlm.shows("interrupts 2")) << dlm.screen();
  EXPECT_TRUE(dlm.ends());
}

TEST_F(Terminal, StopsTheWholeJobOnCtrlZAndContinuesIt) {
  OnTerminal shell(
      "set -m; " DLM_PROGRAM
      " lock x --ttl 60s -- sh -c 'echo ready; while ! [ -e \"$0\" ]; do sleep 0.05; done; exit 5' " +
          folder_.path("go") + "; echo stopped $?; read word; touch " + folder_.path("go") +
          "; fg; echo code $?",
      service().router());
  ASSERT_TRUE(shell.shows("ready")) << shell.screen();
  shell.type("\x1a");
  ASSERT_TRUE(shell.shows("stopped 1")) << shell.screen();
  shell.type("on\n");
  EXPECT_TRUE(shell.shows("code 5")) << shell.screen();
  EXPECT_TRUE(shell.ends());
}

}  // namespace
}  // namespace dlm::test
