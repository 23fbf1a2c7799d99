#include "client/cli/cli.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <random>

#include "client/cli/text_output.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

// What the person at the keyboard can do about it; empty where the error says so itself.
std::string_view advice(const Error& error) {
  switch (error.status) {
    case Status::timed_out:
      return "; to wait in line longer, give --wait";
    case Status::client_id_in_use:
      return "; choose another --client, or wait until that session ends";
    case Status::unavailable:
      return error.group ? "; see `dlm status`"
                         : "; check --router or DLM_ROUTERS, and that a router runs (`dlm dev` starts a "
                           "whole service)";
    case Status::overloaded:
      return error.retry_after.count() != 0 ? "" : "; try again later";
    case Status::over_quota:
      return "; release some first";
    case Status::not_held:
      return error.cause == EndCause::never ? "; check --client, --tag and --token against `dlm inspect`"
                                            : "";
    default:
      return "";
  }
}

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return text;
}

std::uint64_t ms_of(std::chrono::system_clock::time_point time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

}  // namespace

void NameOption::add_to(CLI::App& command) {
  auto* typed = command.add_option_function<std::string>(
      "NAME",
      [this](const std::string& text) {
        name_ = text;
        given_ = true;
      },
      "Name of the resource: 0 to 4096 bytes");
  auto* hex = command.add_option_function<std::string>(
      "--name-hex",
      [this](const std::string& text) {
        auto bytes = from_hex(text);
        if (!bytes)
          throw CLI::ValidationError("--name-hex", "'" + printable(text) + "' is not pairs of hex digits");
        name_ = *bytes;
        given_ = true;
      },
      "The name in hex digits instead, for bytes that can't be typed");
  hex->type_name("HEX");
  typed->excludes(hex);
}

const std::string& NameOption::checked() const {
  if (!given_) throw CLI::ValidationError("NAME", "is missing: say which resource, or give --name-hex");
  if (name_.size() > kResourceBytesMax) {
    throw CLI::ValidationError("NAME", "has " + std::to_string(name_.size()) + " bytes; the limit is " +
                                           std::to_string(kResourceBytesMax));
  }
  return name_;
}

CLI::Option* add_duration(CLI::App& command, const std::string& flags, std::uint32_t& target_ms,
                          const std::string& description, std::uint32_t min_ms, std::uint32_t max_ms) {
  std::string name = flags.substr(flags.rfind("--"));
  auto* option = command.add_option_function<std::string>(
      flags,
      [&target_ms, name, min_ms, max_ms](const std::string& text) {
        auto ms = parse_duration_ms(text);
        if (!ms) {
          throw CLI::ValidationError(
              name, "'" + printable(text) + "' is not a duration; write 250ms, 10s, 1m30s or 1h");
        }
        if (*ms < min_ms || *ms > max_ms) {
          throw CLI::ValidationError(name, "is " + format_duration_ms(*ms) + ", but must be from " +
                                               format_duration_ms(min_ms) + " to " +
                                               format_duration_ms(max_ms));
        }
        target_ms = static_cast<std::uint32_t>(*ms);
      },
      description);
  option->type_name("DURATION");
  return option;
}

Wait parse_wait(const std::string& text) {
  if (text == "forever") return std::nullopt;
  if (text == "none") return 0;
  auto ms = parse_duration_ms(text);
  if (!ms) {
    throw CLI::ValidationError(
        "--wait", "'" + printable(text) + "' is not a duration; write 5s, 1m30s, none or forever");
  }
  if (*ms >= kWaitForeverMs) throw CLI::ValidationError("--wait", "must be below 49 days; write forever");
  return static_cast<std::uint32_t>(*ms);
}

CLI::Option* add_wait(CLI::App& command, Wait& target, const std::string& description) {
  auto* option = command.add_option_function<std::string>(
      "--wait", [&target](const std::string& text) { target = parse_wait(text); }, description);
  option->type_name("DURATION|none|forever");
  return option;
}

