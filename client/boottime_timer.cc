#include "client/boottime_timer.h"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "dlm/clock.h"

namespace dlm {

BoottimeClock::time_point BoottimeClock::now() noexcept {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return time_point(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

namespace client {

std::uint64_t boottime_ms() {
  auto since = std::chrono::floor<std::chrono::milliseconds>(BoottimeClock::now().time_since_epoch());
  return static_cast<std::uint64_t>(since.count());
}

namespace {

int make_timer() {
  int descriptor = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  if (descriptor < 0) throw std::system_error(errno, std::generic_category(), "timerfd_create");
  return descriptor;
}

}  // namespace

BoottimeTimer::BoottimeTimer(boost::asio::io_context& io, std::function<void()> on_due)
    : descriptor_(io, make_timer()), on_due_(std::move(on_due)) {
  wait();
}

void BoottimeTimer::set(std::uint64_t at_ms) {
  at_ms = std::max<std::uint64_t>(1, at_ms);
  if (at_ms_ != 0 && at_ms_ <= at_ms) return;
  at_ms_ = at_ms;
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(at_ms / 1000);
  when.it_value.tv_nsec = static_cast<long>(at_ms % 1000) * 1'000'000;
  timerfd_settime(descriptor_.native_handle(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void BoottimeTimer::cancel() {
  boost::system::error_code ignored;
  descriptor_.close(ignored);
}

void BoottimeTimer::wait() {
  descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [this](const boost::system::error_code& error) {
                           if (error) return;
                           std::uint64_t expirations = 0;
                           if (::read(descriptor_.native_handle(), &expirations, sizeof expirations) > 0) {
                             at_ms_ = 0;
                             on_due_();
                           }
                           if (descriptor_.is_open()) wait();
                         });
}

}  // namespace client
}  // namespace dlm
