// Changes of the ring under load: how long each takes, how long a name is without success, what is left of
// the throughput; and that every lock, waiter and token is what it was. scripts/rebalance-figures runs it,
// over a cluster of scripts/cluster with a spare group.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dlm/client.h"
#include "test/bench/load.h"
#include "test/bench/processes.h"

namespace dlm::bench {
namespace {

struct Options {
  std::vector<std::string> routers;
  std::string cluster;
  std::string state;
  std::string json;
  int clients = 64;
  std::uint64_t locks = 100'000;
  int lines = 100;
  int line_length = 10;
  bool kill = false;
};

void pause_ms(std::uint64_t ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

[[noreturn]] void wrong(const std::string& what) {
  throw std::runtime_error(what);
}

ClientOptions patient(const Options& options) {
  ClientOptions client;
  client.routers = options.routers;
  client.request_timeout = std::chrono::milliseconds(60'000);
  return client;
}

// Locks that are held throughout, by nobody's session.
class Held {
 public:
  Held(const Options& options, Client& client) : client_(client), tokens_(options.locks) {
    constexpr std::uint64_t kUnderWayMax = 4'096;
    std::atomic<std::uint64_t> done = 0, failed = 0;
    AcquireOptions acquire;
    acquire.lease = std::chrono::milliseconds(3'600'000);
    for (std::uint64_t i = 0; i < tokens_.size(); ++i) {
      client.start_acquire_detached(name(i), acquire, [&, i](const Result<DetachedHold>& hold) {
        if (hold) tokens_[i] = hold->token;
        if (!hold) ++failed;
        ++done;
      });
      while (i + 1 - done > kUnderWayMax) std::this_thread::yield();
    }
    while (done < tokens_.size()) pause_ms(1);
    if (failed != 0) wrong(std::to_string(failed) + " locks could not be taken");
  }

  void check() {
    std::uint64_t seen = 0;
    const Result<void> listed = client_.list("held/", [&](const LockReport& lock) {
      const auto number = std::stoull(lock.resource.substr(5));
      if (lock.holders.size() != 1 || lock.holders[0].token != tokens_.at(number))
        wrong(lock.resource + " changed");
      ++seen;
      return true;
    });
    if (!listed) wrong("listing: " + listed.error().message);
    if (seen != tokens_.size())
      wrong(std::to_string(seen) + " locks are listed, not " + std::to_string(tokens_.size()));
  }

 private:
  static std::string name(std::uint64_t number) { return "held/" + std::to_string(number); }

  Client& client_;
  std::vector<FencingToken> tokens_;
};

// Locks with a line of waiters each, who came in a known order.
class Lines {
 public:
  explicit Lines(const Options& options) : options_(options), keeper_(patient(options)) {
    for (int i = 0; i < options.lines; ++i) {
      Result<Lock> lock = keeper_.acquire(name(i));
      if (!lock) wrong("line: " + lock.error().message);
      kept_.push_back(std::move(*lock));
    }
    grants_.resize(kept_.size());
    for (int place = 0; place < options.line_length; ++place) join(place);
  }

  // Lets all of them pass, and looks at the order.
  void check() {
    for (std::size_t i = 0; i < kept_.size(); ++i)
      if (kept_[i].state() != LockState::held) wrong(name(static_cast<int>(i)) + " was lost");
    for (Lock& lock : kept_)
      if (const auto released = lock.release(); !released) wrong("line: " + released.error().message);
    for (int i = 0; i < 1'200 && granted_ < options_.lines * options_.line_length; ++i) pause_ms(50);
    const std::lock_guard guard(mutex_);
    if (!error_.empty()) wrong("a waiter saw: " + error_);
    for (std::size_t i = 0; i < grants_.size(); ++i) {
      if (grants_[i].size() != static_cast<std::size_t>(options_.line_length))
        wrong(name(static_cast<int>(i)) + ": " + std::to_string(grants_[i].size()) +
              " of its waiters were served");
      if (!std::is_sorted(grants_[i].begin(), grants_[i].end()))
        wrong(name(static_cast<int>(i)) + ": out of order");
    }
  }

 private:
  static std::string name(int number) { return "line/" + std::to_string(number); }

  void join(int place) {
    waiters_.push_back(std::make_unique<Client>(patient(options_)));
    std::atomic<int> queued = 0;
    std::vector<std::shared_ptr<std::atomic<bool>>> told;
    for (int i = 0; i < options_.lines; ++i) {
      AcquireOptions wait;
      // Perhaps told again after a move.
      auto first = told.emplace_back(std::make_shared<std::atomic<bool>>(false));
      auto* count = &queued;
      wait.on_queued = [first, count](const QueuedInfo&) {
        if (!first->exchange(true)) ++*count;
      };
      waiters_.back()->start_acquire(name(i), wait,
                                     [this, i, place](Result<Lock> lock) { passed(i, place, lock); });
    }
    for (int i = 0; i < 1'000 && queued < options_.lines; ++i) pause_ms(10);
    if (queued < options_.lines) wrong("a waiter was not queued");
  }

  void passed(int line, int place, Result<Lock>& lock) {
    const std::lock_guard guard(mutex_);
    ++granted_;
    if (!lock) {
      error_ = lock.error().message;
      return;
    }
    grants_[static_cast<std::size_t>(line)].push_back(place);
    lock->start_release([](const Result<ReleaseInfo>&) {});
  }

  const Options& options_;
  std::mutex mutex_;
  std::string error_;
  std::atomic<int> granted_ = 0;
  std::vector<std::vector<int>> grants_;
  Client keeper_;
  std::vector<Lock> kept_;
  std::vector<std::unique_ptr<Client>> waiters_;
};

struct Outcome {
  std::string name;
  double seconds = 0;
  std::uint64_t locks = 0;
  double pause_ms = 0;
  double part = 0;  // of the throughput before
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        processes_(options.cluster, options.state),
        admin_(patient(options)),
        held_(options, admin_),
        lines_(options),
        load_(options.routers, options.clients) {}

  std::vector<Outcome> run() {
    pause_ms(1'000);
    step("2 groups to 3", RingChange::Kind::add, GroupId(3), 1);
    step("g1 to weight 2", RingChange::Kind::weight, GroupId(1), 2);
    step("back to 2 groups", RingChange::Kind::remove, GroupId(3), 1);
    if (const std::string errors = load_.errors(); !errors.empty()) wrong("clients saw: " + errors);
    lines_.check();
    return outcomes_;
  }

 private:
  RingReport ring() {
    Result<RingReport> ring = admin_.ring();
    if (!ring) wrong("ring: " + ring.error().message);
    return std::move(*ring);
  }

  void step(const std::string& name, RingChange::Kind kind, GroupId group, double weight) {
    constexpr std::uint64_t kBeforeMs = 3'000;
    const std::uint64_t before_us = now_us();
    pause_ms(kBeforeMs);
    const std::uint64_t from_us = now_us();
    const Gap before = load_.longest_gap(before_us, from_us);
    RingChange change;
    change.kind = kind;
    change.group = group;
    change.weight = weight;
    const Result<RingReport> begun = admin_.change_ring(change);
    if (!begun) wrong(name + ": " + begun.error().message);
    Outcome outcome;
    outcome.name = name;
    for (const RingReport::Flow& flow : begun->flows) outcome.locks += flow.locks;
    std::vector<std::string> dead;
    if (options_.kill) dead = kill_primaries(*begun);
    // A router may not have heard of it yet.
    for (RingReport now = *begun; now.version <= begun->version || now.changing; now = ring()) pause_ms(20);
    const std::uint64_t to_us = now_us();
    const Gap during = load_.longest_gap(from_us, to_us);
    outcome.seconds = static_cast<double>(to_us - from_us) / 1e6;
    outcome.pause_ms = during.one_client_ms;
    const double rate_before =
        static_cast<double>(before.successes) / (static_cast<double>(from_us - before_us) / 1e6);
    outcome.part = static_cast<double>(during.successes) / outcome.seconds / rate_before;
    std::fprintf(
        stderr,
        "%s: %.2f s, about %llu locks, longest pause %.1f ms (before: %.1f), %.0f%% of %.0f pairs/s\n",
        name.c_str(), outcome.seconds, static_cast<unsigned long long>(outcome.locks), outcome.pause_ms,
        before.one_client_ms, outcome.part * 100, rate_before);
    outcomes_.push_back(outcome);
    for (const std::string& process : dead) processes_.start(process);
    if (!dead.empty()) await_whole();
    held_.check();
  }

  // The primaries of a group that gives and of one that gets, in the middle of it.
  std::vector<std::string> kill_primaries(const RingReport& begun) {
    if (begun.flows.empty()) wrong("nothing moves");
    std::uint32_t arcs = 0;
    for (const RingReport::Flow& flow : begun.flows) arcs += flow.arcs;
    RingReport now = begun;
    const auto left = [&] {
      std::uint32_t sum = 0;
      for (const RingReport::Group& group : now.groups) sum += group.state.move.arcs_left;
      return sum;
    };
    for (now = ring(); now.changing && (left() == 0 || left() > arcs / 2); now = ring()) pause_ms(5);
    std::vector<std::string> dead;
    for (const RingReport::Group& group : now.groups) {
      const bool concerned =
          group.state.group == begun.flows[0].from || group.state.group == begun.flows[0].to;
      if (!concerned || group.state.primary.empty()) continue;
      dead.push_back(Processes::server_of(group.state.primary));
      processes_.signal(dead.back(), SIGKILL);
    }
    return dead;
  }

  void await_whole() {
    for (int i = 0; i < 1'200; ++i, pause_ms(50)) {
      const Result<ClusterReport> status = admin_.status();
      if (!status) continue;
      const bool whole = std::all_of(
          status->groups.begin(), status->groups.end(),
          [](const GroupReport& group) { return group.problem.empty() && group.in_sync.size() >= 2; });
      if (whole) return;
    }
    wrong("a replica does not join again");
  }

  const Options& options_;
  Processes processes_;
  Client admin_;
  Held held_;
  Lines lines_;
  Load load_;
  std::vector<Outcome> outcomes_;
};

void print(const std::vector<Outcome>& outcomes) {
  std::printf("%-20s %9s %9s %17s %13s\n", "change", "seconds", "locks", "longest pause ms", "throughput");
  for (const Outcome& outcome : outcomes)
    std::printf("%-20s %9.2f %9llu %17.1f %12.0f%%\n", outcome.name.c_str(), outcome.seconds,
                static_cast<unsigned long long>(outcome.locks), outcome.pause_ms, outcome.part * 100);
  std::printf("All locks, waiters and tokens are as they were.\n");
}

void write_json(const std::string& path, const std::vector<Outcome>& outcomes) {
  std::ofstream file(path);
  file << "[";
  for (const Outcome& outcome : outcomes)
    file << (&outcome == &outcomes.front() ? "\n" : ",\n") << "  {\"change\":\"" << outcome.name
         << "\",\"seconds\":" << outcome.seconds << ",\"locks\":" << outcome.locks
         << ",\"pause_ms\":" << outcome.pause_ms << ",\"throughput\":" << outcome.part << "}";
  file << "\n]\n";
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Measures changes of the ring; scripts/rebalance-figures runs it", "dlm-rebalance");
  app.add_option("--router", options.routers)->required()->delimiter(',');
  app.add_option("--cluster", options.cluster, "scripts/cluster")->required();
  app.add_option("--state", options.state, "its folder")->required();
  app.add_option("--json", options.json, "file for the results");
  app.add_option("--clients", options.clients);
  app.add_option("--locks", options.locks, "held throughout");
  app.add_option("--lines", options.lines, "locks with waiters");
  app.add_option("--line-length", options.line_length, "waiters of each");
  app.add_flag("--kill", options.kill, "kill -9 of the primaries of both sides in the middle of each change");
  CLI11_PARSE(app, argc, argv);
  const std::vector<Outcome> outcomes = Bench(options).run();
  print(outcomes);
  if (!options.json.empty()) write_json(options.json, outcomes);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace dlm::bench

int main(int argc, char** argv) {
  try {
    return dlm::bench::run(argc, argv);
  } catch (const std::exception& fault) {
    std::cerr << "dlm-rebalance: " << fault.what() << "\n";
    return EXIT_FAILURE;
  }
}
