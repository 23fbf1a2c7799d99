#include "client/cli/recovery.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "client/cli/json_output.h"
#include "client/cli/recovery_text.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

constexpr std::string_view kNothingDone = "nothing was done";

int refused(const Globals& globals, std::string_view why) {
  return fail(globals, ExitCode::usage, status_name(Status::invalid_argument), why);
}

// Whether the operator typed the name of the group.
bool confirms(GroupId group) {
  const std::string name = to_string(group);
  print("\nTo begin anew, type the name of the group (" + name + "): ");
  std::fflush(stdout);
  std::string typed;
  std::getline(std::cin, typed);
  return typed == name;
}

// The answer was lost. What the record says now is all there is to tell: another operator, or servers that
// came back, may have had the group begin anew as well.
int find_out(const Globals& globals, Client& client, const RecoveryReport& before, const Error& error) {
  auto now = client.recover_group(before.group);
  if (!now || now->version == before.version) {
    return fail(globals, ExitCode::unavailable, status_name(error.status),
                printable(error.message) + ": it is not known whether " + to_string(before.group) +
                    " begins anew; `dlm status` tells, and giving the command again does no harm");
  }
  return refused(globals, printable(error.message) + "; the record of " + to_string(before.group) +
                              " has version " + std::to_string(now->version) + ", epoch " +
                              std::to_string(now->epoch.value) + ", era " + std::to_string(now->era) +
                              " by now; see `dlm status`");
}

}  // namespace

int run_recovery(const Globals& globals, const RecoveryOptions& options) {
  int code = 0;
  auto client = connect(globals, ConnectOptions(), code);
  if (!client) return code;
  auto known = client->recover_group(options.group);
  if (!known) return fail(globals, known.error());
  if (globals.json && (!known->refusal.empty() || !options.confirmed)) print(to_json(*known));
  if (!globals.json) print(recovery_text(*known));
  if (!known->refusal.empty()) return refused(globals, known->refusal + "; " + std::string(kNothingDone));
  if (!options.confirmed) {
    if (globals.json || isatty(STDIN_FILENO) != 1) {
      return refused(globals,
                     "this loses locks and asks for the group's name at a terminal; scripts give "
                     "--yes-lose-locks; " +
                         std::string(kNothingDone));
    }
    if (!confirms(options.group))
      return refused(globals, "that is not the name; " + std::string(kNothingDone));
  }
  auto begun = client->recover_group(options.group, known->version);
  if (!begun && begun.error().outcome_unknown) return find_out(globals, *client, *known, begun.error());
  if (!begun) return fail(globals, begun.error());
  if (globals.json) {
    print(to_json(*begun));
  } else {
    print("\n" + recovered_text(*begun));
  }
  return number_of(ExitCode::ok);
}

}  // namespace dlm::cli
