#include "test/support/child_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <mutex>
#include <random>
#include <stdexcept>
#include <system_error>

namespace dlm::test {
namespace {

// In the child: nothing that allocates, as other threads of the parent may have held a lock.
[[noreturn]] void become(char* const* arguments, int log, int failure, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execvp(arguments[0], arguments);
  }
  int error = errno;
  if (write(failure, &error, sizeof error) < 0) _exit(126);
  _exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command, const std::string& log_path) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  int failure[2];
  int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0 || pipe2(failure, O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "starting " + command[0]);
  }
  pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) become(arguments.data(), log, failure[1], parent);
  close(log);
  close(failure[1]);
  int error = 0;
  ssize_t told = read(failure[0], &error, sizeof error);  // closed by a successful exec
  close(failure[0]);
  if (pid_ < 0 || told > 0) {
    if (pid_ > 0) wait();
    throw std::system_error(error, std::generic_category(), "starting " + command[0]);
  }
}

ChildProcess::~ChildProcess() {
  signal(SIGKILL);
  wait();
}

bool ChildProcess::running() {
  if (!ended_ && waitpid(pid_, &status_, WNOHANG) == pid_) ended_ = true;
  return !ended_;
}

void ChildProcess::signal(int number) {
  if (running()) kill(pid_, number);
}

void ChildProcess::stop() {
  signal(SIGSTOP);
  siginfo_t info{};
  while (!ended_ && waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED | WEXITED | WNOWAIT) != 0) {
    if (errno != EINTR) return;
  }
}

int ChildProcess::wait() {
  while (!ended_) {
    if (waitpid(pid_, &status_, 0) == pid_ || errno != EINTR) ended_ = true;
  }
  return status_;
}

int free_port() {
  constexpr int kLowest = 10'000, kHighest = 31'999;
  static std::mt19937 random{std::random_device()()};
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  for (int attempt = 0; attempt < 1'000; ++attempt) {
    const int port = std::uniform_int_distribution(kLowest, kHighest)(random);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "looking for a free port");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    if (free) return port;
  }
  throw std::runtime_error("found no free port");
}

std::string tail_of(const std::string& path, std::size_t bytes) {
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  return text.size() > bytes ? text.substr(text.size() - bytes) : text;
}

}  // namespace dlm::test
