// `dlm acquire`, `dlm renew`, `dlm release`: holds that outlive the command. Whoever knows client id, tag and
// token may renew and release them, from anywhere.
#include <charconv>

#include "client/cli/cli.h"
#include "client/cli/stop_signals.h"
#include "client/cli/text_output.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

constexpr std::uint32_t kLeaseMsLargest =
    kWaitForeverMs - 1;  // the servers' own limits are narrower, and theirs to state

struct HoldOptions {
  NameOption name;
  std::string client_id;
  std::string owner_tag;
  std::string token_text;
  FencingToken token;
  std::uint32_t lease_ms = 0;
  Wait wait = 0;
  bool shared = false;
};

void check_client_id(const std::string& id) {
  if (id.size() > kClientIdBytesMax) {
    throw CLI::ValidationError("--client", "has " + std::to_string(id.size()) + " bytes; the limit is " +
                                               std::to_string(kClientIdBytesMax));
  }
}

FencingToken parse_token(const std::string& text) {
  FencingToken token;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), token.value);
  if (error != std::errc() || end != text.data() + text.size() || !token) {
    throw CLI::ValidationError(
        "--token", "'" + printable(text) + "' is not a token: a number, as `dlm acquire` printed it");
  }
  return token;
}

void add_owner(CLI::App& command, HoldOptions& options, bool token_required) {
  options.name.add_to(command);
  auto* client = command.add_option("--client", options.client_id, "Client id of the hold's owner");
  client->type_name("ID");
  command.add_option("--tag", options.owner_tag, "Owner tag: tells apart owners with the same client id")
      ->type_name("TAG");
  if (!token_required) return;
  client->required();
  command.add_option("--token", options.token_text, "Fencing token of the hold, as `dlm acquire` printed it")
      ->required()
      ->type_name("NUMBER");
}

// The words that all follow-up commands on a hold have in common.
std::string hold_arguments(const Globals& globals, const DetachedHold& hold) {
  std::string out = name_arguments(hold.resource) + " --client " + shell_quoted(hold.client_id);
  if (!hold.owner_tag.empty()) out += " --tag " + shell_quoted(hold.owner_tag);
  out += " --token " + std::to_string(hold.token.value);
  for (const std::string& router : globals.routers) out += " --router " + shell_quoted(router);
  return out;
}

JsonObject hold_json(const DetachedHold& hold) {
  JsonObject out;
  put_name(out, "resource", hold.resource);
  put_name(out, "client_id", hold.client_id);
  put_name(out, "owner_tag", hold.owner_tag);
  out["group"] = to_string(hold.group);
  out["token"] = hold.token.value;
  out["count"] = hold.count;
  out["lease_ms"] = hold.lease.count();
  return out;
}

std::string lease_of(const DetachedHold& hold) {
  return format_duration_ms(static_cast<std::uint64_t>(hold.lease.count()));
}

void print_acquired(const Globals& globals, const HoldOptions& options, const DetachedHold& hold) {
  std::string renew = "dlm renew " + hold_arguments(globals, hold) + " --lease " + lease_of(hold);
  std::string release = "dlm release " + hold_arguments(globals, hold);
  if (globals.json) {
    JsonObject out = hold_json(hold);
    out["mode"] = options.shared ? "shared" : "exclusive";
    out["renew_command"] = renew;
    out["release_command"] = release;
    return print(out);
  }
  std::string times = hold.count > 1 ? ", held " + std::to_string(hold.count) + " times now" : "";
  print("acquired " + shown(hold.resource) + (options.shared ? " (shared)" : "") + " for client " +
        owner_text(hold.client_id, hold.owner_tag) + times + "\n" + "  token    " +
        std::to_string(hold.token.value) + "\n" + "  lease    " + lease_of(hold) + ", unless renewed\n" +
        "  renew    " + renew + "\n" + "  release  " + release + "\n");
}

int run_acquire(const Globals& globals, const HoldOptions& options) {
  StopSignals signals;
  int code = 0;
  auto interrupted = [&] { return signals.received() != 0; };
  auto client = connect(globals, {.client_id = {}, .interrupted = interrupted}, code);
  if (!client) return interrupted() ? exit_code_of_signal(signals.received()) : code;

  AcquireOptions wanted;
  wanted.owner_client_id = options.client_id;
  wanted.mode = options.shared ? LockMode::shared : LockMode::exclusive;
  if (options.wait) wanted.wait = std::chrono::milliseconds(*options.wait);
  wanted.lease_kind = LeaseKind::detached;
  wanted.lease = std::chrono::milliseconds(options.lease_ms);
  wanted.owner_tag = options.owner_tag;
  wanted.stop = signals.token();
  const std::string& name = options.name.checked();
  if (wants_progress(globals)) {
    wanted.on_queued = [&name](const QueuedInfo& queued) { note(waiting_text(name, queued, unix_ms_now())); };
  }
  auto hold = client->acquire_detached(name, std::move(wanted));
  if (hold) {
    print_acquired(globals, options, *hold);
    return number_of(ExitCode::ok);
  }
  int failed = fail(globals, hold.error());
  return hold.status() == Status::cancelled && signals.received() != 0
             ? exit_code_of_signal(signals.received())
             : failed;
}

