#include "router/cut_off_log.h"

#include <glog/logging.h>

#include <utility>

#include "schema/text.h"
#include "schema/wire/event_loop.h"

namespace dlm::router {
namespace {

constexpr unsigned kLinesPerSecond = 10;

}  // namespace

void CutOffLog::add(const std::string& peer, const std::string& why) {
  const std::uint64_t second = wire::EventLoop::now_ms() / 1'000;
  if (second != second_) {
    tell_rest();
    second_ = second;
    lines_ = 0;
  }
  if (lines_ == kLinesPerSecond) {
    ++untold_;
    return;
  }
  ++lines_;
  LOG(WARNING) << "client " << peer << " is cut off: " << printable(why);
}

void CutOffLog::tell_rest() {
  if (untold_ == 0) return;
  LOG(WARNING) << std::exchange(untold_, 0) << " more clients were cut off";
}

}  // namespace dlm::router