std::string client_id_for_people() {
  std::array<char, 65> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  std::random_device random;
  std::array<char, 17> unique{};
  std::snprintf(unique.data(), unique.size(), "%08x%08x", random(), random());
  return std::string(host.data()) + "-" + std::to_string(getpid()) + "-" + unique.data();
}

std::unique_ptr<Client> connect(const Globals& globals, const ConnectOptions& options, int& exit_code) {
  ClientOptions client_options;
  client_options.routers = globals.routers;
  client_options.client_id = options.client_id.empty() ? client_id_for_people() : options.client_id;
  client_options.session_ttl = options.session_ttl;
  client_options.io_thread = options.io_thread;
  client_options.request_timeout = std::chrono::milliseconds(globals.request_timeout_ms);
  std::unique_ptr<Client> client;
  try {
    client = std::make_unique<Client>(std::move(client_options));
  } catch (const LockError& refused) {
    exit_code = fail(globals, refused.error());
    return nullptr;
  }

  // In slices, to hear of an interruption.
  constexpr std::uint32_t kSliceMs = 200;
  constexpr std::uint32_t kPatienceMs = 1'000;
  std::uint32_t waited_ms = 0;
  bool told = !wants_progress(globals);
  while (true) {
    std::uint32_t slice_ms = std::min(kSliceMs, globals.request_timeout_ms - waited_ms);
    auto connected = client->wait_connected(std::chrono::milliseconds(slice_ms));
    if (connected) return client;
    waited_ms += slice_ms;
    if (options.interrupted && options.interrupted()) return nullptr;
    if (waited_ms >= globals.request_timeout_ms || connected.status() != Status::unavailable) {
      exit_code = fail(globals, connected.error());
      return nullptr;
    }
    if (!told && waited_ms >= kPatienceMs) {
      told = true;
      note(one_line(connected.error().describe()) + "; trying for another " +
           format_duration_ms(globals.request_timeout_ms - waited_ms));
    }
  }
}

int fail(const Globals& globals, const Error& error) {
  ExitCode code = exit_code_of(error.status);
  if (!globals.json) {
    note(one_line(error.describe()) + std::string(advice(error)));
    return number_of(code);
  }
  JsonObject details;
  if (error.cause != EndCause::none) details["cause"] = cause_name(error.cause);
  if (error.group) details["group"] = to_string(error.group);
  if (!error.resource.empty()) put_name(details, "resource", error.resource);
  if (!error.holder.client_id.empty()) {
    JsonObject holder;
    put_name(holder, "client_id", error.holder.client_id);
    put_name(holder, "owner_tag", error.holder.owner_tag);
    if (error.holder.since != std::chrono::system_clock::time_point()) {
      holder["since_unix_ms"] = ms_of(error.holder.since);
    }
    details["holder"] = std::move(holder);
  }
  if (error.retry_after.count() != 0) details["retry_after_ms"] = error.retry_after.count();
  details["outcome_unknown"] = error.outcome_unknown;
  details["exit_code"] = number_of(code);
  std::string line = json_line(error_json(status_name(error.status), one_line(error.describe()), details));
  std::fwrite(line.data(), 1, line.size(), stderr);
  return number_of(code);
}

int fail(const Globals& globals, ExitCode code, std::string_view status, std::string_view message) {
  if (!globals.json) {
    note(message);
    return number_of(code);
  }
  JsonObject details{{"exit_code", number_of(code)}};
  std::string line = json_line(error_json(status, message, details));
  std::fwrite(line.data(), 1, line.size(), stderr);
  return number_of(code);
}

void warn(const Globals& globals, std::string_view message) {
  if (!globals.json) return note(message);
  JsonObject warning{{"message", printable(message)}};
  std::string line = json_line(JsonObject{{"warning", std::move(warning)}});
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void note(std::string_view text) {
  std::string line = "dlm: " + std::string(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

bool wants_progress(const Globals& globals) {
  return globals.verbose || (!globals.json && isatty(STDERR_FILENO) == 1);
}

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}
void print(const JsonObject& object) {
  print(json_line(object));
}

std::uint64_t unix_ms_now() {
  return ms_of(std::chrono::system_clock::now());
}

}  // namespace dlm::cli
