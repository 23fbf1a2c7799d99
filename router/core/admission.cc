// Whether a router takes an operation: it bounds what it keeps, and how long what it took has to wait. Work
// that would not be done in time is better refused at once, with a time to come back, than kept until nobody
// wants it.
//
// What gives back, renews or withdraws something is admitted where no acquire is any more, and sent before
// acquires (sending.cc): an overload must neither keep locks taken nor cost leases.
#include <string>
#include <utility>

#include "router/core/router_state.h"

namespace dlm::router {
namespace {

// A connection with so many operations is let in only while half of the time is used up: few that ask for
// much must not keep out many that ask for little.
constexpr std::size_t kManyOperations = 256;

}  // namespace

bool is_urgent(OperationKind kind) {
  return kind != OperationKind::acquire;
}

std::size_t Group::in_flight() const {
  std::size_t operations = 0;
  for (const Call& call : calls) operations += call.operations.size();
  return operations;
}

// Never of those that fit into one submit: they are no queue.
bool RouterCore::State::waits_too_long(const Group& group, const Connection& connection,
                                       const Operation& op) const {
  const std::size_t waiting = group.waits();
  if (waiting < options_.submit_operations_max) return false;
  const std::uint64_t wait_ms = group.rate.time_of_ms(waiting + group.in_flight());
  std::uint64_t limit_ms = options_.queue_ms_max;
  if (connection.pending >= kManyOperations) limit_ms /= 2;
  return wait_ms > limit_ms || (op.deadline_ms != 0 && wait_ms > op.deadline_ms);
}

bool RouterCore::State::admit(Connection& connection, const Operation& op, std::uint64_t hash, TimeMs now) {
  const bool urgent = is_urgent(op.kind);
  const auto beyond = [&](std::size_t count, std::size_t max) {
    return count >= (urgent ? max + max / 8 : max);
  };
  Group* group = whom_to_ask(hash, kNone);
  std::string why;
  if (beyond(connection.pending, options_.pending_per_connection_max)) {
    why = "this connection has its limit of " + std::to_string(options_.pending_per_connection_max) +
          " unanswered operations";
  } else if (beyond(pending_.size(), options_.pending_max)) {
    why = "this router has its limit of " + std::to_string(options_.pending_max) +
          " unanswered operations: try another router";
  } else if (beyond(pending_.bytes(), options_.pending_bytes_max)) {
    why = "this router has its limit of " + std::to_string(options_.pending_bytes_max >> 20) +
          " MiB of unanswered operations: try another router";
  } else if (!urgent && group != nullptr && waits_too_long(*group, connection, op)) {
    why = to_string(group->id) + " is asked for more than it can do";
  }
  if (why.empty()) return true;
  if (pending_.find(connection.base, op.sequence) != kNone) return false;  // its answer is on its way
  Answer answer;
  answer.session = SessionId(connection.base);
  answer.sequence = op.sequence;
  answer.status = Status::overloaded;
  answer.message = std::move(why);
  answer.retry_after_ms =
      group != nullptr ? group->rate.turn_away(group->waits(), now) : ServiceRate::kRetryMsMin;
  if (group != nullptr) answer.group = group->id;
  ++refused_;
  say(connection, std::move(answer));
  return false;
}

}  // namespace dlm::router
