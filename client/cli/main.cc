// The `dlm` program: reads the command line and runs the one subcommand that it names.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>
#include <vector>

#include "client/cli/cli.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  dlm dev                                       # a whole service in one process, to try things out\n"
    "  dlm lock orders/42 --wait 5s -- ./settle.sh   # run a command while holding a lock\n"
    "  dlm acquire orders/42 --client w7 --lease 60s # a hold that outlives the command\n"
    "  dlm inspect orders/42\n"
    "  dlm ls --prefix orders/\n"
    "  dlm status\n"
    "  dlm ring show                                 # who has which part of the names; add, remove, weight "
    "...\n"
    "\n"
    "A config file gives any option by its name, those of a subcommand in a section of its own:\n"
    "  router=[\"10.0.0.1:7700\", \"10.0.0.2:7700\"]\n"
    "  [lock]\n"
    "  ttl=\"30s\"\n";

// CLI11 would take what follows "--" for names; for `dlm lock` it is the command, to be passed on word by
// word.
std::vector<std::string> cut_command(std::vector<std::string>& words) {
  auto mark = std::find(words.begin(), words.end(), "--");
  if (mark == words.end() || std::find(words.begin(), mark, "lock") == mark) return {};
  std::vector<std::string> command(mark + 1, words.end());
  words.erase(mark, words.end());
  return command;
}

void add_globals(CLI::App& app, Globals& globals) {
  app.add_option(
         "--router", globals.routers,
         "Routers to try, host:port; repeatable, or with commas. Default: environment variable DLM_ROUTERS, "
         "else 127.0.0.1:7700 to 7703")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("HOST:PORT");
  add_duration(app, "--request-timeout", globals.request_timeout_ms,
               "How long the service may be unreachable before a command gives up; default 10s", 1,
               3'600'000);
  app.add_flag("--json", globals.json, "Print JSON: results on stdout, errors on stderr");
  app.add_flag("-v,--verbose", globals.verbose, "Say on stderr what goes on");
  app.set_config("--config", "", "Read options from this file (TOML)");
}

// Says in each subcommand's help that the options above work there too.
void add_footers(CLI::App& app) {
  for (CLI::App* command : app.get_subcommands({})) {
    command->fallthrough();
    command->footer(
        command->get_footer() +
        "\n\nAlso everywhere: --router HOST:PORT, --request-timeout, --json, --verbose, --config (see dlm "
        "--help)");
  }
}

int run(int argc, char** argv) {
  Globals globals;
  Action action;
  std::vector<std::string> words(argv + 1, argv + argc);
  std::vector<std::string> command = cut_command(words);

  CLI::App app{"dlm: locks that are fair, fenced and leased, from a replicated service", "dlm"};
  app.footer(std::string(kExamples) + "\n" + kExitCodesHelp);
  app.set_version_flag("--version", "dlm " DLM_VERSION);
  app.require_subcommand(1);
  add_globals(app, globals);
  add_lock(app, globals, command, action);
  add_acquire(app, globals, action);
  add_renew(app, globals, action);
  add_release(app, globals, action);
  add_inspect(app, globals, action);
  add_list(app, globals, action);
  add_status(app, globals, action);
  add_dev(app, globals, action);
  add_admin(app, globals, action);
  add_ring(app, globals, action);
  add_bench(app, globals, action);
  add_footers(app);

  // Also when the command line is found wrong before --json was reached.
  globals.json = std::find(words.begin(), words.end(), "--json") != words.end();
  try {
    std::reverse(words.begin(), words.end());  // as CLI11 wants them
    app.parse(words);
  } catch (const CLI::Success& help) {
    return app.exit(help) == 0 ? number_of(ExitCode::ok) : number_of(ExitCode::internal);
  } catch (const CLI::ParseError& wrong) {
    auto chosen = app.get_subcommands();
    std::string program = chosen.empty() ? "dlm" : "dlm " + chosen.front()->get_name();
    // Or the one after it, of those that have some of their own.
    bool incomplete = chosen.empty() || (!chosen.front()->get_subcommands({}).empty() &&
                                         chosen.front()->get_subcommands().empty());
    auto unknown = app.remaining(true);
    std::string what =
        incomplete && !unknown.empty() ? "'" + unknown.front() + "' is not a subcommand" : wrong.what();
    return fail(globals, ExitCode::usage, status_name(Status::invalid_argument),
                printable(what) + "; see `" + program + " --help`");
  }
  int code = action();
  if (std::fflush(stdout) != 0 && code == number_of(ExitCode::ok)) {
    return fail(globals, ExitCode::system, "system",
                "can't write to stdout: " + std::generic_category().message(errno));
  }
  return code;
}

}  // namespace
}  // namespace dlm::cli

int main(int argc, char** argv) {
  try {
    return dlm::cli::run(argc, argv);
  } catch (const std::exception& fault) {
    std::fprintf(stderr, "dlm: a fault of dlm itself: %s\n", fault.what());
    return dlm::cli::number_of(dlm::cli::ExitCode::internal);
  }
}
