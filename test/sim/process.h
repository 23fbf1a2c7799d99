// A process on a host of its own: its lives, its clock, and what is waiting for it while it stands still.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "test/sim/world.h"

namespace dlm::sim {

using NodeId = std::uint32_t;
using LocalMs = std::uint64_t;  // of one process's clock
class Endpoint;

// A host's clock, as a process reads it: up to 1% faster or slower than true time. CLOCK_BOOTTIME counts the
// time that the machine sleeps, CLOCK_MONOTONIC does not.
class Clock {
 public:
  enum class Kind { monotonic, boottime };
  Clock(Kind kind, std::int64_t drift_ppm, LocalMs start_ms)
      : kind_(kind), rate_ppm_(static_cast<std::uint64_t>(1'000'000 + drift_ppm)), base_us_(start_ms * kMs) {}

  LocalMs read_ms(TimeUs now) const { return read_us(now) / kMs; }
  // The first true time at which it shows `at`, if it is not stopped meanwhile.
  TimeUs when(LocalMs at, TimeUs now) const;
  void sleep(TimeUs now);
  void wake(TimeUs now);

 private:
  TimeUs read_us(TimeUs now) const {
    return stopped_ ? base_us_ : base_us_ + (now - since_) * rate_ppm_ / 1'000'000;
  }

  Kind kind_;
  std::uint64_t rate_ppm_;
  TimeUs base_us_;  // what it showed at `since_`
  TimeUs since_ = 0;
  bool stopped_ = false;
};

class Process {
 public:
  Process(World& world, std::string name, const Clock& clock)
      : world_(world), name_(std::move(name)), clock_(clock) {}
  virtual ~Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Starts a life with nothing in memory. REQUIRES: !alive().
  void start();
  // The process is gone, and all it knew. Its connections are the network's to close.
  void crash();
  // Nothing runs until thaw(); whatever comes waits. `asleep`: the whole machine, its monotonic clock too.
  void freeze(bool asleep);
  void thaw();

  bool alive() const { return alive_; }
  bool frozen() const { return frozen_; }
  bool running() const { return alive_ && !frozen_; }
  std::uint64_t life() const { return life_; }
  const std::string& name() const { return name_; }
  NodeId node() const { return node_; }
  void set_node(NodeId node) { node_ = node; }
  World& world() { return world_; }

  LocalMs clock_ms() const { return clock_.read_ms(world_.now()); }
  // Runs a task in this life: later, and not while it stands still.
  void post(TimeUs delay, Task task);
  // The same, when its clock shows `at`; perhaps earlier, after its clock was stopped: look again.
  void post_at_clock(LocalMs at, Task task);
  // Runs it now; when the process stands still, as soon as it goes on; never in another life.
  void enter(std::uint64_t life, Task task);
  void hold(Task task) { held_.push_back(std::move(task)); }  // REQUIRES: frozen()

  // What takes connections; null: nobody listens.
  virtual Endpoint* acceptor() { return nullptr; }

 protected:
  virtual void begin_life() = 0;
  virtual void end_life() = 0;
  virtual void woken() {}  // after what was waiting has been taken

  World& world_;

 private:
  std::string name_;
  NodeId node_ = 0;
  Clock clock_;
  bool alive_ = false;
  bool frozen_ = false;
  std::uint64_t life_ = 0;
  std::vector<Task> held_;
};

}  // namespace dlm::sim
