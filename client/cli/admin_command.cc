// `dlm admin`: what operators ask of a cluster.
#include "client/cli/cli.h"
#include "client/cli/json_output.h"
#include "client/cli/recovery.h"
#include "client/cli/text_output.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

int run_step_down(const Globals& globals, GroupId group) {
  int code = 0;
  auto client = connect(globals, ConnectOptions(), code);
  if (!client) return code;
  auto state = client->step_down(group);
  if (!state) return fail(globals, state.error());
  if (globals.json) {
    print(to_json(*state));
  } else {
    print(to_string(group) + ": " + printable(state->primary) + " is primary now, in epoch " +
          std::to_string(state->epoch.value) + "\n");
  }
  return number_of(ExitCode::ok);
}

GroupId checked_group(const std::string& name) {
  const GroupId group = parse_group(name);
  if (!group) throw CLI::ValidationError("group", "takes a group like g1, not '" + printable(name) + "'");
  return group;
}

void add_step_down(CLI::App& admin, const Globals& globals, Action& action) {
  auto* command = admin.add_subcommand(
      "step-down", "Have a group's primary give its place to an in-sync backup, as before maintenance");
  auto name = std::make_shared<std::string>();
  command->add_option("group", *name, "The group, like g1")->required()->type_name("GROUP");
  command->footer(
      "Locks stay as they are; operations pause for some milliseconds. Fails, and says why, when no backup "
      "is "
      "in sync.\nExample:\n  dlm admin step-down g1");
  command->callback([name, &globals, &action] {
    const GroupId group = checked_group(*name);
    action = [group, &globals] { return run_step_down(globals, group); };
  });
}

void add_recover(CLI::App& admin, const Globals& globals, Action& action) {
  auto* command = admin.add_subcommand(
      "recover", "Have a group begin anew whose in-sync members are gone for ever: LOSES ITS LOCKS");
  auto name = std::make_shared<std::string>();
  auto confirmed = std::make_shared<bool>(false);
  command->add_option("group", *name, "The group, like g1")->required()->type_name("GROUP");
  command->add_flag("--yes-lose-locks", *confirmed, "Don't ask for the group's name; for scripts");
  command->footer(
      "Tells what is known of the group and what each choice costs, then asks. Refuses while a member in "
      "sync lives.\nBefore you confirm, make sure that no process of the lost members runs any "
      "more.\nExample:\n  dlm admin recover g1");
  command->callback([name, confirmed, &globals, &action] {
    const RecoveryOptions options{checked_group(*name), *confirmed};
    action = [options, &globals] { return run_recovery(globals, options); };
  });
}

}  // namespace

void add_admin(CLI::App& app, const Globals& globals, Action& action) {
  auto* admin = app.add_subcommand("admin", "Commands for operators");
  admin->require_subcommand(1);
  admin->fallthrough();  // --json and the like may stand at the end; inherited by the commands
  add_step_down(*admin, globals, action);
  add_recover(*admin, globals, action);
}

}  // namespace dlm::cli
