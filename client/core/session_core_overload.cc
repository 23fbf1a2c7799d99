// SessionCore: what was refused because too much is asked of the service. It is asked again by itself, later
// and not all at once, for as long as its caller is willing to wait; a try is not, and hears of it at once.
#include <algorithm>

#include "client/core/session_core.h"

namespace dlm::client {
namespace {

constexpr std::uint64_t kFirstMs = 25;  // doubles with each refusal, where the service names no later time
constexpr std::uint64_t kFirstMsMax = 2'000;
constexpr std::uint64_t kDoublingsMax = 8;
constexpr std::uint64_t kLeftMsMin = 20;  // of its caller's time, to ask again

}  // namespace

// When to ask again: from three quarters to five quarters of the time that the service names.
std::uint64_t SessionCore::pause_ms(std::uint32_t refusals, std::uint32_t retry_after_ms) {
  random_ ^= random_ << 13;  // xorshift64 (Marsaglia, 2003)
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  const std::uint64_t own_ms =
      std::min(kFirstMsMax, kFirstMs << std::min<std::uint64_t>(refusals, kDoublingsMax));
  const std::uint64_t pause = retry_after_ms != 0 ? retry_after_ms : own_ms;
  return pause - pause / 4 + random_ % (pause / 2 + 1);
}

// False: the caller is to be told of it now.
bool SessionCore::ask_again_later(Pending& op, const Answer& answer, std::uint64_t now_ms) {
  const bool may_wait = op.kind != OperationKind::acquire || op.wait_ms != 0 || op.doubted;
  if (answer.status != Status::overloaded || !op.caller || op.doubtful || !may_wait) return false;
  op.overload = answer;
  const std::uint64_t end_ms = overload_end_ms(op);
  if (end_ms <= now_ms + kLeftMsMin) return false;
  const std::uint64_t left_ms = end_ms - now_ms;
  std::uint64_t pause = pause_ms(op.refusals++, answer.retry_after_ms);
  if (pause >= left_ms)
    pause = left_ms / 2 + random_ % (left_ms / 2 + 1);  // once more, before it is too late
  op.retry_at_ms = now_ms + pause;
  if (op.kind != OperationKind::renew) is_through(op);
  arm(op);
  return true;
}

// A sequence that is asked again and again would keep the group from forgetting the answers to all that come
// after it, until it has no room for more. What was refused for certain is therefore another operation when
// it is sent next.
void SessionCore::is_through(Pending& op) {
  if (op.doubted || op.doubtful) return;
  op.renumber = true;
  window_.answered(op.sequence);
}

void SessionCore::renumber(Pending& op) {
  auto at = operations_.find(op.sequence.value);
  std::unique_ptr<Pending> owned = std::move(at->second);
  operations_.erase(at);
  op.sequence = window_.take();
  Operation view = op.owned.view();
  view.sequence = op.sequence;
  op.owned = OwnedOperation(view);
  op.renumber = false;
  op.first_sent_ms = 0;
  op.armed_ms = 0;
  operations_.emplace(op.sequence.value, std::move(owned));
  if (op.caller) renumbered_[op.name.value] = op.sequence;
  auto subject = operations_.find(op.subject.value);
  if (op.subject && subject != operations_.end()) subject->second->helper = op.sequence;
  arm(op);
}

// Until when an operation that is refused is asked again.
std::uint64_t SessionCore::overload_end_ms(const Pending& op) const {
  if (op.kind != OperationKind::acquire || op.wait_ms == 0) return op.submitted_ms + op.timeout_ms;
  return op.wait_until_ms;
}

// It is to be sent once more: what is left of its caller's wait counts from now, and a new request begins.
void SessionCore::begin_again(Pending& op, std::uint64_t now_ms) {
  if (op.kind != OperationKind::acquire || op.wait_ms == 0 || !op.overload) return;
  op.submitted_ms = now_ms;
  if (op.wait_until_ms == kNever) return;
  const std::uint64_t left_ms = op.wait_until_ms > now_ms ? op.wait_until_ms - now_ms : 1;
  op.wait_ms = static_cast<std::uint32_t>(left_ms);
}

// The time of its caller is over, and a refusal is all that was heard.
void SessionCore::give_up_refused(Pending& op, std::uint64_t now_ms, Output& out) {
  const Answer refusal = *op.overload;
  const bool doubted = op.doubted;
  op.retry_at_ms = 0;
  complete(op, refusal, doubted, out);
  if (op.kind == OperationKind::release) {  // goes on in the background
    op.retry_at_ms = now_ms + pause_ms(op.refusals++, refusal.retry_after_ms);
    return arm(op);
  }
  if (op.kind == OperationKind::renew && op.hold && !doubted) restore_leases(op.hold, op.sequence, out);
  if (op.kind == OperationKind::acquire && doubted) return withdraw(op, now_ms, out);
  finish(op.sequence);
}

}  // namespace dlm::client
