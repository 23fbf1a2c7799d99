#include "test/bench/load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "dlm/client.h"

namespace dlm::bench {
namespace {

double longest_ms(std::vector<std::uint64_t>& times, std::uint64_t from_us, std::uint64_t to_us) {
  std::sort(times.begin(), times.end());
  auto at = std::lower_bound(times.begin(), times.end(), from_us);
  std::uint64_t last = at == times.begin() ? from_us : *std::prev(at);
  std::uint64_t longest = 0;
  for (; at != times.end() && last < to_us; ++at) {
    longest = std::max(longest, *at - last);
    last = *at;
  }
  if (last < to_us) longest = std::max(longest, to_us - last);
  return static_cast<double>(longest) / 1'000;
}

}  // namespace

std::uint64_t now_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

// One client's loop; its steps run on the shared I/O thread, the first on whoever starts it.
struct Load::Worker {
  Worker(ClientOptions options, int number)
      : name("load/" + std::to_string(number)), client(std::move(options)) {}

  void take() {
    if (stopped) return ended();
    client.start_acquire(name, {}, [this](Result<Lock> lock) { taken(std::move(lock)); });
  }

  void taken(Result<Lock> lock) {
    if (!lock) {
      failed(lock.error().message);
      return take();
    }
    const FencingToken token = lock->token();
    if (token <= last) failed(name + ": a token is not above the one before");
    last = token;
    held = std::move(*lock);
    held->start_release([this](const Result<ReleaseInfo>& released) { given_back(released); });
  }

  void given_back(const Result<ReleaseInfo>& released) {
    if (released) {
      const std::lock_guard guard(mutex);
      successes_us.push_back(now_us());
    } else {
      failed(released.error().message);
    }
    take();
  }

  void failed(const std::string& message) {
    const std::lock_guard guard(mutex);
    error = message;
  }

  void ended() {
    done = true;
    done.notify_all();
  }

  const std::string name;
  std::mutex mutex;
  std::vector<std::uint64_t> successes_us;  // of releases: a lock was held and given back
  std::string error;
  FencingToken last;
  std::optional<Lock> held;
  std::atomic<bool> stopped = false;
  std::atomic<bool> done = false;
  Client client;  // ends first
};

Load::Load(const std::vector<std::string>& routers, int clients) {
  const IoThread thread;
  for (int i = 0; i < clients; ++i) {
    ClientOptions options;
    options.routers = routers;
    std::rotate(options.routers.begin(), options.routers.begin() + i % static_cast<int>(routers.size()),
                options.routers.end());
    options.request_timeout = std::chrono::milliseconds(30'000);
    options.io_thread = thread;
    workers_.push_back(std::make_unique<Worker>(std::move(options), i));
  }
  for (const auto& worker : workers_) worker->take();
}

Load::~Load() {
  for (const auto& worker : workers_) worker->stopped = true;
  for (const auto& worker : workers_) worker->done.wait(false);
}

Gap Load::longest_gap(std::uint64_t from_us, std::uint64_t to_us) const {
  Gap gap;
  std::vector<std::uint64_t> all;
  for (const auto& worker : workers_) {
    std::vector<std::uint64_t> own;
    {
      const std::lock_guard guard(worker->mutex);
      own = worker->successes_us;
    }
    gap.one_client_ms = std::max(gap.one_client_ms, longest_ms(own, from_us, to_us));
    all.insert(all.end(), own.begin(), own.end());
  }
  gap.any_ms = longest_ms(all, from_us, to_us);
  gap.successes = static_cast<std::uint64_t>(
      std::count_if(all.begin(), all.end(), [&](std::uint64_t at) { return at >= from_us && at < to_us; }));
  return gap;
}

std::string Load::errors() const {
  std::string text;
  for (const auto& worker : workers_) {
    const std::lock_guard guard(worker->mutex);
    if (!worker->error.empty()) text += worker->error + "\n";
  }
  return text;
}

}  // namespace dlm::bench
