// `dlm inspect`, `dlm ls`, `dlm status`: what there is, read from the groups' primaries.
#include "client/cli/cli.h"
#include "client/cli/text_output.h"

namespace dlm::cli {
namespace {

struct InspectOptions {
  NameOption name;
  std::uint32_t waiters = 20;
};

int run_inspect(const Globals& globals, const InspectOptions& options) {
  int code = 0;
  auto client = connect(globals, ConnectOptions(), code);
  if (!client) return code;
  auto lock = client->inspect(options.name.checked());
  if (!lock) return fail(globals, lock.error());
  if (lock->waiters.size() > options.waiters) lock->waiters.resize(options.waiters);
  if (globals.json) {
    print(to_json(*lock));
  } else {
    print(lock_text(*lock, unix_ms_now()));
  }
  return number_of(ExitCode::ok);
}

struct ListOptionsOfUser {
  std::string prefix;
  std::uint64_t limit = 0;  // 0: none
};

// Prints as the pages come: a million locks never stand in memory at once.
int run_list(const Globals& globals, const ListOptionsOfUser& options) {
  int code = 0;
  auto client = connect(globals, ConnectOptions(), code);
  if (!client) return code;
  constexpr std::size_t kChunkBytes = 64u << 10;
  std::string chunk = globals.json ? "" : list_header();
  std::uint64_t listed = 0;
  bool more = false;
  auto walked = client->list(options.prefix, [&](const LockReport& lock) {
    if (options.limit != 0 && listed == options.limit) {
      more = true;
      return false;
    }
    ++listed;
    if (globals.json) {
      chunk += json_line(to_json(lock));
    } else {
      append_list_lines(chunk, lock);
    }
    if (chunk.size() >= kChunkBytes) {
      print(chunk);
      chunk.clear();
    }
    return std::ferror(stdout) == 0;
  });
  print(chunk);
  if (!walked) return fail(globals, walked.error());
  if (std::ferror(stdout) != 0) return fail(globals, ExitCode::system, "system", "can't write to stdout");
  if (more && wants_progress(globals)) note("there are more; this is where --limit cut the list");
  return number_of(ExitCode::ok);
}

int run_status(const Globals& globals) {
  int code = 0;
  auto client = connect(globals, ConnectOptions(), code);
  if (!client) return code;
  auto cluster = client->status();
  if (!cluster) return fail(globals, cluster.error());
  if (globals.json) {
    print(to_json(*cluster));
  } else {
    auto ring = client->ring();
    print(cluster_text(*cluster, ring ? &*ring : nullptr));
  }
  return number_of(ExitCode::ok);
}

}  // namespace

void add_inspect(CLI::App& app, const Globals& globals, Action& action) {
  auto* command = app.add_subcommand("inspect", "Show who holds a lock and who waits for it");
  auto options = std::make_shared<InspectOptions>();
  options->name.add_to(*command);
  command->add_option("--waiters", options->waiters, "Show so many waiters at most; default 20")
      ->type_name("NUMBER");
  command->footer("Examples:\n  dlm inspect orders/42\n  dlm inspect --name-hex 00ff --json");
  command->callback([options, &globals, &action] {
    (void)options->name.checked();
    action = [options, &globals] { return run_inspect(globals, *options); };
  });
}

void add_list(CLI::App& app, const Globals& globals, Action& action) {
  auto* command = app.add_subcommand("ls", "List the locks that are held, over all groups");
  auto options = std::make_shared<ListOptionsOfUser>();
  command->add_option("--prefix", options->prefix, "Only names that begin with this")->type_name("TEXT");
  command->add_option("--limit", options->limit, "Stop after so many locks; default: none")
      ->type_name("NUMBER");
  command->footer(
      "A line for each holder. With --json an object for each lock, one to a line.\n"
      "Examples:\n"
      "  dlm ls --prefix orders/\n"
      "  dlm ls --json | wc -l");
  command->callback(
      [options, &globals, &action] { action = [options, &globals] { return run_list(globals, *options); }; });
}

void add_status(CLI::App& app, const Globals& globals, Action& action) {
  auto* command = app.add_subcommand("status", "Show the cluster: routers, ring, groups and their replicas");
  command->footer("LOG is committed/last index.\nExamples:\n  dlm status\n  dlm status --json");
  command->callback([&globals, &action] { action = [&globals] { return run_status(globals); }; });
}

}  // namespace dlm::cli
