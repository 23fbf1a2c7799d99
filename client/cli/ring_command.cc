// `dlm ring`: who owns what, and how that is changed while locks stay in place.
#include "client/cli/cli.h"
#include "client/cli/json_output.h"
#include "client/cli/ring_arguments.h"
#include "client/cli/ring_change.h"
#include "client/cli/ring_follow.h"
#include "client/cli/ring_text.h"

namespace dlm::cli {
namespace {

using Kind = RingChange::Kind;

int run_show(const Globals& globals) {
  int code = 0;
  auto client = connect(globals, ConnectOptions(), code);
  if (!client) return code;
  auto ring = client->ring();
  if (!ring) return fail(globals, ring.error());
  if (globals.json) {
    print(to_json(*ring));
  } else {
    print(ring_text(*ring));
  }
  return number_of(ExitCode::ok);
}

int run_locate(const Globals& globals, const NameOption& name) {
  int code = 0;
  auto client = connect(globals, ConnectOptions(), code);
  if (!client) return code;
  auto place = client->locate(name.checked());
  if (!place) return fail(globals, place.error());
  if (globals.json) {
    print(to_json(*place));
  } else {
    print(place_text(*place));
  }
  return number_of(ExitCode::ok);
}

// One line. A rate needs two reports: the second is asked for when something moves.
int run_status(const Globals& globals) {
  constexpr std::chrono::milliseconds kBetween(1'000);
  StopSignals signals;
  int code = 0;
  auto client = connect(globals, ConnectOptions(), code);
  if (!client) return code;
  ProgressTracker tracker;
  auto ring = client->ring();
  if (!ring) return fail(globals, ring.error());
  RingProgress progress = tracker.take(*ring, 0);
  if (ring->changing && pass_time(signals, kBetween)) {
    if (auto later = client->ring()) progress = tracker.take(*later, kBetween.count());
  }
  if (globals.json) {
    print(to_json(progress));
  } else {
    print(progress_text(progress) + "\n");
  }
  return number_of(ExitCode::ok);
}

int run_watch(const Globals& globals) {
  StopSignals signals;
  int code = 0;
  ConnectOptions connecting;
  connecting.interrupted = [&] { return signals.received() != 0; };
  auto client = connect(globals, connecting, code);
  if (!client) return signals.received() != 0 ? exit_code_of_signal(signals.received()) : code;
  auto ring = ask_ring(*client, signals);
  if (!ring) return exit_code_of_signal(signals.received());
  if (!*ring) return fail(globals, ring->error());
  Followed followed = follow(globals, *client, signals, std::move(**ring), nullptr);
  if (followed.end == Followed::End::interrupted) return exit_code_of_signal(signals.received());
  if (followed.end == Followed::End::failed) return fail(globals, *followed.error);
  if (globals.json) {
    print(to_json(followed.ring));
  } else {
    print(progress_text(ProgressTracker().take(followed.ring, 0)) + "\n");
  }
  return number_of(ExitCode::ok);
}

// --- what is typed

void add_rate(CLI::App& command, const std::string& flags, std::uint32_t& target) {
  command
      .add_option_function<std::string>(
          flags, [&target](const std::string& text) { target = parse_rate(text); },
          "Locks that each group may give away in a second, like 50000/s; none: no limit, the default")
      ->type_name("RATE");
}

// A change of the ring itself; `words` after GROUP are added by the caller.
std::shared_ptr<RingChangeOptions> add_group_change(CLI::App& command, Kind kind, const Globals& globals,
                                                    Action& action) {
  auto options = std::make_shared<RingChangeOptions>();
  options->change.kind = kind;
  command
      .add_option_function<std::string>(
          "GROUP", [options](const std::string& text) { options->change.group = parse_group_argument(text); },
          "The group, like g3")
      ->required()
      ->type_name("");
  command.add_flag("--dry-run", options->change.dry_run,
                   "Only tell what would move, and how even the ring would be");
  add_rate(command, "--max-rate", options->change.locks_per_s_max);
  command.add_flag(
      "--no-wait", [options](std::int64_t) { options->waits = false; },
      "Begin it, and leave it to the servers");
  command.callback([options, &globals, &action] {
    action = [options, &globals] { return run_ring_change(globals, *options); };
  });
  return options;
}

constexpr const char* kChangeFooter =
    "Arc by arc the locks move, held and waited for, without a client noticing more than a pause of "
    "milliseconds. Ctrl-C leaves the change going on. With --json progress is {\"progress\":{...}} on a line "
    "each, and the last line the ring as `dlm ring show --json` has it (with --dry-run as it would be, and a "
    "\"plan\").\nExamples:\n";

void add_group_changes(CLI::App& ring, const Globals& globals, Action& action) {
  auto* add = ring.add_subcommand("add", "Have a group join; its servers must run already");
  auto added = add_group_change(*add, Kind::add, globals, action);
  add->add_option_function<std::string>(
         "--weight", [added](const std::string& text) { added->change.weight = parse_weight(text); },
         "Its part of the ring beside the others'; default 1")
      ->type_name("WEIGHT");
  add->footer(std::string(kChangeFooter) +
              "  dlm ring add g3 --dry-run\n  dlm ring add g3 --max-rate 50000/s");

  auto* remove = ring.add_subcommand("remove", "Have a group give all that it owns to the others");
  add_group_change(*remove, Kind::remove, globals, action);
  remove->footer(std::string(kChangeFooter) + "  dlm ring remove g2");

  auto* weight = ring.add_subcommand("weight", "Give a group another weight");
  auto weighted = add_group_change(*weight, Kind::weight, globals, action);
  weight
      ->add_option_function<std::string>(
          "WEIGHT", [weighted](const std::string& text) { weighted->change.weight = parse_weight(text); },
          "Its part of the ring beside the others'")
      ->required()
      ->type_name("");
  weight->footer(std::string(kChangeFooter) + "  dlm ring weight g1 2.0");
}

std::shared_ptr<RingChangeOptions> add_control(CLI::App& command, Kind kind, const Globals& globals,
                                               Action& action) {
  auto options = std::make_shared<RingChangeOptions>();
  options->change.kind = kind;
  command.callback([options, &globals, &action] {
    action = [options, &globals] { return run_ring_change(globals, *options); };
  });
  return options;
}

void add_controls(CLI::App& ring, const Globals& globals, Action& action) {
  add_control(*ring.add_subcommand("pause", "Let no more arcs begin to move"), Kind::pause, globals, action);
  add_control(*ring.add_subcommand("resume", "Go on with a change that was paused"), Kind::resume, globals,
              action);
  add_control(*ring.add_subcommand("abort", "Take the change under way back: what has moved goes back"),
              Kind::abort, globals, action);
  auto* rate = ring.add_subcommand("rate", "Limit how many locks each group may give away in a second");
  auto limited = add_control(*rate, Kind::rate, globals, action);
  rate->add_option_function<std::string>(
          "RATE", [limited](const std::string& text) { limited->change.locks_per_s_max = parse_rate(text); },
          "Like 50000/s; 0 or none: no limit")
      ->required()
      ->type_name("");
}

void add_reads(CLI::App& ring, const Globals& globals, Action& action) {
  auto* show = ring.add_subcommand("show", "The groups, their shares of names and locks, and what moves");
  show->callback([&globals, &action] { action = [&globals] { return run_show(globals); }; });
  auto* locate = ring.add_subcommand("locate", "Which group has a name");
  auto name = std::make_shared<NameOption>();
  name->add_to(*locate);
  locate->callback([name, &globals, &action] {
    (void)name->checked();
    action = [name, &globals] { return run_locate(globals, *name); };
  });
  auto* status = ring.add_subcommand("status", "One line: how far the change is, and how fast");
  status->callback([&globals, &action] { action = [&globals] { return run_status(globals); }; });
  auto* watch = ring.add_subcommand("watch", "The same, again and again until it is through");
  watch->callback([&globals, &action] { action = [&globals] { return run_watch(globals); }; });
}

}  // namespace

void add_ring(CLI::App& app, const Globals& globals, Action& action) {
  auto* ring = app.add_subcommand("ring", "Show and change which group has which locks");
  ring->require_subcommand(1);
  ring->fallthrough();  // inherited by what follows: --json and all may stand behind
  // Inherited by those that have none of their own.
  ring->footer(
      "Examples:\n"
      "  dlm ring show\n"
      "  dlm ring locate orders/42\n"
      "  dlm ring add g3 --dry-run\n"
      "  dlm ring add g3 --max-rate 50000/s\n"
      "  dlm ring remove g2 --no-wait && dlm ring watch\n"
      "  dlm ring pause, resume, abort, rate 20000/s");
  add_reads(*ring, globals, action);
  add_group_changes(*ring, globals, action);
  add_controls(*ring, globals, action);
}

}  // namespace dlm::cli
