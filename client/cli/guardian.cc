#include "client/cli/guardian.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

namespace dlm::cli {
namespace {

// Smaller than PIPE_BUF, so it arrives whole.
struct Order {
  pid_t group = 0;  // 0: none
  BoottimeClock::rep kill_at_ns = 0;
};

void arm(int timer_fd, BoottimeClock::rep at_ns) {
  itimerspec at{};
  at.it_value.tv_sec = at_ns / 1'000'000'000;
  at.it_value.tv_nsec = at_ns % 1'000'000'000;
  timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, nullptr);
}

// Keeps nothing of dlm's open (a reader of dlm's stdout would wait for this process too), hears no terminal,
// and has a name of its own, so that `killall dlm` misses it.
int detach_from_parent(int pipe_fd) {
  if (pipe_fd < 3)
    pipe_fd = fcntl(pipe_fd, F_DUPFD_CLOEXEC, 3);  // dlm was started with its standard files closed
  setsid();
  prctl(PR_SET_NAME, "dlm-guardian");
  int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd : {0, 1, 2}) dup2(null_fd, fd);
  if (pipe_fd > 3) syscall(SYS_close_range, 3U, static_cast<unsigned>(pipe_fd) - 1, 0U);
  syscall(SYS_close_range, static_cast<unsigned>(pipe_fd) + 1, ~0U, 0U);
  return pipe_fd;
}

[[noreturn]] void stand_guard(int pipe_fd, std::chrono::milliseconds grace) {
  pipe_fd = detach_from_parent(pipe_fd);
  int timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
  if (timer_fd < 0) _exit(1);
  Order order;
  std::array<pollfd, 2> sources = {{{pipe_fd, POLLIN, 0}, {timer_fd, POLLIN, 0}}};
  bool parent_lives = true;
  while (true) {
    if (poll(sources.data(), sources.size(), -1) < 0) continue;
    if (sources[0].revents != 0) {
      Order next;
      ssize_t count = read(pipe_fd, &next, sizeof next);
      if (count == sizeof next) {
        order = next;
      } else if (count == 0) {
        if (order.group == 0) _exit(0);
        parent_lives = false;
        kill(-order.group, SIGTERM);
        kill(-order.group, SIGCONT);
        auto grace_ends = (BoottimeClock::now() + grace).time_since_epoch().count();
        order.kill_at_ns = std::min(order.kill_at_ns, grace_ends);
        sources[0].fd = -1;
      }
      arm(timer_fd, order.group == 0 ? 0 : order.kill_at_ns);
    }
    if (order.group == 0 || BoottimeClock::now().time_since_epoch().count() < order.kill_at_ns) continue;
    kill(-order.group, SIGKILL);
    if (!parent_lives) _exit(0);
    order.group = 0;  // dlm, when it runs again, sees a dead command and says why
    arm(timer_fd, 0);
  }
}

}  // namespace

Guardian::Guardian(std::chrono::milliseconds grace) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  FileDescriptor read_end(ends[0]);
  pipe_.reset(ends[1]);
  pid_ = fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    pipe_.reset();
    stand_guard(read_end.get(), grace);
  }
  // A guardian that somebody stopped must not stop dlm; what does not fit is told again soon.
  fcntl(pipe_.get(), F_SETFL, O_NONBLOCK);
}

Guardian::~Guardian() {
  pipe_.reset();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// A guardian that is gone makes the write fail (SIGPIPE is ignored by then): dlm's own watch goes on.
void Guardian::watch(pid_t group, BoottimeClock::time_point kill_at) {
  Order order{group, kill_at.time_since_epoch().count()};
  if (write(pipe_.get(), &order, sizeof order) < 0) return;
}

void Guardian::stand_down() {
  Order order;
  if (write(pipe_.get(), &order, sizeof order) < 0) return;
}

}  // namespace dlm::cli