DetachedHold named_hold(const HoldOptions& options) {
  DetachedHold hold;
  hold.resource = options.name.checked();
  hold.client_id = options.client_id;
  hold.owner_tag = options.owner_tag;
  hold.token = options.token;
  return hold;
}

int run_renew(const Globals& globals, const HoldOptions& options) {
  int code = 0;
  auto client = connect(globals, ConnectOptions(), code);
  if (!client) return code;
  auto hold = client->renew_detached(named_hold(options), std::chrono::milliseconds(options.lease_ms));
  if (!hold) return fail(globals, hold.error());
  if (globals.json) {
    print(hold_json(*hold));
  } else {
    print("renewed " + shown(hold->resource) + ": lease " + lease_of(*hold) + " from now, token " +
          std::to_string(hold->token.value) + "\n");
  }
  return number_of(ExitCode::ok);
}

int run_release(const Globals& globals, const HoldOptions& options) {
  int code = 0;
  auto client = connect(globals, ConnectOptions(), code);
  if (!client) return code;
  auto released = client->release_detached(named_hold(options));
  if (!released) return fail(globals, released.error());
  if (globals.json) {
    JsonObject out;
    put_name(out, "resource", options.name.checked());
    out["count"] = released->count;
    print(out);
  } else if (released->count == 0) {
    print("released " + shown(options.name.checked()) + "\n");
  } else {
    print("released " + shown(options.name.checked()) + " once; still held " +
          std::to_string(released->count) + (released->count == 1 ? " time\n" : " times\n"));
  }
  return number_of(ExitCode::ok);
}

}  // namespace

void add_acquire(CLI::App& app, const Globals& globals, Action& action) {
  auto* command = app.add_subcommand(
      "acquire", "Take a hold that outlives this command, until released or its lease ends");
  auto options = std::make_shared<HoldOptions>();
  add_owner(*command, *options, false);
  add_duration(*command, "--lease", options->lease_ms, "How long the hold lives unless it is renewed", 1,
               kLeaseMsLargest)
      ->required();
  add_wait(*command, options->wait, "How long to wait in line if others hold it; default: none");
  command->add_flag("--shared", options->shared, "Share it with other shared holders");
  command->footer(
      "Without --client a random id is made, and printed; renew and release need it.\n"
      "An owner (client id and tag) that holds the lock already gets it once more, and has to release it "
      "once more.\n"
      "Examples:\n"
      "  dlm acquire orders/42 --client w7 --lease 60s --wait 5s\n"
      "  dlm acquire orders/42 --client w7 --lease 1h --shared --json");
  command->callback([options, &globals, &action] {
    (void)options->name.checked();
    check_client_id(options->client_id);
    action = [options, &globals] { return run_acquire(globals, *options); };
  });
}

void add_renew(CLI::App& app, const Globals& globals, Action& action) {
  auto* command = app.add_subcommand("renew", "Restart the lease of a hold taken with `dlm acquire`");
  auto options = std::make_shared<HoldOptions>();
  add_owner(*command, *options, true);
  add_duration(*command, "--lease", options->lease_ms, "A new length of the lease; default: as it is", 1,
               kLeaseMsLargest);
  command->footer("Example:\n  dlm renew orders/42 --client w7 --token 1099511627777 --lease 60s");
  command->callback([options, &globals, &action] {
    (void)options->name.checked();
    check_client_id(options->client_id);
    options->token = parse_token(options->token_text);
    action = [options, &globals] { return run_renew(globals, *options); };
  });
}

void add_release(CLI::App& app, const Globals& globals, Action& action) {
  auto* command = app.add_subcommand("release", "Give back a hold taken with `dlm acquire`");
  auto options = std::make_shared<HoldOptions>();
  add_owner(*command, *options, true);
  command->footer("Example:\n  dlm release orders/42 --client w7 --token 1099511627777");
  command->callback([options, &globals, &action] {
    (void)options->name.checked();
    check_client_id(options->client_id);
    options->token = parse_token(options->token_text);
    action = [options, &globals] { return run_release(globals, *options); };
  });
}

}  // namespace dlm::cli
