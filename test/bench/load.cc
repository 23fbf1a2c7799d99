#include "test/bench/load.h"

#include <algorithm>
#include <chrono>

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

Load::Load(const std::vector<std::string>& routers, int clients) {
  for (int i = 0; i < clients; ++i) {
    std::vector<std::string> preferred = routers;
    std::rotate(preferred.begin(), preferred.begin() + i % static_cast<int>(routers.size()), preferred.end());
    Worker& worker = *workers_.emplace_back(std::make_unique<Worker>());
    worker.thread = std::jthread(
        [this, &worker, preferred, i](const std::stop_token& stop) { run(worker, preferred, i, stop); });
  }
}

Load::~Load() {
  for (const auto& worker : workers_) worker->thread.request_stop();
}

void Load::run(Worker& worker, std::vector<std::string> routers, int number, const std::stop_token& stop) {
  ClientOptions options;
  options.routers = std::move(routers);
  options.request_timeout = std::chrono::milliseconds(30'000);
  Client client(options);
  const std::string name = "load/" + std::to_string(number);
  FencingToken last;
  while (!stop.stop_requested()) {
    Result<Lock> lock = client.acquire(name);
    if (!lock) {
      const std::lock_guard guard(worker.mutex);
      worker.error = lock.error().message;
      continue;
    }
    const FencingToken token = lock->token();
    const auto released = lock->release();
    const std::lock_guard guard(worker.mutex);
    if (token <= last) worker.error = name + ": a token is not above the one before";
    last = token;
    if (released) {
      worker.successes_us.push_back(now_us());
    } else {
      worker.error = released.error().message;
    }
  }
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
