#include "client/cli/terminal.h"

#include <fcntl.h>

namespace dlm::cli {

Terminal::Terminal() : tty_(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)) {}

Terminal::~Terminal() {
  take_back();
}

bool Terminal::give_to(pid_t group) {
  if (!tty_.valid() || tcgetpgrp(tty_.get()) != getpgrp()) return false;
  if (tcsetpgrp(tty_.get(), group) != 0) return false;
  given_to_ = group;
  return true;
}

bool Terminal::take_back() {
  if (given_to_ == 0) return false;
  bool had_it = tcgetpgrp(tty_.get()) == given_to_;
  if (had_it) tcsetpgrp(tty_.get(), getpgrp());
  given_to_ = 0;
  return had_it;
}

}  // namespace dlm::cli
