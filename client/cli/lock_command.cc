// `dlm lock`: runs a command while holding a lock.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <system_error>

#include "client/cli/cli.h"
#include "client/cli/supervisor.h"
#include "client/cli/text_output.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

using std::chrono::milliseconds;

struct LockOptions {
  NameOption name;
  std::string client_id;
  Wait wait = std::nullopt;
  std::uint32_t ttl_ms = kSessionTtlMsDefault;
  std::uint32_t grace_ms = 1'000;
  bool shared = false;
};

// Signals before there is a command to pass them on to.
class WaitSignals {
 public:
  explicit WaitSignals(int signal_fd) : signal_fd_(signal_fd) {}

  int fd() const { return signal_fd_; }
  int received() const { return received_; }

  // Whether dlm shall end. A second signal ends the process at once.
  bool interrupted() {
    signalfd_siginfo info{};
    while (read(signal_fd_, &info, sizeof info) == sizeof info) {
      auto signal = static_cast<int>(info.ssi_signo);
      if (signal == SIGTSTP) raise(SIGSTOP);
      if (signal != SIGINT && signal != SIGTERM && signal != SIGHUP && signal != SIGQUIT) continue;
      if (received_ != 0) _exit(exit_code_of_signal(signal));
      received_ = signal;
    }
    return received_ != 0;
  }

 private:
  int signal_fd_;
  int received_ = 0;
};

// The acquire, started without blocking, so that signals are heard meanwhile.
class PendingLock {
 public:
  PendingLock() : done_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!done_fd_.valid()) throw std::system_error(errno, std::generic_category(), "eventfd");
  }

  // The callback shares `self`: it may come after everybody else has left.
  static void start(const std::shared_ptr<PendingLock>& self, Client& client, const std::string& name,
                    AcquireOptions options) {
    options.stop = self->stop_.get_token();
    client.start_acquire(name, std::move(options), [self](Result<Lock> result) {
      self->result_.emplace(std::move(result));
      std::uint64_t one = 1;
      if (write(self->done_fd_.get(), &one, sizeof one) < 0) return;
    });
  }

  // Returns when it is done. A signal withdraws the wait.
  Result<Lock> wait(WaitSignals& signals) {
    std::array<pollfd, 2> sources = {{{done_fd_.get(), POLLIN, 0}, {signals.fd(), POLLIN, 0}}};
    std::uint64_t done = 0;
    while (read(done_fd_.get(), &done, sizeof done) != sizeof done) {
      poll(sources.data(), sources.size(), -1);
      if (signals.interrupted()) stop_.request_stop();
    }
    return std::move(*result_);
  }

 private:
  FileDescriptor done_fd_;  // readable once result_ is there
  std::optional<Result<Lock>> result_;
  std::stop_source stop_;
};

std::vector<std::string> environment_for(const Lock& lock) {
  std::string shown_name = printable(lock.resource());
  std::vector<std::string> set = {"DLM_TOKEN=" + std::to_string(lock.token().value),
                                  "DLM_RESOURCE=" + shown_name};
  if (shown_name != lock.resource()) {
    set.push_back("DLM_RESOURCE_HEX=" + to_hex(lock.resource()));
    return environment_with(set, {});
  }
  return environment_with(set, {"DLM_RESOURCE_HEX"});
}

int exit_code_of_command(int wait_status) {
  return WIFSIGNALED(wait_status) ? exit_code_of_signal(WTERMSIG(wait_status)) : WEXITSTATUS(wait_status);
}

int cannot_start(const Globals& globals, const std::string& program, const ChildStart& start) {
  std::string why = std::generic_category().message(start.error);
  if (start.no_process)
    return fail(globals, ExitCode::system, "system", "can't start another process: " + why);
  bool missing = start.error == ENOENT;
  return fail(globals, missing ? ExitCode::not_found : ExitCode::cannot_run,
              missing ? "not_found" : "cannot_run",
              "can't run " + shown(program) + ": " + why + "; check its path and permissions");
}

// Runs the command under the lock, then gives the lock back.
int run_under(const Globals& globals, const std::vector<std::string>& command, const LockOptions& options,
              Lock lock, Supervisor& supervisor, const ProcessContext& context) {
  if (globals.verbose) {
    note("acquired " + shown(lock.resource()) + ", token " + std::to_string(lock.token().value) + ", group " +
         to_string(lock.group()));
  }
  ChildStart start = start_child(command, environment_for(lock), context);
  if (start.pid < 0) {
    if (auto released = lock.release(); !released) warn(globals, released.error().describe());
    return cannot_start(globals, command.front(), start);
  }
  Outcome outcome = supervisor.run(start.pid, lock);
  if (outcome.lost) {
    return fail(globals, ExitCode::lost, "lost",
                "the lock on " + shown(options.name.checked()) + " was lost while the command ran (" +
                    outcome.lost_reason + "); the command was stopped");
  }
  // It was held to the end of the command; what happens now can't spoil that.
  auto released = lock.release();
  if (!released) {
    warn(globals, released.error().describe() +
                      "; the command had ended before, and the lock ends with its lease, " +
                      format_duration_ms(options.ttl_ms));
  } else if (globals.verbose) {
    note("released " + shown(options.name.checked()));
  }
  return exit_code_of_command(outcome.wait_status);
}

