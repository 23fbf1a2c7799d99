#include "client/cli/ring_change.h"

#include <algorithm>
#include <cstdio>

#include "client/cli/json_output.h"
#include "client/cli/ring_follow.h"
#include "client/cli/ring_progress.h"
#include "client/cli/ring_text.h"
#include "client/cli/text_output.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

using std::chrono::milliseconds;
using Kind = RingChange::Kind;

bool changes_groups(Kind kind) {
  return kind == Kind::add || kind == Kind::remove || kind == Kind::weight;
}

// One attempt of one operator, from the ring as it is to the ring as it is to be.
class Attempt {
 public:
  Attempt(const Globals& globals, const RingChangeOptions& options) : globals_(globals), options_(options) {}
  int run();

 private:
  const RingChange& change() const { return options_.change; }
  std::optional<int> read_ring();
  std::optional<int> make_change();
  std::optional<int> find_out(const Error& error);
  int wait();
  int tell_settled();
  int tell_removed();
  std::string still_owned();
  void tell_begun() const;
  void tell_ring(std::string_view text) const;
  int interrupted(std::string_view what) const;
  int failed(std::string_view what) const;

  const Globals& globals_;
  RingChangeOptions options_;
  StopSignals signals_;  // before the client's threads
  std::unique_ptr<Client> client_;
  RingReport before_;
  RingReport ring_;  // as it is known to be now; with dry_run as it would be
};

int Attempt::run() {
  int code = 0;
  ConnectOptions connecting;
  connecting.interrupted = [this] { return signals_.received() != 0; };
  client_ = connect(globals_, connecting, code);
  if (!client_) return signals_.received() != 0 ? interrupted("nothing was done") : code;
  if (auto ended = read_ring()) return *ended;
  if (auto ended = make_change()) return *ended;
  if (change().dry_run) {
    tell_ring(plan_text(ring_, change()));
    return number_of(ExitCode::ok);
  }
  if (changes_groups(change().kind) && options_.waits) return wait();
  tell_begun();
  return number_of(ExitCode::ok);
}

std::optional<int> Attempt::read_ring() {
  auto told = ask_ring(*client_, signals_);
  if (!told) return interrupted("nothing was done");
  if (!*told) return fail(globals_, told->error());
  before_ = std::move(**told);
  if (before_.version == 0) return failed("there is no ring yet: no server has begun one");
  options_.change.expected_version = before_.version;
  return std::nullopt;
}

std::optional<int> Attempt::make_change() {
  auto made =
      ask<RingReport>(signals_, [&](auto done) { client_->start_change_ring(change(), std::move(done)); });
  if (!made) return interrupted("it is not known whether the change was made; `dlm ring show` tells");
  if (!*made && made->error().outcome_unknown) return find_out(made->error());
  if (!*made) return fail(globals_, made->error());
  ring_ = std::move(**made);
  return std::nullopt;
}

