// How long a group is without a successful operation when something of it fails, under a load of clients:
// kills, freezes and stops processes of a cluster that scripts/cluster started, and looks at the times of
// successes. scripts/failover runs it.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dlm/client.h"
#include "test/bench/load.h"
#include "test/bench/processes.h"

namespace dlm::bench {
namespace {

struct Options {
  std::vector<std::string> routers;
  std::string cluster;  // the script
  std::string state;    // its folder
  std::string json;
  int clients = 16;
  int rounds = 20;
  std::uint64_t locks = 1'000'000;
  std::vector<std::string> only;
};

void pause_ms(std::uint64_t ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

struct Outcome {
  std::string name;
  double target_ms = 0;  // of the worst; 0: the median's, see below
  bool per_client = false;
  std::vector<double> gaps_ms;

  double worst() const { return *std::max_element(gaps_ms.begin(), gaps_ms.end()); }
  double median() const {
    std::vector<double> sorted = gaps_ms;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

// The processes of the cluster, by the names that scripts/cluster gives them.
class Cluster {
 public:
  explicit Cluster(const Options& options)
      : processes_(options.cluster, options.state), observer_(observer_options(options)) {}

  GroupReport group() {
    for (int i = 0; i < 600; ++i, pause_ms(50)) {
      const Result<ClusterReport> report = observer_.status();
      if (report && !report->groups.empty() && report->groups[0].problem.empty()) return report->groups[0];
    }
    throw std::runtime_error("the group does not come back");
  }
  // Until all replicas are in sync.
  void await_whole() {
    for (int i = 0; i < 2'400; ++i, pause_ms(50)) {
      const GroupReport now = group();
      replicas_ = std::max(replicas_, now.in_sync.size());
      if (now.in_sync.size() == replicas_) return;
    }
    throw std::runtime_error("a replica does not join");
  }
  std::string primary() { return Processes::server_of(group().primary); }
  std::string backup() {
    const GroupReport now = group();
    for (const std::string& member : now.in_sync)
      if (member != now.primary) return Processes::server_of(member);
    throw std::runtime_error("no backup is in sync");
  }
  void signal(const std::string& process, int number) { processes_.signal(process, number); }
  void start(const std::string& process) { processes_.start(process); }
  Client& observer() { return observer_; }

 private:
  static ClientOptions observer_options(const Options& options) {
    ClientOptions observer;
    observer.routers = options.routers;
    return observer;
  }
  Processes processes_;
  Client observer_;
  std::size_t replicas_ = 0;
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options), cluster_(options), load_(options.routers, options.clients) {}

  std::vector<Outcome> run() {
    pause_ms(1'000);
    measure("primary killed (kill -9)", 500, false, options_.rounds,
            [&] { return kill_one(cluster_.primary()); });
    measure("primary frozen", 2'000, false, few(), [&] { return freeze_one(cluster_.primary()); });
    measure("router killed", 300, true, few(), [&] { return kill_one("r1"); });
    measure("backup killed (kill -9)", 1'000, false, few(), [&] { return kill_one(cluster_.backup()); });
    measure("backup frozen", 1'000, false, few(), [&] { return freeze_one(cluster_.backup()); });
    measure("dlm admin step-down", 20, false, options_.rounds, [&] { return step_down(); });
    measure("primary stopped (SIGTERM)", 20, false, options_.rounds,
            [&] { return stop_one(cluster_.primary()); });
    measure("backup stopped (SIGTERM)", 20, false, few(), [&] { return stop_one(cluster_.backup()); });
    if (wanted("join")) {
      hold_locks();
      measure("join: a backup with " + std::to_string(options_.locks) + " locks", 50, false, 1,
              [&] { return join_one(); });
    }
    if (const std::string errors = load_.errors(); !errors.empty()) std::cerr << "clients saw: " << errors;
    return outcomes_;
  }

 private:
  using Fault = std::function<Gap()>;
  static constexpr std::uint64_t kLookMs = 3'000;  // after a fault

  int few() const { return std::max(1, options_.rounds / 4); }
  bool wanted(const std::string& name) const {
    return options_.only.empty() ||
           std::any_of(options_.only.begin(), options_.only.end(),
                       [&](const std::string& part) { return name.starts_with(part); });
  }

  void measure(const std::string& name, double target_ms, bool per_client, int rounds, const Fault& fault) {
    if (!wanted(name)) return;
    Outcome outcome{name, target_ms, per_client, {}};
    for (int round = 0; round < rounds; ++round) {
      cluster_.await_whole();
      pause_ms(500);
      const Gap gap = fault();
      outcome.gaps_ms.push_back(per_client ? gap.one_client_ms : gap.any_ms);
      std::fprintf(stderr, "%s: %.1f ms, any one client %.1f ms\n", name.c_str(), gap.any_ms,
                   gap.one_client_ms);
    }
    outcomes_.push_back(std::move(outcome));
  }

  Gap look(std::uint64_t from_us) {
    pause_ms(kLookMs);
    return load_.longest_gap(from_us, now_us());
  }
  Gap kill_one(const std::string& process) {
    const std::uint64_t from_us = now_us();
    cluster_.signal(process, SIGKILL);
    const Gap gap = look(from_us);
    cluster_.start(process);
    return gap;
  }
  Gap stop_one(const std::string& process) {
    const std::uint64_t from_us = now_us();
    cluster_.signal(process, SIGTERM);
    const Gap gap = look(from_us);
    cluster_.start(process);
    return gap;
  }
  // Thawed when the group has gone on without it for a while; its session with the coordinator is over by
  // then.
  Gap freeze_one(const std::string& process) {
    const std::uint64_t from_us = now_us();
    cluster_.signal(process, SIGSTOP);
    const Gap gap = look(from_us);
    pause_ms(kLookMs);
    cluster_.signal(process, SIGKILL);
    cluster_.start(process);
    return gap;
  }
  Gap step_down() {
    const GroupReport before = cluster_.group();
    const std::uint64_t from_us = now_us();
    const Result<GroupReport> after = cluster_.observer().step_down(before.group);
    if (!after) throw std::runtime_error("step-down: " + after.error().message);
    if (after->primary == before.primary) throw std::runtime_error("step-down: the primary is who it was");
    pause_ms(1'000);
    return load_.longest_gap(from_us, now_us());
  }
  // From the start of the process to when it is in sync.
  Gap join_one() {
    const std::string backup = cluster_.backup();
    cluster_.signal(backup, SIGKILL);
    pause_ms(kLookMs);
    const std::uint64_t from_us = now_us();
    cluster_.start(backup);
    cluster_.await_whole();
    std::fprintf(stderr, "joined after %.1f s\n", static_cast<double>(now_us() - from_us) / 1e6);
    return load_.longest_gap(from_us, now_us());
  }
  void hold_locks() {
    constexpr std::uint64_t kUnderWayMax = 4'096;
    std::atomic<std::uint64_t> done = 0, failed = 0;
    for (std::uint64_t i = 0; i < options_.locks; ++i) {
      AcquireOptions acquire;
      acquire.lease = std::chrono::milliseconds(3'600'000);
      acquire.request_timeout = std::chrono::milliseconds(60'000);
      cluster_.observer().start_acquire_detached("held/" + std::to_string(i), acquire,
                                                 [&](const Result<DetachedHold>& hold) {
                                                   if (!hold) ++failed;
                                                   ++done;
                                                 });
      while (i + 1 - done > kUnderWayMax) std::this_thread::yield();
    }
    while (done < options_.locks) pause_ms(1);
    if (failed != 0) throw std::runtime_error(std::to_string(failed) + " locks could not be taken");
  }

  const Options& options_;
  Cluster cluster_;
  Load load_;
  std::vector<Outcome> outcomes_;
};

void print(const std::vector<Outcome>& outcomes) {
  std::printf("%-42s %6s %10s %10s %10s\n", "longest time without a success", "times", "median ms",
              "worst ms", "target ms");
  for (const Outcome& outcome : outcomes)
    std::printf("%-42s %6zu %10.1f %10.1f %10.0f%s\n", outcome.name.c_str(), outcome.gaps_ms.size(),
                outcome.median(), outcome.worst(), outcome.target_ms,
                outcome.worst() < outcome.target_ms ? "" : "  missed");
}

void write_json(const std::string& path, const std::vector<Outcome>& outcomes) {
  std::ofstream file(path);
  file << "[";
  for (const Outcome& outcome : outcomes) {
    file << (&outcome == &outcomes.front() ? "\n" : ",\n") << "  {\"fault\":\"" << outcome.name
         << "\",\"median_ms\":" << outcome.median() << ",\"worst_ms\":" << outcome.worst()
         << ",\"target_ms\":" << outcome.target_ms << ",\"gaps_ms\":[";
    for (std::size_t i = 0; i < outcome.gaps_ms.size(); ++i)
      file << (i == 0 ? "" : ",") << outcome.gaps_ms[i];
    file << "]}";
  }
  file << "\n]\n";
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Measures failover times; scripts/failover runs it", "dlm-failover");
  app.add_option("--router", options.routers)->required()->delimiter(',');
  app.add_option("--cluster", options.cluster, "scripts/cluster")->required();
  app.add_option("--state", options.state, "its folder")->required();
  app.add_option("--json", options.json, "file for the results");
  app.add_option("--clients", options.clients);
  app.add_option("--rounds", options.rounds, "of the faults that matter most; others a quarter of that");
  app.add_option("--locks", options.locks, "held in the join");
  app.add_option("--only", options.only, "faults whose names begin so")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  const std::vector<Outcome> outcomes = Bench(options).run();
  print(outcomes);
  if (!options.json.empty()) write_json(options.json, outcomes);
  const bool met = std::all_of(outcomes.begin(), outcomes.end(),
                               [](const Outcome& outcome) { return outcome.worst() < outcome.target_ms; });
  return met ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace dlm::bench

int main(int argc, char** argv) {
  try {
    return dlm::bench::run(argc, argv);
  } catch (const std::exception& fault) {
    std::cerr << "dlm-failover: " << fault.what() << "\n";
    return EXIT_FAILURE;
  }
}
