// What the subcommands of `dlm` share: the options that go with each, how they reach a router, how they fail.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/exit_code.h"
#include "client/cli/json_output.h"
#include "dlm/client.h"

namespace dlm::cli {

// Options that stand before or after the subcommand.
struct Globals {
  std::vector<std::string> routers;  // empty: the library's own search
  std::uint32_t request_timeout_ms = 10'000;
  bool json = false;
  bool verbose = false;
};

// What the command line asked for; run after all of it was read. Gives the exit code.
using Action = std::function<int()>;

// Each adds a subcommand that, when it is given, sets `action`. The references outlive the App.
void add_lock(CLI::App& app, const Globals& globals, const std::vector<std::string>& command, Action& action);
void add_acquire(CLI::App& app, const Globals& globals, Action& action);
void add_renew(CLI::App& app, const Globals& globals, Action& action);
void add_release(CLI::App& app, const Globals& globals, Action& action);
void add_inspect(CLI::App& app, const Globals& globals, Action& action);
void add_list(CLI::App& app, const Globals& globals, Action& action);
void add_status(CLI::App& app, const Globals& globals, Action& action);
void add_dev(CLI::App& app, const Globals& globals, Action& action);
void add_admin(CLI::App& app, const Globals& globals, Action& action);
void add_ring(CLI::App& app, const Globals& globals, Action& action);
void add_bench(CLI::App& app, const Globals& globals, Action& action);

// --- Options

// NAME or --name-hex: exactly one of them.
class NameOption {
 public:
  void add_to(CLI::App& command);
  // The name, null bytes and all; for the subcommand's final callback. Throws CLI::ValidationError when there
  // is none or it is too long.
  const std::string& checked() const;

 private:
  std::string name_;
  bool given_ = false;
};

// A duration with its unit; refuses anything outside of [min, max].
CLI::Option* add_duration(CLI::App& command, const std::string& flags, std::uint32_t& target_ms,
                          const std::string& description, std::uint32_t min_ms, std::uint32_t max_ms);

// How long to wait for a lock; nullopt: for ever.
using Wait = std::optional<std::uint32_t>;
// "5s", "0", "none", "forever". Throws CLI::ValidationError.
Wait parse_wait(const std::string& text);
CLI::Option* add_wait(CLI::App& command, Wait& target, const std::string& description);

// --- Reaching the cluster

struct ConnectOptions {
  std::string client_id;  // empty: client_id_for_people()
  std::chrono::milliseconds session_ttl{kSessionTtlMsDefault};
  std::optional<IoThread> io_thread = std::nullopt;  // none: one of its own
  std::function<bool()> interrupted;                 // empty: never. True: give up (without a message)
};

// "<host>-<process id>-<random hex>": unique, and says to people whom to ask.
std::string client_id_for_people();

// A client with a connection. After a second without one it says on stderr, when people watch, what it is
// waiting for. Empty: no router could be reached in the request time-out; the error was printed and
// `exit_code` is set.
std::unique_ptr<Client> connect(const Globals& globals, const ConnectOptions& options, int& exit_code);

// --- Output

// Prints the error, as a line or as JSON, on stderr; gives the exit code that belongs to it.
int fail(const Globals& globals, const Error& error);
int fail(const Globals& globals, ExitCode code, std::string_view status, std::string_view message);

// Something that the user has to know, but that is no failure: a line or, as {"warning":{"message":...}},
// JSON on stderr.
void warn(const Globals& globals, std::string_view message);

// "dlm: <text>" on stderr, in one write, so that lines of several processes don't mix.
void note(std::string_view text);
// Whether notes on progress are wanted: -v, or stderr is a terminal.
bool wants_progress(const Globals& globals);

void print(std::string_view text);
void print(const JsonObject& object);

std::uint64_t unix_ms_now();

}  // namespace dlm::cli
