#include "client/cli/bench.h"

#include <cstdio>
#include <thread>
#include <utility>

#include "client/cli/bench_tally.h"

namespace dlm::cli {
namespace {

using Clock = BenchClock;
using std::chrono::milliseconds;

enum class Phase : int { warm_up, measure, stop };

struct Control {
  std::atomic<Phase> phase = Phase::warm_up;
  std::atomic<std::uint64_t> running = 0;
};

// One closed loop. Its steps run on its client's I/O thread, one after the other; the first, and those after
// an error, are started by the main thread.
class Loop {
 public:
  Loop(Client& client, Tally& tally, Control& control, std::vector<std::string> names, AcquireOptions options,
       std::uint32_t shared_percent, std::uint64_t seed)
      : client_(client),
        tally_(tally),
        control_(control),
        names_(std::move(names)),
        options_(std::move(options)),
        shared_percent_(shared_percent),
        random_(seed | 1) {}

  void begin() {
    idle_.store(false, std::memory_order_relaxed);
    control_.running.fetch_add(1);
    acquire();
  }
  // After an error: so that an unreachable service is not asked in a tight circle.
  bool idle() const { return idle_.load(std::memory_order_acquire); }

 private:
  void acquire() {
    if (control_.phase.load(std::memory_order_relaxed) == Phase::stop) return end();
    next_ = (next_ + 1) % names_.size();
    options_.mode = draws_shared() ? LockMode::shared : LockMode::exclusive;
    began_ = Clock::now();
    client_.start_acquire(names_[next_], options_, [this](Result<Lock> lock) { acquired(std::move(lock)); });
  }

  void acquired(Result<Lock> lock) {
    if (!lock) return failed(lock.error());
    if (measuring()) tally_.acquire_ns.record(ns_since(began_));
    began_ = Clock::now();
    lock->start_release([this](Result<ReleaseInfo> released) { this->released(std::move(released)); });
  }

  void released(Result<ReleaseInfo> result) {
    if (!result) return failed(result.error());
    if (measuring()) {
      tally_.release_ns.record(ns_since(began_));
      ++tally_.pairs;
    }
    acquire();
  }

  void failed(const Error& error) {
    if (measuring()) tally_.failed(error);
    end();
  }

  void end() {
    idle_.store(true, std::memory_order_release);
    control_.running.fetch_sub(1);  // the last touch of anything: the main thread may destroy this
  }

  bool measuring() const { return control_.phase.load(std::memory_order_relaxed) == Phase::measure; }

  bool draws_shared() {
    random_ ^= random_ << 13;  // xorshift64 (Marsaglia, 2003)
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_ % 100 < shared_percent_;
  }

  Client& client_;
  Tally& tally_;
  Control& control_;
  std::vector<std::string> names_;
  AcquireOptions options_;
  std::uint32_t shared_percent_;
  std::uint64_t random_;
  std::size_t next_ = 0;
  Clock::time_point began_;
  std::atomic<bool> idle_ = true;
};

std::vector<std::string> names_for(const BenchLoad& load, const std::string& run, std::size_t connection,
                                   std::size_t slot, std::size_t loop) {
  std::string prefix = "bench/" + run + "/";
  if (load.resources > 0) return {padded(prefix + std::to_string(loop % load.resources), load.name_bytes)};
  constexpr std::size_t kNamesPerLoop = 8;  // so that few loops spread over all groups, too
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kNamesPerLoop; ++i) {
    names.push_back(
        padded(prefix + std::to_string(connection) + "/" + std::to_string(slot) + "/" + std::to_string(i),
               load.name_bytes));
  }
  return names;
}

void pass(std::uint32_t ms, const std::atomic<bool>& stopped, std::vector<std::unique_ptr<Loop>>& loops) {
  auto until = Clock::now() + milliseconds(ms);
  while (!stopped && Clock::now() < until) {
    std::this_thread::sleep_until(std::min(until, Clock::now() + milliseconds(50)));
    for (auto& loop : loops) {
      if (loop->idle()) loop->begin();
    }
  }
}

}  // namespace

std::string padded(std::string name, std::size_t bytes) {
  if (name.size() < bytes) name.resize(bytes, '.');
  return name;
}

BenchResult run_pairs(Clients& clients, const BenchLoad& load, const std::atomic<bool>& stopped) {
  Control control;
  std::vector<std::unique_ptr<Tally>> tallies;
  std::vector<std::unique_ptr<Loop>> loops;
  std::string run = run_name();
  for (std::size_t connection = 0; connection < clients.size(); ++connection) {
    tallies.push_back(std::make_unique<Tally>());
    for (std::size_t slot = 0; slot < load.in_flight; ++slot) {
      std::size_t number = loops.size();
      AcquireOptions options;
      if (load.wait_ms != kWaitForeverMs) options.wait = milliseconds(load.wait_ms);
      // Loops of one client must exclude each other: each is an owner of its own.
      options.owner_tag = std::to_string(slot);
      loops.push_back(std::make_unique<Loop>(
          *clients[connection], *tallies.back(), control, names_for(load, run, connection, slot, number),
          std::move(options), load.shared_percent, (number + 1) * 0x9e3779b97f4a7c15U));
    }
  }
  for (auto& loop : loops) loop->begin();
  pass(load.warm_up_ms, stopped, loops);
  control.phase = Phase::measure;
  auto measured_from = Clock::now();
  pass(load.measured_ms, stopped, loops);
  control.phase = Phase::stop;

  BenchResult result;
  result.seconds = seconds_since(measured_from);
  while (control.running.load() != 0) std::this_thread::sleep_for(milliseconds(1));
  for (const auto& tally : tallies) {
    result.pairs += tally->pairs;
    result.acquire_ns.merge(tally->acquire_ns);
    result.release_ns.merge(tally->release_ns);
    for (const auto& [status, count] : tally->errors) result.errors[status] += count;
    if (result.first_error.empty()) result.first_error = tally->first_error;
  }
  return result;
}

