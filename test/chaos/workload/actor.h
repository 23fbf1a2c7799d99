// What the clients of a workload do: one class for each kind of client, each with a thread of its own.
#pragma once

#include <cstdint>
#include <random>
#include <stop_token>
#include <string>

#include "test/chaos/workload/recorder.h"

namespace dlm::chaos {

// Names that are hot now. They rotate by the common clock, so that all clients turn to fresh ones together.
class ResourceNames {
 public:
  std::string hot(std::uint64_t pick) const;
  std::string cold(std::uint64_t pick) const;
  std::string shared(std::uint64_t pick) const;
};

// Operations of every kind, at random.
class Actor {
 public:
  Actor(Recorder& recorder, std::uint64_t seed) : recorder_(recorder), random_(seed) {}
  void run(const std::stop_token& stop);

 private:
  void step();
  void acquire_something();
  void acquire_again();
  AcquireOptions random_options();
  void end_one();
  void pause();
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  Recorder& recorder_;
  std::mt19937_64 random_;
};

// Looks at hot names and does nothing else.
void observe(Recorder& recorder, std::uint64_t seed, const std::stop_token& stop);

// Takes and gives back a lock of `group` that nobody else wants: shows when the group serves.
void probe(Recorder& recorder, const std::string& name, const std::string& group,
           const std::stop_token& stop);

}  // namespace dlm::chaos
