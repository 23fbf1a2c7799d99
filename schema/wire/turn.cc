#include "schema/wire/turn.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "schema/wire/busy_polling.h"

namespace dlm::wire {
namespace {

// Handlers in a turn: so many connections can be read before the first answer leaves.
constexpr std::size_t kHandlersMax = 64;
// Phases in the end of a turn. What adds to itself for ever must leave room for the sockets.
constexpr std::size_t kPhasesMax = 64;

}  // namespace

boost::asio::execution_context::id Turn::id;

Turn& Turn::of(boost::asio::execution_context& context) {
  return boost::asio::use_service<Turn>(context);
}

// Only io_contexts have turns: of() is called with the context of a socket's executor.
Turn::Turn(boost::asio::execution_context& context)
    : service(context), io_(static_cast<boost::asio::io_context&>(context)) {}

void Turn::shutdown() {
  for (auto& phase : phases_) phase.clear();
  pending_ = 0;
  work_.reset();
}

void Turn::run(boost::asio::io_context& io, std::chrono::nanoseconds busy_poll) {
  BusyPolling polling(busy_poll);
  Turn& turn = of(io);
  turn.driven_ = true;
  while (!io.stopped()) {
    const std::size_t first = turn.empty() ? run_one(io, polling) : io.poll_one();
    if (first == 0 && turn.empty()) break;
    for (std::size_t n = 1; n < kHandlersMax && io.poll_one() > 0; ++n) continue;
    turn.end();
  }
  turn.driven_ = false;
  if (!turn.empty()) turn.post_end();
}

void Turn::at_end(Phase phase, void* self, std::shared_ptr<void> owner, Task task) {
  phases_[static_cast<std::size_t>(phase)].push_back({self, std::move(owner), task});
  if (pending_++ == 0 && !work_) work_.emplace(io_.get_executor());
  if (!driven_) post_end();
}

void Turn::post_end() {
  if (std::exchange(end_posted_, true)) return;
  boost::asio::post(io_, [this] {
    end_posted_ = false;
    end();
    if (!empty() && !driven_) post_end();
  });
}

void Turn::end() {
  for (std::size_t n = 0; n < kPhasesMax && run_phase(); ++n) continue;
  if (empty()) work_.reset();
}

// The earliest phase that has something to do.
bool Turn::run_phase() {
  for (auto& phase : phases_) {
    if (phase.empty()) continue;
    std::vector<Entry> entries = std::move(spare_);
    entries.swap(phase);
    pending_ -= entries.size();
    for (Entry& entry : entries) entry.task(entry.self, std::move(entry.owner));
    entries.clear();
    spare_ = std::move(entries);
    return true;
  }
  return false;
}

}  // namespace dlm::wire