// One client's share of the holds. Between runs it is the main thread's, during a run its I/O thread's.
struct ManyHolds::Worker {
  Client& client;
  std::string prefix;  // 10 bytes; a number of 10 digits follows
  std::uint64_t count;
  std::uint32_t lease_ms;
  std::vector<Lock> locks;
  std::vector<DetachedHold> holds;
  bool acquiring = true;
  std::uint64_t next = 0;
  std::uint64_t done = 0;
  std::uint32_t name_bytes;
  std::uint32_t loops_to_start = 0;
  Tally tally;
  const std::atomic<bool>* stopped = nullptr;
  std::atomic<std::uint64_t>* running = nullptr;

  Worker(Client& client_, std::string prefix_, std::uint64_t count_, std::uint32_t lease_ms_,
         std::uint32_t name_bytes_)
      : client(client_),
        prefix(std::move(prefix_)),
        count(count_),
        lease_ms(lease_ms_),
        name_bytes(name_bytes_) {
    if (lease_ms == 0) locks.reserve(count);
    if (lease_ms != 0) holds.reserve(count);
  }

  std::uint64_t left() const { return acquiring ? count - next : locks.size() + holds.size(); }

  // The first operation goes out from the main thread; its answer starts the other loops, so that from then
  // on all is done on the I/O thread.
  void start(std::uint32_t loops) {
    loops_to_start = loops - 1;
    step();
  }

  void step() {
    bool end = left() == 0 || (stopped != nullptr && stopped->load(std::memory_order_relaxed));
    if (end) {
      running->fetch_sub(1);
      return;
    }
    acquiring ? acquire_one() : release_one();
  }

  template <class T>
  void answered(Result<T>& result) {
    running->fetch_add(loops_to_start);
    for (auto i = std::exchange(loops_to_start, 0); i > 0; --i) step();
    if (result) {
      ++done;
      return step();
    }
    tally.failed(result.error());
    running->fetch_sub(1);  // this loop gives up; the others go on or meet the same
  }

  void acquire_one() {
    char digits[24];
    std::snprintf(digits, sizeof digits, "%010llu", static_cast<unsigned long long>(next++));
    const std::string name = padded(prefix + digits, name_bytes);
    AcquireOptions options;
    options.wait = milliseconds(0);
    if (lease_ms == 0) {
      return client.start_acquire(name, std::move(options), [this](Result<Lock> lock) {
        if (lock) locks.push_back(std::move(*lock));
        answered(lock);
      });
    }
    options.lease = milliseconds(lease_ms);
    client.start_acquire_detached(name, std::move(options), [this](Result<DetachedHold> hold) {
      if (hold) holds.push_back(std::move(*hold));
      answered(hold);
    });
  }

  void release_one() {
    auto done_with = [this](Result<ReleaseInfo> released) { answered(released); };
    if (!locks.empty()) {
      Lock lock = std::move(locks.back());
      locks.pop_back();
      return lock.start_release(done_with);
    }
    DetachedHold hold = std::move(holds.back());
    holds.pop_back();
    client.start_release_detached(hold, done_with);
  }
};

ManyHolds::ManyHolds(Clients& clients, const HoldLoad& load) : in_flight_(load.in_flight) {
  std::string run = run_name();
  for (std::size_t i = 0; i < clients.size(); ++i) {
    std::uint64_t share = load.count / clients.size() + (i < load.count % clients.size() ? 1 : 0);
    char prefix[16];
    std::snprintf(prefix, sizeof prefix, "%.3s-%05zu/", run.c_str(), i % 100'000);
    workers_.push_back(std::make_unique<Worker>(*clients[i], prefix, share, load.lease_ms, load.name_bytes));
  }
}

ManyHolds::~ManyHolds() = default;

HoldResult ManyHolds::acquire(const std::atomic<bool>& stopped) {
  return run(true, &stopped);
}
HoldResult ManyHolds::release() {
  return run(false, nullptr);
}

HoldResult ManyHolds::run(bool acquiring, const std::atomic<bool>* stopped) {
  std::atomic<std::uint64_t> running = workers_.size();
  auto began = Clock::now();
  for (auto& worker : workers_) {
    worker->acquiring = acquiring;
    worker->done = 0;
    worker->tally = Tally();
    worker->stopped = stopped;
    worker->running = &running;
    worker->start(in_flight_);
  }
  while (running.load() != 0) std::this_thread::sleep_for(milliseconds(1));
  HoldResult result;
  result.seconds = seconds_since(began);
  for (auto& worker : workers_) {
    result.done += worker->done;
    for (const auto& [status, count] : worker->tally.errors) result.errors[status] += count;
    if (result.first_error.empty()) result.first_error = worker->tally.first_error;
  }
  return result;
}

}  // namespace dlm::cli
