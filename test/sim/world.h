// What everything in a simulation shares: virtual time and its events, chance, the transcript, and the way in
// which a broken promise ends the run. One thread; a simulation owns one World.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "test/sim/random.h"

namespace dlm::sim {

using TimeUs = std::uint64_t;  // true virtual time, which no process sees; see clock.h
using Task = std::function<void()>;

inline constexpr TimeUs kMs = 1'000;
inline constexpr TimeUs kSecond = 1'000'000;

// A promise of the design was broken. Ends the run.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Everything that happens, as one running hash; as text, too, when somebody wants to read it.
class Trace {
 public:
  bool wanted() const { return print_; }
  void print(bool wanted) { print_ = wanted; }

  void mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3U + (hash_ >> 29); }
  void mix(const std::string& text) {
    for (char c : text) mix(static_cast<unsigned char>(c));
  }
  std::uint64_t hash() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325U;
  bool print_ = false;
};

class World {
 public:
  explicit World(std::uint64_t seed) : random(seed) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  TimeUs now() const { return now_; }
  // Tasks of one time run in the order in which they were given.
  void at(TimeUs when, Task task);
  void after(TimeUs delay, Task task) { at(now_ + delay, std::move(task)); }
  // Runs the next event; false: there is none.
  bool step();
  std::uint64_t steps() const { return steps_; }

  // A line of the transcript. Build the text only when trace.wanted().
  void tell(const std::string& who, const std::string& what) const;
  // Something rare that a reader of the transcript looks for; part of the hash.
  void note(const std::string& who, const std::string& what);
  [[noreturn]] void violated(const std::string& what) const;

  Random random;
  Trace trace;

 private:
  struct Event {
    TimeUs when;
    std::uint64_t number;
    std::size_t task;  // its place among tasks_
  };
  static bool later(const Event& a, const Event& b) {
    return a.when != b.when ? a.when > b.when : a.number > b.number;
  }

  TimeUs now_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t steps_ = 0;
  std::vector<Event> heap_;
  std::vector<Task> tasks_;
  std::vector<std::size_t> free_;  // places among tasks_
};

}  // namespace dlm::sim