int run_lock(const Globals& globals, const std::vector<std::string>& command, const LockOptions& options) {
  ProcessContext context = ProcessContext::of_this_process();
  KillTimes times = KillTimes::of(milliseconds(options.ttl_ms), milliseconds(options.grace_ms));
  signal(SIGCHLD, SIG_DFL);  // a parent that ignores it would make ours vanish unseen
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals = supervised_signals();
  sigaddset(&signals, SIGTTOU);  // for the terminal; never read
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signals = supervised_signals();
  FileDescriptor signal_fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signal_fd.valid()) throw std::system_error(errno, std::generic_category(), "signalfd");
  Guardian guardian(times.grace);  // before the client's thread
  Supervisor supervisor(signal_fd.get(), guardian, times, milliseconds(options.ttl_ms),
                        [&](const std::string& text) { warn(globals, text); });

  const std::string& name = options.name.checked();
  WaitSignals wait_signals(signal_fd.get());
  auto give_up = [&] {
    auto as_signal = static_cast<ExitCode>(exit_code_of_signal(wait_signals.received()));
    return fail(globals, as_signal, status_name(Status::cancelled),
                "interrupted while waiting for " + shown(name) + "; the command was not run");
  };
  int code = 0;
  auto client = connect(globals,
                        {.client_id = options.client_id,
                         .session_ttl = milliseconds(options.ttl_ms),
                         .interrupted = [&] { return wait_signals.interrupted(); }},
                        code);
  if (!client) return wait_signals.received() != 0 ? give_up() : code;

  AcquireOptions wanted;
  wanted.mode = options.shared ? LockMode::shared : LockMode::exclusive;
  if (options.wait) wanted.wait = milliseconds(*options.wait);
  if (wants_progress(globals)) {
    wanted.on_queued = [name](const QueuedInfo& queued) { note(waiting_text(name, queued, unix_ms_now())); };
  }
  auto pending = std::make_shared<PendingLock>();
  PendingLock::start(pending, *client, name, std::move(wanted));
  auto lock = pending->wait(wait_signals);
  if (wait_signals.received() != 0) return give_up();
  if (!lock) return fail(globals, lock.error());
  return run_under(globals, command, options, std::move(*lock), supervisor, context);
}

}  // namespace

void add_lock(CLI::App& app, const Globals& globals, const std::vector<std::string>& command_words,
              Action& action) {
  auto* command = app.add_subcommand(
      "lock", "Run a command while holding a lock:  dlm lock NAME [OPTIONS] -- COMMAND...");
  auto options = std::make_shared<LockOptions>();
  options->name.add_to(*command);
  add_wait(*command, options->wait, "How long to wait in line if others hold it; default: forever");
  command->add_flag("--shared", options->shared, "Share it with other shared holders");
  add_duration(*command, "--ttl", options->ttl_ms,
               "How long the lock outlives a dlm that was killed or cut off; default 10s", kLeaseMsMinDefault,
               kWaitForeverMs - 1);
  add_duration(*command, "--kill-grace", options->grace_ms,
               "Time between SIGTERM and SIGKILL when the lock is lost; default 1s; cut to what a third of "
               "the TTL has room for",
               0, kWaitForeverMs - 1);
  command
      ->add_option("--client", options->client_id, "Client id; default: host, process id and random digits")
      ->type_name("ID");
  command->footer(
      "The command finds DLM_TOKEN, the fencing token, and DLM_RESOURCE in its environment; for a name that "
      "is not\n"
      "printable, DLM_RESOURCE is its escaped form, and DLM_RESOURCE_HEX has its bytes.\n"
      "\n"
      "SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the command, which runs in a "
      "process\n"
      "group of its own. dlm then releases the lock and ends with the command's code, 128 + N if signal N "
      "ended it.\n"
      "\n"
      "Is the lock about to be lost (nothing was heard of the service for most of the TTL), the command's "
      "group gets\n"
      "SIGTERM, and SIGKILL after the grace, before anybody else can get the lock; the code is 79 then. A "
      "guardian\n"
      "process does this also when dlm itself is killed or stopped.\n"
      "\n"
      "Examples:\n"
      "  dlm lock orders/42 --wait 5s -- ./settle.sh\n"
      "  dlm lock reports --shared -- sh -c 'cat report; echo token $DLM_TOKEN'");
  command->callback([options, &globals, &command_words, &action] {
    (void)options->name.checked();
    if (command_words.empty()) {
      throw CLI::ValidationError("COMMAND", "is missing: dlm lock NAME -- COMMAND ARGUMENTS...");
    }
    action = [options, &globals, &command_words] { return run_lock(globals, command_words, *options); };
  });
}

}  // namespace dlm::cli
