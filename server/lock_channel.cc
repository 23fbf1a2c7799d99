#include "server/lock_channel.h"

#include <glog/logging.h>
#include <kj/debug.h>

#include <algorithm>
#include <utility>

#include "schema/wire/codec.h"
#include "schema/wire/rpc.h"

namespace dlm::server {

LockChannel::LockChannel(wire::EventLoop& loop, std::weak_ptr<GroupHost> host,
                         wire::AnswerListener::Client listener, const LockChannelLimits& limits)
    : loop_(loop), host_(std::move(host)), listener_(kj::mv(listener)), limits_(limits) {
  if (auto open = host_.lock()) channel_ = open->open_channel(*this);
}

LockChannel::~LockChannel() noexcept(false) {
  if (auto open = host_.lock()) open->close_channel(channel_);
}

std::shared_ptr<GroupHost> LockChannel::host() {
  auto open = host_.lock();
  if (cut_off_ || !open) kj::throwFatalException(KJ_EXCEPTION(DISCONNECTED, "this channel is closed"));
  return open;
}

kj::Promise<void> LockChannel::submit(SubmitContext context) {
  if (context.getParams().getOperations().size() > limits_.operations_per_submit_max) {
    kj::throwFatalException(KJ_EXCEPTION(OVERLOADED, "too many operations in one submit"));
  }
  return host()->submit(channel_, kj::mv(context));
}

kj::Promise<void> LockChannel::query(QueryContext context) {
  return host()->query(kj::mv(context));
}

void LockChannel::later(std::vector<Answer>&& answers) {
  if (cut_off_) return;
  if (queue_.size() + answers.size() > limits_.queued_answers_max)
    return cut_off("it does not take its answers");
  std::move(answers.begin(), answers.end(), std::back_inserter(queue_));
  if (!sending_) send();
}

void LockChannel::send() {
  const std::size_t count = std::min(queue_.size(), limits_.answers_per_call_max);
  std::uint64_t words = 0;
  for (std::size_t i = 0; i < count; ++i) words += wire::words_of(queue_[i]);
  auto request = listener_.answersRequest(wire::size_hint(words));
  auto list = request.initList(static_cast<unsigned>(count));
  for (std::size_t i = 0; i < count; ++i) wire::write(queue_[i], list[static_cast<unsigned>(i)]);
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
  sending_ = true;
  kj::Promise<void> taken = request.send().ignoreResult();
  // What follows a call begins with a task of its own: a promise must not be replaced from within itself.
  auto next = [this] {
    sending_ = false;
    if (!queue_.empty() && !cut_off_) send();
  };
  call_ = wire::with_deadline(loop_, kj::mv(taken), limits_.call_timeout_ms, "answers to a router")
              .then(
                  [this, next] {
                    loop_.post([alive = std::weak_ptr<bool>(alive_), next] {
                      if (!alive.expired()) next();
                    });
                  },
                  [this](kj::Exception&& exception) { cut_off(exception.getDescription().cStr()); })
              .eagerlyEvaluate(nullptr);
}

// The answers dropped here are asked for again by the clients' retries, on a channel that works.
void LockChannel::cut_off(const char* why) {
  if (cut_off_) return;
  cut_off_ = true;
  queue_.clear();
  LOG(WARNING) << "a router's channel is closed: " << why;
}

}  // namespace dlm::server
