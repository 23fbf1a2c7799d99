#include "test/chaos/run/run.h"

#include <iostream>
#include <stdexcept>
#include <utility>

#include "test/chaos/run/injector.h"
#include "test/chaos/run/report.h"
#include "test/chaos/workload/journal.h"

namespace dlm::chaos {
namespace {

constexpr std::uint32_t kWarmUpMs = 1'500;
constexpr std::uint32_t kCalmMs = 4'000;

class Run {
 public:
  explicit Run(const RunOptions& options) : options_(options), faults_(make_schedule(options.schedule)) {}

  int go() {
    announce();
    History history;
    try {
      work(history);
    } catch (const std::runtime_error& error) {
      failures_.push_back(error.what());
    }
    return judge(std::move(history));
  }

 private:
  void announce() const {
    std::cout << "Seed " << options_.schedule.seed << ", " << faults_.size() << " faults:\n";
    for (const Fault& fault : faults_)
      std::cout << "  after " << fault.pause_ms << " ms: " << describe(fault) << "\n";
    std::cout << std::flush;
  }

  void work(History& history) {
    Cluster cluster(options_.cluster);
    cluster.up();
    std::cout << "The cluster is up; logs are in " << options_.cluster.folder << std::endl;
    cluster.start_workers();
    sleep_ms(kWarmUpMs);
    // What the workers have seen is wanted also when the cluster does not recover.
    try {
      inject(cluster, history);
      calm_.from_ns = now_ns();
      sleep_ms(kCalmMs);
    } catch (const std::runtime_error& error) {
      failures_.push_back(error.what());
    }
    cluster.finish_workers(history);
    calm_.to_ns = now_ns();
    note_casualties(cluster);
  }

  void inject(Cluster& cluster, History& history) {
    Injector injector(cluster);
    for (const Fault& fault : faults_) {
      sleep_ms(fault.pause_ms);
      std::cout << describe(fault) << ": " << std::flush;
      history.context.faults.push_back(injector.carry_out(fault));
      std::cout << history.context.faults.back().target << std::endl;
      note_casualties(cluster);
      if (!failures_.empty()) return;
    }
  }

  void note_casualties(Cluster& cluster) {
    for (std::string& casualty : cluster.casualties()) failures_.push_back(std::move(casualty));
  }

  int judge(History history) {
    if (!history.records.empty()) {
      write_history(options_.history, history);
      // As an outside checker would: from the file.
      history = read_history(options_.history);
      const Verdict verdict = check(history.records, history.context, options_.check);
      print_gaps(std::cout, history);
      print_verdict(std::cout, verdict);
      if (!verdict.good()) failures_.push_back("the history breaks the service's promises");
    }
    if (failures_.empty()) {
      std::vector<std::string> groups;
      for (std::uint32_t group = 0; group < options_.cluster.groups; ++group)
        groups.push_back(Cluster::group_name(group));
      failures_ = missing_service(history, groups, calm_);
    }
    for (const std::string& failure : failures_) std::cout << "FAILED: " << failure << "\n";
    std::cout << "Again: " << options_.replay << "\n";
    return failures_.empty() ? EXIT_SUCCESS : EXIT_FAILURE;
  }

  const RunOptions& options_;
  const std::vector<Fault> faults_;
  FaultWindow calm_;
  std::vector<std::string> failures_;
};

}  // namespace

int run_chaos(const RunOptions& options) {
  return Run(options).go();
}

int check_history(const std::string& path, const CheckOptions& options) {
  try {
    const History history = read_history(path);
    print_gaps(std::cout, history);
    const Verdict verdict = check(history.records, history.context, options);
    print_verdict(std::cout, verdict);
    return verdict.good() ? EXIT_SUCCESS : EXIT_FAILURE;
  } catch (const std::runtime_error& error) {
    std::cerr << "dlm-chaos: " << error.what() << "\n";
    return 2;
  }
}

}  // namespace dlm::chaos
