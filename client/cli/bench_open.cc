#include "client/cli/bench_open.h"

#include <algorithm>
#include <random>
#include <thread>
#include <utility>

#include "client/cli/bench_tally.h"

namespace dlm::cli {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using Clock = BenchClock;

// What arrives within this leaves together: a wake-up for each would be the load that is measured.
constexpr std::chrono::microseconds kTick(200);
constexpr std::uint64_t kNames = 1'000'000;

// One client's part. Its callbacks run on the client's I/O thread.
class OpenClient {
 public:
  OpenClient(Client& client, std::atomic<std::uint64_t>& in_flight)
      : client_(client), in_flight_(in_flight) {}

  void start(std::string name, const AcquireOptions& options, Clock::time_point arrival, bool counts) {
    in_flight_.fetch_add(1);
    client_.start_acquire(std::move(name), options, [this, arrival, counts](Result<Lock> lock) {
      if (!lock) return end(lock.error(), counts);
      if (counts) tally_.acquire_ns.record(ns_since(arrival));
      const Clock::time_point began = Clock::now();
      lock->start_release([this, began, counts](Result<ReleaseInfo> released) {
        if (!released) return end(released.error(), counts);
        if (counts) tally_.release_ns.record(ns_since(began));
        if (counts) ++tally_.pairs;
        in_flight_.fetch_sub(1);
      });
    });
  }
  const Tally& tally() const { return tally_; }

 private:
  void end(const Error& error, bool counts) {
    if (counts) tally_.failed(error);
    in_flight_.fetch_sub(1);  // the last touch
  }

  Client& client_;
  std::atomic<std::uint64_t>& in_flight_;
  Tally tally_;
};

// When requests arrive: a Poisson process.
class Arrivals {
 public:
  Arrivals(double per_second, Clock::time_point begin)
      : next_(begin), random_(std::random_device()()), gap_s_(per_second) {}
  Clock::time_point next() const { return next_; }
  void advance() { next_ += std::chrono::duration_cast<Clock::duration>(duration<double>(gap_s_(random_))); }

 private:
  Clock::time_point next_;
  std::mt19937_64 random_;
  std::exponential_distribution<double> gap_s_;
};

}  // namespace

OpenResult run_open(Clients& clients, const OpenLoad& load, const std::atomic<bool>& stopped) {
  std::atomic<std::uint64_t> in_flight = 0;
  std::vector<std::unique_ptr<OpenClient>> parts;
  for (auto& client : clients) parts.push_back(std::make_unique<OpenClient>(*client, in_flight));

  const std::string prefix = "bench/" + run_name() + "/";
  const std::uint64_t names = load.resources > 0 ? load.resources : kNames;
  const Clock::time_point begin = Clock::now();
  const Clock::time_point measured_from = begin + milliseconds(load.warm_up_ms);
  const Clock::time_point end = measured_from + milliseconds(load.measured_ms);
  Arrivals arrivals(load.per_second, begin);
  AcquireOptions options;
  if (load.wait_ms != kWaitForeverMs) options.wait = milliseconds(load.wait_ms);

  OpenResult result;
  std::uint64_t number = 0;
  for (; !stopped && arrivals.next() < end; arrivals.advance()) {
    const Clock::time_point arrival = arrivals.next();
    if (arrival > Clock::now()) std::this_thread::sleep_until(std::min(end, arrival + kTick));
    const bool counts = arrival >= measured_from;
    if (counts) ++result.offered;
    if (in_flight.load() >= load.in_flight_max) {
      if (counts) ++result.not_started;
      continue;
    }
    if (load.resources > 0)
      options.owner_tag = std::to_string(number % kNames);  // so that they exclude each other
    parts[number % parts.size()]->start(padded(prefix + std::to_string(number % names), load.name_bytes),
                                        options, arrival, counts);
    ++number;
  }
  result.seconds = std::max(0.0, duration<double>(std::min(Clock::now(), end) - measured_from).count());
  while (in_flight.load() != 0) std::this_thread::sleep_for(milliseconds(1));
  for (const auto& part : parts) {
    const Tally& tally = part->tally();
    result.done += tally.pairs;
    result.acquire_ns.merge(tally.acquire_ns);
    result.release_ns.merge(tally.release_ns);
    for (const auto& [status, count] : tally.errors) result.errors[status] += count;
    if (result.first_error.empty()) result.first_error = tally.first_error;
  }
  return result;
}

}  // namespace dlm::cli
