// Following a change of the ring: asking again and again, and showing how far it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "client/cli/cli.h"
#include "client/cli/ring_progress.h"
#include "client/cli/stop_signals.h"

namespace dlm::cli {

// Waits for what `start(done)` begins. Nothing: a signal came first; it goes on without this program.
template <class T, class Start>
std::optional<Result<T>> ask(const StopSignals& signals, const Start& start) {
  constexpr std::chrono::milliseconds kSlice(50);
  auto promise = std::make_shared<std::promise<Result<T>>>();
  std::future<Result<T>> answer = promise->get_future();
  start([promise](Result<T> result) { promise->set_value(std::move(result)); });
  while (answer.wait_for(kSlice) != std::future_status::ready) {
    if (signals.received() != 0) return std::nullopt;
  }
  return answer.get();
}
std::optional<Result<RingReport>> ask_ring(Client& client, const StopSignals& signals);

// False: a signal came before the time was over.
bool pass_time(const StopSignals& signals, std::chrono::milliseconds time);

// On a terminal one line that is rewritten; elsewhere a line now and then, when something has changed; with
// --json
// {"progress":{...}} a line, likewise.
class ProgressPrinter {
 public:
  explicit ProgressPrinter(const Globals& globals);
  // Leaves the line that was rewritten.
  ~ProgressPrinter();
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;

  void show(const RingProgress& progress, std::uint64_t now_ms);

 private:
  const bool json_;
  const bool rewrites_;
  bool line_open_ = false;
  std::string shown_;
  std::uint64_t shown_ms_ = 0;
};

struct Followed {
  enum class End : std::uint8_t {
    settled,      // the ring is as it is to be
    undone,       // it is not, nor is it on its way to be, as `change` wanted it
    interrupted,  // by a signal
    failed,       // no router tells any more: `error`
  };
  End end = End::settled;
  RingReport ring;  // the last one
  std::optional<Error> error;
};

// From `ring` on, until nothing moves. `change` (null: whatever goes on) is what the caller made.
Followed follow(const Globals& globals, Client& client, const StopSignals& signals, RingReport ring,
                const RingChange* change);

}  // namespace dlm::cli
