#include "client/cli/supervisor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "schema/text.h"

namespace dlm::cli {

using std::chrono::milliseconds;

KillTimes KillTimes::of(milliseconds ttl, milliseconds wanted_grace) {
  milliseconds margin = std::clamp(ttl / 20, milliseconds(50), milliseconds(500));
  milliseconds room = std::max(milliseconds(0), ttl / 3 - margin);
  return {std::min(wanted_grace, room), margin};
}

KillStep kill_step(LockState state, BoottimeClock::time_point deadline, BoottimeClock::time_point now,
                   const KillTimes& times, bool terminated) {
  bool held = state == LockState::held || state == LockState::jeopardy;
  if (!held || now >= deadline - times.margin) return KillStep::kill;
  if (!terminated && now >= deadline - times.margin - times.grace) return KillStep::terminate;
  return KillStep::none;
}

sigset_t supervised_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCHLD}) {
    sigaddset(&signals, signal);
  }
  return signals;
}

Supervisor::Supervisor(int signal_fd, Guardian& guardian, KillTimes times, milliseconds ttl, Warn warn)
    : signal_fd_(signal_fd),
      guardian_(guardian),
      times_(times),
      // The guardian must hear of a renewal well before the time it was told last.
      watch_interval_(std::max(milliseconds(10), ttl / 8)),
      warn_(std::move(warn)),
      timer_fd_(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)),
      lost_fd_(std::make_shared<FileDescriptor>(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) {
  if (!timer_fd_.valid() || !lost_fd_->valid())
    throw std::system_error(errno, std::generic_category(), "timerfd");
}

Outcome Supervisor::run(pid_t command, Lock& lock) {
  command_ = command;
  lock.on_lost([wake = lost_fd_](LostCause) {
    std::uint64_t one = 1;
    if (write(wake->get(), &one, sizeof one) < 0) return;  // full: it wakes anyway
  });
  while (true) {
    // First of all: this process may have been stopped for longer than the lock lives.
    check_lock(lock);
    if (command_ended(lock)) return outcome_;
    wait_for_something(lock);
    check_lock(lock);
    pass_signals();
  }
}

void Supervisor::check_lock(const Lock& lock) {
  auto now = BoottimeClock::now();
  auto state = lock.state();
  auto deadline = lock.local_deadline();
  KillStep step = kill_step(state, deadline, now, times_, terminated_);
  if (step == KillStep::none) {
    if (!killed_) guardian_.watch(command_, deadline - times_.margin / 2);
    return;
  }
  if (outcome_.lost_reason.empty()) {
    outcome_.lost = true;
    outcome_.lost_reason = lock.lost_reason();
    if (outcome_.lost_reason.empty()) {
      auto left = std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(deadline - now));
      outcome_.lost_reason = "no renewal got through, and the lease ends in " +
                             format_duration_ms(static_cast<std::uint64_t>(left.count()));
    }
    bool kills = step == KillStep::kill || times_.grace.count() == 0;
    warn_("losing the lock: " + outcome_.lost_reason +
          (kills ? "; killing the command" : "; asking the command to end"));
  }
  if (step == KillStep::terminate) {
    terminated_ = true;
    send(SIGTERM);
    send(SIGCONT);  // a stopped one could not hear it
    return;
  }
  send(SIGKILL);
  killed_ = true;
}

void Supervisor::pass_signals() {
  signalfd_siginfo info{};
  while (read(signal_fd_, &info, sizeof info) == sizeof info) {
    auto signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGCHLD) continue;
    send(signal);
    // A shell's `kill %1; fg` sends these two together; a stopped command would sleep over the first.
    if (signal == SIGTERM || signal == SIGHUP) send(SIGCONT);
  }
}

bool Supervisor::command_ended(const Lock& lock) {
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(command_), &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0) {
    return false;
  }
  if (info.si_code == CLD_STOPPED) {
    waitpid(command_, nullptr, WUNTRACED | WNOHANG);
    check_lock(lock);
    if (!killed_) command_stopped(info.si_status);
    return false;
  }
  // Its last moments may have been beyond the deadline, if this process was stopped meanwhile.
  check_lock(lock);
  guardian_.stand_down();
  waitpid(command_, &outcome_.wait_status, 0);
  return true;
}

void Supervisor::command_stopped(int signal) {
  if (signal == SIGTTIN || signal == SIGTTOU) {
    if (terminal_.give_to(command_)) return send(SIGCONT);
  } else if (signal != SIGTSTP) {
    return;  // somebody's SIGSTOP: that somebody will continue it
  }
  // The shell that started dlm must see the whole job stopped. Renewals stop too: a pause beyond the TTL
  // loses the lock, and the guardian then kills the command.
  bool had_terminal = terminal_.take_back();
  raise(SIGSTOP);
  if (had_terminal) terminal_.give_to(command_);
  send(SIGCONT);
}

void Supervisor::wait_for_something(const Lock& lock) {
  auto now = BoottimeClock::now();
  auto wake = now + watch_interval_;
  auto deadline = lock.local_deadline();
  if (!killed_)
    wake = std::min(wake, deadline - times_.margin - (terminated_ ? milliseconds(0) : times_.grace));
  wake = std::max(wake, now + milliseconds(1));
  auto since_boot = wake.time_since_epoch().count();
  itimerspec at{};
  at.it_value.tv_sec = since_boot / 1'000'000'000;
  at.it_value.tv_nsec = since_boot % 1'000'000'000;
  timerfd_settime(timer_fd_.get(), TFD_TIMER_ABSTIME, &at, nullptr);

  std::array<pollfd, 3> sources = {
      {{signal_fd_, POLLIN, 0}, {timer_fd_.get(), POLLIN, 0}, {killed_ ? -1 : lost_fd_->get(), POLLIN, 0}}};
  poll(sources.data(), sources.size(), -1);
}

void Supervisor::send(int signal) const {
  kill(-command_, signal);
}

}  // namespace dlm::cli
