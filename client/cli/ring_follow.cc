#include "client/cli/ring_follow.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "client/cli/json_output.h"
#include "client/cli/ring_text.h"

namespace dlm::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAskEach(300);
constexpr std::uint64_t kLineEachMs = 3'000;
constexpr std::uint64_t kJsonEachMs = 1'000;

std::uint64_t steady_ms() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(now).count());
}

// Without the last column, in which some terminals begin the next line.
std::size_t terminal_columns() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return 79;
  return size.ws_col - 1U;
}

}  // namespace

std::optional<Result<RingReport>> ask_ring(Client& client, const StopSignals& signals) {
  return ask<RingReport>(signals, [&](auto done) { client.start_ring(std::move(done)); });
}

bool pass_time(const StopSignals& signals, milliseconds time) {
  constexpr milliseconds kSlice(50);
  for (milliseconds passed(0); passed < time; passed += kSlice) {
    if (signals.received() != 0) return false;
    std::this_thread::sleep_for(kSlice);
  }
  return signals.received() == 0;
}

ProgressPrinter::ProgressPrinter(const Globals& globals)
    : json_(globals.json), rewrites_(!globals.json && isatty(STDOUT_FILENO) == 1) {}

ProgressPrinter::~ProgressPrinter() {
  if (line_open_) print("\n");
  std::fflush(stdout);
}

void ProgressPrinter::show(const RingProgress& progress, std::uint64_t now_ms) {
  if (rewrites_) {
    print("\r" + progress_text(progress, terminal_columns()) + "\x1b[K");
    std::fflush(stdout);
    line_open_ = true;
    return;
  }
  // What has changed is told by all but the rates, which always do.
  RingProgress still = progress;
  still.locks_per_s.reset();
  still.left_ms.reset();
  std::string text = progress_text(still);
  bool first = shown_.empty();
  if (text == shown_ || (!first && now_ms < shown_ms_ + (json_ ? kJsonEachMs : kLineEachMs))) return;
  shown_ = std::move(text);
  shown_ms_ = now_ms;
  if (json_) {
    print(JsonObject{{"progress", to_json(progress)}});
  } else {
    print(progress_text(progress) + "\n");
  }
  std::fflush(stdout);
}

Followed follow(const Globals& globals, Client& client, const StopSignals& signals, RingReport ring,
                const RingChange* change) {
  ProgressTracker tracker;
  ProgressPrinter printer(globals);
  for (;;) {
    std::uint64_t now_ms = steady_ms();
    RingProgress progress = tracker.take(ring, now_ms);
    if (change != nullptr && !reflects(ring, *change))
      return {Followed::End::undone, std::move(ring), std::nullopt};
    if (!ring.changing) return {Followed::End::settled, std::move(ring), std::nullopt};
    printer.show(progress, now_ms);
    for (;;) {
      if (!pass_time(signals, kAskEach)) return {Followed::End::interrupted, std::move(ring), std::nullopt};
      auto told = ask_ring(client, signals);
      if (!told) return {Followed::End::interrupted, std::move(ring), std::nullopt};
      if (!*told) return {Followed::End::failed, std::move(ring), told->error()};
      // Another router may not have heard of the change yet.
      if ((*told)->version < ring.version) continue;
      ring = std::move(**told);
      break;
    }
  }
}

}  // namespace dlm::cli
