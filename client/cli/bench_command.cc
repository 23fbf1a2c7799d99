// `dlm bench`: what the service gives on this machine, now.
#include <algorithm>
#include <cstdio>
#include <thread>

#include "client/cli/bench.h"
#include "client/cli/bench_open.h"
#include "client/cli/cli.h"
#include "client/cli/ring_arguments.h"
#include "client/cli/stop_signals.h"
#include "client/cli/text_output.h"
#include "schema/text.h"
#include "schema/wire/open_files.h"

namespace dlm::cli {
namespace {

using std::chrono::milliseconds;

struct BenchOptions {
  std::uint32_t connections = 1;
  std::uint32_t threads = 1;
  BenchLoad load;
  bool contended = false;
  Wait wait;
  double seconds = 5;
  std::uint32_t busy_poll_ms = 0;
  std::uint32_t ttl_ms = kSessionTtlMsDefault;
  HoldLoad hold;
  std::uint32_t hold_ms = 0;
  OpenLoad open;
};

struct StopFlag {
  explicit StopFlag(const StopSignals& signals) : callback(signals.token(), [this] { stopped = true; }) {}
  std::atomic<bool> stopped = false;
  std::stop_callback<std::function<void()>> callback;
};

Clients connect_all(const Globals& globals, const BenchOptions& options, const StopSignals& signals,
                    int& code) {
  Clients clients;
  std::vector<IoThread> threads;
  for (std::uint32_t i = 0; i < std::min(options.threads, options.connections); ++i)
    threads.emplace_back(milliseconds(options.busy_poll_ms));
  for (std::uint32_t i = 0; i < options.connections; ++i) {
    auto client = connect(globals,
                          {.client_id = "",
                           .session_ttl = milliseconds(options.ttl_ms),
                           .io_thread = threads[i % threads.size()],
                           .interrupted = [&] { return signals.received() != 0; }},
                          code);
    if (!client) {
      if (signals.received() != 0) code = exit_code_of_signal(signals.received());
      return {};
    }
    clients.push_back(std::move(client));
  }
  return clients;
}

std::string number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

JsonObject latencies_json(const Histogram& ns) {
  auto us = [&](double percent) { return static_cast<double>(ns.percentile(percent)) / 1000; };
  return {
      {"p50", us(50)}, {"p99", us(99)}, {"p99_9", us(99.9)}, {"max", static_cast<double>(ns.max()) / 1000}};
}

std::vector<std::string> latencies_row(const std::string& name, const Histogram& ns) {
  std::vector<std::string> row = {name};
  for (double percent : {50.0, 99.0, 99.9, 100.0}) {
    row.push_back(number(static_cast<double>(ns.percentile(percent)) / 1000, 1));
  }
  return row;
}

JsonObject errors_json(const std::map<std::string, std::uint64_t>& errors) {
  JsonObject out;
  for (const auto& [status, count] : errors) out[status] = count;
  return out;
}

std::string errors_text(const std::map<std::string, std::uint64_t>& errors, const std::string& first) {
  if (errors.empty()) return "no errors\n";
  std::string out = "errors:";
  for (const auto& [status, count] : errors) out += " " + status + " " + std::to_string(count);
  return out + "; the first: " + first + "\n";
}

std::string resources_text(const BenchLoad& load) {
  if (load.resources == 0) return "each loop on names of its own";
  return "all on " +
         (load.resources == 1 ? std::string("one name") : std::to_string(load.resources) + " names");
}

int report_pairs(const Globals& globals, const BenchOptions& options, const BenchResult& result) {
  double rate = result.seconds > 0 ? static_cast<double>(result.pairs) / result.seconds : 0;
  if (globals.json) {
    print(JsonObject{{"benchmark", "pairs"},
                     {"connections", options.connections},
                     {"in_flight", options.load.in_flight},
                     {"resources", options.load.resources},
                     {"shared_percent", options.load.shared_percent},
                     {"seconds", result.seconds},
                     {"pairs", result.pairs},
                     {"pairs_per_second", rate},
                     {"acquire_us", latencies_json(result.acquire_ns)},
                     {"release_us", latencies_json(result.release_ns)},
                     {"errors", errors_json(result.errors)},
                     {"first_error", result.first_error}});
  } else {
    Table table({"MICROSECONDS", "P50", "P99", "P99.9", "MAX"});
    table.add(latencies_row("acquire", result.acquire_ns));
    table.add(latencies_row("release", result.release_ns));
    print(std::to_string(options.connections) +
          (options.connections == 1 ? " connection, " : " connections, ") +
          std::to_string(options.load.in_flight) + " in flight on each, " + resources_text(options.load) +
          ", " + number(result.seconds, 1) + " s\n" + number(rate, 0) + " lock+unlock pairs/s (" +
          std::to_string(result.pairs) + " pairs), " + errors_text(result.errors, result.first_error) +
          table.text());
  }
  return number_of(result.pairs > 0 ? ExitCode::ok : ExitCode::unavailable);
}

int report_open(const Globals& globals, const BenchOptions& options, const OpenResult& result) {
  const double seconds = result.seconds > 0 ? result.seconds : 1;
  const auto per_second = [&](std::uint64_t count) {
    return number(static_cast<double>(count) / seconds, 0);
  };
  const auto found = result.errors.find("overloaded");
  const std::uint64_t refused = found == result.errors.end() ? 0 : found->second;
  if (globals.json) {
    print(JsonObject{{"benchmark", "open"},
                     {"connections", options.connections},
                     {"rate_per_second", options.open.per_second},
                     {"in_flight_max", options.open.in_flight_max},
                     {"resources", options.open.resources},
                     {"seconds", result.seconds},
                     {"offered", result.offered},
                     {"not_started", result.not_started},
                     {"done", result.done},
                     {"refused", refused},
                     {"acquire_us", latencies_json(result.acquire_ns)},
                     {"release_us", latencies_json(result.release_ns)},
                     {"errors", errors_json(result.errors)},
                     {"first_error", result.first_error}});
  } else {
    Table table({"MICROSECONDS", "P50", "P99", "P99.9", "MAX"});
    table.add(latencies_row("acquire", result.acquire_ns));
    table.add(latencies_row("release", result.release_ns));
    print("arrivals at " + number(options.open.per_second, 0) + "/s, at most " +
          std::to_string(options.open.in_flight_max) + " in flight, " + number(result.seconds, 1) +
          " s\noffered " + per_second(result.offered) + "/s, done " + per_second(result.done) +
          "/s, refused " + per_second(refused) + "/s, not started " + per_second(result.not_started) +
          "/s, " + errors_text(result.errors, result.first_error) + table.text());
  }
  return number_of(result.done > 0 ? ExitCode::ok : ExitCode::unavailable);
}

void wait_until_stopped(std::uint32_t ms, const std::atomic<bool>& stopped) {
  auto until = std::chrono::steady_clock::now() + milliseconds(ms);
  while (!stopped && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(milliseconds(20));
}

int run_holds(const Globals& globals, const BenchOptions& options, Clients& clients,
              const std::atomic<bool>& stopped) {
  ManyHolds holds(clients, options.hold);
  HoldResult taken = holds.acquire(stopped);
  double rate = taken.seconds > 0 ? static_cast<double>(taken.done) / taken.seconds : 0;
  std::string summary =
      "holding " + std::to_string(taken.done) + " locks, taken at " + number(rate, 0) + "/s";
  if (options.hold_ms > 0 && !stopped) {
    note(summary + "; keeping them for " + format_duration_ms(options.hold_ms) + ", Ctrl-C ends that");
    wait_until_stopped(options.hold_ms, stopped);
  }
  HoldResult released = holds.release();
  if (globals.json) {
    print(JsonObject{{"benchmark", "holds"},
                     {"connections", options.connections},
                     {"in_flight", options.hold.in_flight},
                     {"detached", options.hold.lease_ms != 0},
                     {"held", taken.done},
                     {"acquire_seconds", taken.seconds},
                     {"acquires_per_second", rate},
                     {"released", released.done},
                     {"release_seconds", released.seconds},
                     {"errors", errors_json(taken.errors)},
                     {"first_error", taken.first_error},
                     {"release_errors", errors_json(released.errors)}});
  } else {
    print("held " + std::to_string(taken.done) + " locks, taken in " + number(taken.seconds, 1) + " s (" +
          number(rate, 0) + "/s), " + errors_text(taken.errors, taken.first_error) + "released " +
          std::to_string(released.done) + " in " + number(released.seconds, 1) + " s, " +
          errors_text(released.errors, released.first_error));
  }
  bool all = taken.done == options.hold.count || stopped;
  return number_of(all ? ExitCode::ok : ExitCode::unavailable);
}

int run_bench(const Globals& globals, const BenchOptions& options) {
  wire::raise_open_files_limit();
  StopSignals signals;
  int code = 0;
  Clients clients = connect_all(globals, options, signals, code);
  if (clients.empty()) return code;
  StopFlag stop(signals);
  if (options.hold.count > 0) {
    code = run_holds(globals, options, clients, stop.stopped);
  } else if (options.open.per_second > 0) {
    code = report_open(globals, options, run_open(clients, options.open, stop.stopped));
  } else {
    code = report_pairs(globals, options, run_pairs(clients, options.load, stop.stopped));
  }
  for (const std::unique_ptr<Client>& client : clients) client->start_close();
  return code;
}

void finish(BenchOptions& options) {
  options.load.measured_ms = static_cast<std::uint32_t>(options.seconds * 1000);
  if (options.contended && options.load.resources == 0) options.load.resources = 1;
  if (options.wait) options.load.wait_ms = *options.wait;
  options.hold.in_flight = options.load.in_flight;
  options.open.resources = options.load.resources;
  options.open.name_bytes = options.hold.name_bytes = options.load.name_bytes;
  if (options.wait) options.open.wait_ms = *options.wait;
  options.open.warm_up_ms = options.load.warm_up_ms;
  options.open.measured_ms = options.load.measured_ms;
}

}  // namespace

void add_bench(CLI::App& app, const Globals& globals, Action& action) {
  auto* command =
      app.add_subcommand("bench", "Measure: lock+unlock in closed loops, or many locks held at once");
  auto options = std::make_shared<BenchOptions>();
  command->add_option("--connections", options->connections, "Clients with a connection each; default 1")
      ->check(CLI::Range(1, 30'000))
      ->type_name("NUMBER");
  command->add_option("--threads", options->threads, "I/O threads that the connections share; default 1")
      ->check(CLI::Range(1, 1'000))
      ->type_name("NUMBER");
  add_duration(*command, "--busy-poll", options->busy_poll_ms,
               "The I/O threads wait awake for so long before they sleep; default 0ms", 0, kBusyPollMsMax);
  command
      ->add_option("--in-flight", options->load.in_flight,
                   "Operations in flight on each connection; default 64")
      ->check(CLI::Range(1, 10'000))
      ->type_name("NUMBER");
  command->add_option("--seconds", options->seconds, "How long to measure; default 5")
      ->check(CLI::Range(0.1, 86'400.0))
      ->type_name("NUMBER");
  add_duration(*command, "--warm-up", options->load.warm_up_ms, "Not counted, before; default 1s", 0,
               3'600'000);
  command
      ->add_option_function<std::string>(
          "--rate", [options](const std::string& text) { options->open.per_second = parse_rate(text); },
          "Instead of closed loops: so many lock+unlock pairs arrive by the clock, like 20000/s")
      ->type_name("NUMBER/s");
  command
      ->add_option(
          "--in-flight-max", options->open.in_flight_max,
          "With --rate: what arrives while so many are under way is counted and not started; default 10000")
      ->check(CLI::Range(1, 10'000'000))
      ->type_name("NUMBER");
  command->add_flag("--contended", options->contended, "All on one name; the same as --resources 1");
  command
      ->add_option("--resources", options->load.resources,
                   "All on so many names; default 0: each loop has its own")
      ->type_name("NUMBER");
  command
      ->add_option("--name-bytes", options->load.name_bytes,
                   "Length of the names; default: as short as they can be")
      ->check(CLI::Range(1, static_cast<int>(kResourceBytesMax)))
      ->type_name("NUMBER");
  command
      ->add_option("--shared-percent", options->load.shared_percent,
                   "How many acquisitions are shared; default 0")
      ->check(CLI::Range(0, 100))
      ->type_name("NUMBER");
  add_wait(*command, options->wait,
           "How long each acquisition waits in line; default: forever, with --rate 1s");
  add_duration(*command, "--ttl", options->ttl_ms, "TTL of the sessions; default 10s", kLeaseMsMinDefault,
               kWaitForeverMs - 1);
  command
      ->add_option("--hold-count", options->hold.count,
                   "Instead: take so many locks with names of 20 bytes, and keep them")
      ->check(CLI::Range(1, 100'000'000))
      ->type_name("NUMBER");
  add_duration(*command, "--hold", options->hold_ms,
               "How long to keep them, so that memory can be read; default 0", 0, 86'400'000);
  add_duration(*command, "--detached", options->hold.lease_ms,
               "Take them detached, with this lease; default: session-bound", 1, kWaitForeverMs - 1);
  command->footer(
      "Latencies are from the call to its callback, in the client; with --rate from the time at which it was "
      "to be made.\n"
      "Resources are named bench/...\n"
      "Examples:\n"
      "  dlm bench --connections 1 --in-flight 64\n"
      "  dlm bench --connections 64 --in-flight 1 --json\n"
      "  dlm bench --rate 20000/s --connections 16 --wait 500ms\n"
      "  dlm bench --contended --connections 8 --in-flight 8\n"
      "  dlm bench --hold-count 1000000 --hold 60s");
  command->callback([options, &globals, &action] {
    finish(*options);
    action = [options, &globals] { return run_bench(globals, *options); };
  });
}

}  // namespace dlm::cli
