#include "client/cli/stop_signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "client/cli/exit_code.h"

namespace dlm::cli {

StopSignals::StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC);
  event_fd_ = eventfd(0, EFD_CLOEXEC);
  if (signal_fd_ < 0 || event_fd_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
  watcher_ = std::thread([this] { watch(); });
}

StopSignals::~StopSignals() {
  std::uint64_t one = 1;
  if (write(event_fd_, &one, sizeof one) == sizeof one) watcher_.join();
  close(event_fd_);
  close(signal_fd_);
}

void StopSignals::watch() {
  std::array<pollfd, 2> sources = {{{signal_fd_, POLLIN, 0}, {event_fd_, POLLIN, 0}}};
  while (true) {
    if (poll(sources.data(), sources.size(), -1) < 0) continue;
    if (sources[1].revents != 0) return;
    signalfd_siginfo info{};
    if (read(signal_fd_, &info, sizeof info) != sizeof info) continue;
    auto signal = static_cast<int>(info.ssi_signo);
    if (received_.exchange(signal) != 0) _exit(exit_code_of_signal(signal));
    source_.request_stop();
  }
}

}  // namespace dlm::cli