// The way to the router was lost while it made the change, or the router's to the coordinator. The version
// tells: nobody else can have changed the ring from this one.
std::optional<int> Attempt::find_out(const Error& error) {
  if (wants_progress(globals_)) note(error.describe() + "; reading the ring");
  constexpr milliseconds kOnItsWay(1'000);
  for (int tries = 0; tries < 2; ++tries) {
    if (tries > 0 && !pass_time(signals_, kOnItsWay)) break;
    auto told = ask_ring(*client_, signals_);
    if (!told) break;
    if (!*told) return fail(globals_, told->error());
    ring_ = std::move(**told);
    if (ring_.version > before_.version) break;
  }
  if (signals_.received() != 0)
    return interrupted("it is not known whether the change was made; `dlm ring show` tells");
  std::string version = std::to_string(ring_.version);
  if (ring_.version <= before_.version) {
    return failed("the change was not made (" + printable(error.message) + "): the ring still has version " +
                  version + "; give the command again");
  }
  if (reflects(ring_, change(), before_)) return std::nullopt;
  return failed("the change was not made: another was, the ring has version " + version +
                " now; see `dlm ring show`");
}

int Attempt::wait() {
  Followed followed = follow(globals_, *client_, signals_, std::move(ring_), &options_.change);
  ring_ = std::move(followed.ring);
  switch (followed.end) {
    case Followed::End::settled:
      return change().kind == Kind::remove ? tell_removed() : tell_settled();
    case Followed::End::undone:
      return fail(globals_, ExitCode::contended, "undone",
                  "the change was taken back or replaced: the ring has version " +
                      std::to_string(ring_.version) + " now; see `dlm ring show`");
    case Followed::End::interrupted:
      return interrupted(
          "the change goes on without this command: `dlm ring watch` follows it, "
          "`dlm ring abort` takes it back");
    case Followed::End::failed:
      break;
  }
  return failed("can't follow the change, which goes on (" + printable(followed.error->describe()) +
                "); `dlm ring watch` follows it");
}

int Attempt::tell_settled() {
  std::string text = "done: ring version " + std::to_string(ring_.version);
  for (const RingReport::Group& group : ring_.groups) {
    if (group.state.group != change().group) continue;
    text += ", " + to_string(change().group) + " owns " + percent(group.state.share_owned) + " of the names";
  }
  tell_ring(text + "; the fullest group has " + decimal(balance(ring_, false), 3) + " times its due\n");
  return number_of(ExitCode::ok);
}

// Only who owns nothing may be stopped, and that only its primary can say.
int Attempt::tell_removed() {
  std::string group = to_string(change().group);
  std::string why;
  constexpr int kTries = 10;
  for (int tries = 0; tries < kTries; ++tries) {
    why = still_owned();
    if (why.empty()) {
      tell_ring("done: " + group + " has left the ring (version " + std::to_string(ring_.version) +
                ") and owns nothing now; its servers may be stopped\n");
      return number_of(ExitCode::ok);
    }
    if (!pass_time(signals_, milliseconds(300))) break;
  }
  return failed(group + " has left the ring (version " + std::to_string(ring_.version) + "), but " + why +
                ": don't stop its servers before `dlm status` shows it without arcs");
}

// Why the group can't be said to own nothing; empty: it owns nothing.
std::string Attempt::still_owned() {
  auto told = ask<ClusterReport>(signals_, [&](auto done) { client_->start_status(std::move(done)); });
  if (!told) return "it was not waited for its word that it owns nothing";
  if (!*told) return "nobody tells whether it owns nothing (" + printable(told->error().describe()) + ")";
  for (const GroupReport& group : (*told)->groups) {
    if (group.group != change().group) continue;
    if (!group.problem.empty())
      return "it can't be asked whether it owns nothing (" + printable(group.problem) + ")";
    if (group.arcs != 0) return "it still owns " + std::to_string(group.arcs) + " arcs";
  }
  return "";
}

void Attempt::tell_begun() const {
  std::string text;
  switch (change().kind) {
    case Kind::pause:
      text = "paused: arcs under way arrive, no more begin; `dlm ring resume` goes on";
      break;
    case Kind::resume:
      text = "goes on; `dlm ring watch` follows it";
      break;
    case Kind::abort:
      text = "taken back: what has moved goes back; `dlm ring watch` follows it";
      break;
    case Kind::rate:
      text = "from now on: " + change_text(change());
      break;
    default:
      text = "begun: " + change_text(change()) + "; `dlm ring watch` follows it";
      if (change().kind == Kind::remove) text += ". Its servers must run until it owns nothing";
  }
  tell_ring(text + "\n");
}

void Attempt::tell_ring(std::string_view text) const {
  if (!globals_.json) return print(text);
  JsonObject ring = to_json(ring_);
  if (change().dry_run) ring["plan"] = plan_json(ring_);
  print(ring);
}

int Attempt::interrupted(std::string_view what) const {
  return fail(globals_, static_cast<ExitCode>(exit_code_of_signal(signals_.received())), "interrupted", what);
}

int Attempt::failed(std::string_view what) const {
  return fail(globals_, ExitCode::unavailable, status_name(Status::unavailable), what);
}

}  // namespace

int run_ring_change(const Globals& globals, const RingChangeOptions& options) {
  return Attempt(globals, options).run();
}

}  // namespace dlm::cli
