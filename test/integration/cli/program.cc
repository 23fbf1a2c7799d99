#include "test/integration/cli/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

extern char** environ;

namespace dlm::test {

bool eventually(const std::function<bool()>& holds) {
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "dlm-cli-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("can't make a folder like " + pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string contents_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Program::Program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  std::string out_path = files_.path("out");
  std::string err_path = files_.path("err");
  std::vector<char*> argv = {const_cast<char*>(DLM_PROGRAM)};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> envp;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "DLM_", 4) != 0) envp.push_back(*variable);
  }
  for (const auto& variable : environment) envp.push_back(const_cast<char*>(variable.c_str()));
  envp.push_back(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("can't fork");
  if (pid_ > 0) return;
  int null_fd = open("/dev/null", O_RDONLY);
  int out_fd = open(out_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  int err_fd = open(err_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(null_fd, 0);
  dup2(out_fd, 1);
  dup2(err_fd, 2);
  for (int fd : {null_fd, out_fd, err_fd}) close(fd);
  execve(DLM_PROGRAM, argv.data(), envp.data());
  _exit(127);
}

Program::~Program() {
  if (!running()) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Program::signal(int number) const {
  if (!ended_) kill(pid_, number);
}

bool Program::running() {
  int status = 0;
  if (ended_ || waitpid(pid_, &status, WNOHANG) != pid_) return !ended_;
  ended_ = true;
  code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return false;
}

Ended Program::wait() {
  bool over = eventually([&] { return !running(); });
  EXPECT_TRUE(over) << "dlm does not end; it printed\n" << out() << err();
  return {over ? code_ : -1, out(), err()};
}

Ended run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  return Program(arguments, environment).wait();
}

}  // namespace dlm::test
