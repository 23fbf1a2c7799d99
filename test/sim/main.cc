// dlm-simulate: runs simulations from seeds, on several threads, and says how to run a failed one again.
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "test/sim/faults.h"
#include "test/sim/scenarios.h"
#include "test/sim/simulation.h"

namespace dlm::sim {
namespace {

struct Arguments {
  SimulationOptions simulation;
  std::uint64_t seeds = 1;
  std::uint64_t jobs = 1;
  bool quiet = false;
  bool stop_at_first = true;
};

// What the seed of this thread is, for a crash of the code under test.
thread_local std::uint64_t running_seed = 0;
std::string replay_options;

std::string replay(std::uint64_t seed) {
  return "scripts/simulate --seeds 1 --first-seed " + std::to_string(seed) + replay_options;
}

void crashed(int signal) {
  std::fprintf(
      stderr,
      "seed %llu ended in signal %d; replay with: scripts/simulate --seeds 1 --first-seed %llu%s --trace\n",
      static_cast<unsigned long long>(running_seed), signal, static_cast<unsigned long long>(running_seed),
      replay_options.c_str());
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void usage() {
  std::puts(
      "usage: dlm-simulate [--seeds N] [--first-seed S] [--jobs J] [--ops N] [--scenario NAME] [--faults "
      "A,B,...|none]\n"
      "                    [--without FAULT] [--trace] [--keep-going] [--quiet]\n"
      "Runs N simulated clusters, each from a seed of its own. Without --faults each draws its own mixture, "
      "of which\n--without takes one out.");
  std::puts("\nfaults:");
  for (const Fault& fault : all_faults()) std::printf("  %-18s %s\n", fault.name, fault.what);
  std::puts("\nscenarios:");
  for (const Scenario& scenario : all_scenarios()) std::printf("  %-28s %s\n", scenario.name, scenario.what);
}

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "dlm-simulate: %s (--help tells more)\n", why.c_str());
  std::exit(2);
}

std::uint64_t number(const std::string& option, const char* text) {
  std::uint64_t value = 0;
  const std::string_view all = text == nullptr ? "" : text;
  auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
  if (all.empty() || error != std::errc() || end != all.data() + all.size())
    refuse(option + " needs a number");
  return value;
}

void take_faults(SimulationOptions& options, const std::string& list) {
  options.draw_faults = false;
  std::size_t begin = 0;
  while (list != "none" && begin <= list.size()) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string name = list.substr(begin, end - begin);
    if (!is_fault(name)) refuse("there is no fault \"" + name + "\"");
    options.faults.insert(name);
    begin = end + 1;
  }
  replay_options += " --faults " + list;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto value = [&] { return i + 1 < argc ? argv[++i] : nullptr; };
    const auto text = [&] {
      const char* given = value();
      if (given == nullptr) refuse(option + " needs a value");
      return std::string(given);
    };
    if (option == "--seeds") {
      arguments.seeds = number(option, value());
    } else if (option == "--first-seed") {
      arguments.simulation.seed = number(option, value());
    } else if (option == "--jobs") {
      arguments.jobs = number(option, value());
    } else if (option == "--ops") {
      arguments.simulation.operations = number(option, value());
      replay_options += " --ops " + std::to_string(arguments.simulation.operations);
    } else if (option == "--scenario") {
      arguments.simulation.scenario = text();
      if (find_scenario(arguments.simulation.scenario) == nullptr)
        refuse("there is no scenario \"" + arguments.simulation.scenario + "\"");
      replay_options += " --scenario " + arguments.simulation.scenario;
    } else if (option == "--faults") {
      take_faults(arguments.simulation, text());
    } else if (option == "--without") {
      const std::string fault = text();
      if (!is_fault(fault)) refuse("there is no fault \"" + fault + "\"");
      arguments.simulation.without.insert(fault);
      replay_options += " --without " + fault;
    } else if (option == "--trace") {
      arguments.simulation.trace = true;
    } else if (option == "--keep-going") {
      arguments.stop_at_first = false;
    } else if (option == "--quiet") {
      arguments.quiet = true;
    } else if (option == "--help") {
      usage();
      std::exit(0);
    } else {
      refuse("what is " + option + "?");
    }
  }
  if (arguments.simulation.trace && arguments.seeds > 1) refuse("a transcript is of one seed");
  if (arguments.simulation.operations == 0 || arguments.jobs == 0) refuse("--ops and --jobs begin at 1");
  return arguments;
}

struct Totals {
  std::mutex mutex;
  std::uint64_t seeds = 0;
  std::uint64_t failed = 0;
  Result sum;
};

void add(Totals& totals, const Result& result) {
  std::lock_guard guard(totals.mutex);
  ++totals.seeds;
  totals.sum.virtual_time += result.virtual_time;
  totals.sum.steps += result.steps;
  totals.sum.operations += result.operations;
  totals.sum.granted += result.granted;
  totals.sum.takeovers += result.takeovers;
  totals.sum.committed += result.committed;
  totals.sum.groups_lost += result.groups_lost;
  totals.sum.arcs_moved += result.arcs_moved;
  totals.sum.strikes += result.strikes;
  totals.sum.hash ^= result.hash;
  if (result.failure.empty()) return;
  ++totals.failed;
  std::printf("seed %llu FAILED: %s\n  %s\n  replay with: %s --trace\n",
              static_cast<unsigned long long>(result.seed), result.failure.c_str(), result.shape.c_str(),
              replay(result.seed).c_str());
  std::fflush(stdout);
}

void run_seeds(const Arguments& arguments, std::atomic<std::uint64_t>& next, Totals& totals) {
  for (;;) {
    const std::uint64_t at = next++;
    if (at >= arguments.seeds) return;
    SimulationOptions options = arguments.simulation;
    options.seed += at;
    running_seed = options.seed;
    const Result result = Simulation(options).run();
    add(totals, result);
    if (!result.failure.empty() && arguments.stop_at_first) next = arguments.seeds;
  }
}

int run(const Arguments& arguments) {
  const auto begun = std::chrono::steady_clock::now();
  std::atomic<std::uint64_t> next = 0;
  Totals totals;
  std::vector<std::thread> threads;
  for (std::uint64_t i = 1; i < arguments.jobs; ++i)
    threads.emplace_back([&] { run_seeds(arguments, next, totals); });
  run_seeds(arguments, next, totals);
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  const Result& sum = totals.sum;
  const auto as_ull = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "%llu seeds, %llu failed: %llu operations, %llu grants, %llu log batches, %llu takeovers, %llu groups "
      "begun anew, "
      "%llu arcs moved, %llu faults\n",
      as_ull(totals.seeds), as_ull(totals.failed), as_ull(sum.operations), as_ull(sum.granted),
      as_ull(sum.committed), as_ull(sum.takeovers), as_ull(sum.groups_lost), as_ull(sum.arcs_moved),
      as_ull(sum.strikes));
  const double hours = static_cast<double>(sum.virtual_time) / kSecond / 3'600;
  std::printf(
      "%.1f virtual hours in %.1f s: %.2f virtual hours per second; %llu steps; hash of the runs %016llx\n",
      hours, seconds, hours / seconds, as_ull(sum.steps), as_ull(sum.hash));
  return totals.failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace dlm::sim

int main(int argc, char** argv) {
  const dlm::sim::Arguments arguments = dlm::sim::parse(argc, argv);
  std::signal(SIGABRT, dlm::sim::crashed);
  std::signal(SIGSEGV, dlm::sim::crashed);
  return dlm::sim::run(arguments);
}
