#include "test/chaos/workload/worker.h"

#include <signal.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <stop_token>
#include <thread>
#include <utility>

#include "test/chaos/workload/actor.h"

namespace dlm::chaos {
namespace {

class Worker {
 public:
  explicit Worker(const WorkerOptions& options) : options_(options), journal_(options.journal) {}

  // Ends the process.
  [[noreturn]] void run(const sigset_t& end_signals) {
    for (unsigned number = 0; number < options_.clients; ++number) {
      start("c" + std::to_string(number),
            [](Recorder& recorder, std::uint64_t seed, const std::stop_token& stop) {
              Actor(recorder, seed).run(stop);
            });
    }
    start("observer", observe);
    for (const std::string& group : options_.groups) {
      const std::string name = options_.name + "/" + group;
      start("probe-" + group, [name, group](Recorder& recorder, std::uint64_t, const std::stop_token& stop) {
        probe(recorder, name, group, stop);
      });
    }
    int signal = 0;
    sigwait(&end_signals, &signal);
    stop_.request_stop();
    for (std::thread& thread : threads_) thread.join();
    // Clients in the graveyard may take a second each to close when nobody answers; nothing of theirs is to
    // be written down any more.
    std::_Exit(EXIT_SUCCESS);
  }

 private:
  using Role = std::function<void(Recorder&, std::uint64_t seed, const std::stop_token&)>;

  void start(const std::string& name, Role role) {
    RecorderOptions recorder;
    recorder.routers = options_.routers;
    recorder.name = options_.name + name;
    // Half of the clients know the other router first.
    if (threads_.size() % 2 == 1 && recorder.routers.size() > 1)
      std::swap(recorder.routers[0], recorder.routers[1]);
    const std::uint64_t seed = options_.seed * 1'000 + threads_.size();
    threads_.emplace_back([this, recorder = std::move(recorder), seed, role = std::move(role)] {
      Recorder calls(journal_, graveyard_, recorder, stop_.get_token());
      role(calls, seed, stop_.get_token());
    });
  }

  const WorkerOptions& options_;
  Journal journal_;
  Graveyard graveyard_;
  std::stop_source stop_;
  std::vector<std::thread> threads_;
};

}  // namespace

int run_worker(const WorkerOptions& options) {
  // Before any thread, so that none of them gets it.
  sigset_t end_signals;
  sigemptyset(&end_signals);
  sigaddset(&end_signals, SIGTERM);
  sigaddset(&end_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &end_signals, nullptr);
  try {
    Worker(options).run(end_signals);
  } catch (const std::exception& error) {
    std::cerr << "dlm-chaos worker: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}

}  // namespace dlm::chaos
