#include "test/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace dlm::sim {

void World::at(TimeUs when, Task task) {
  heap_.push_back({std::max(when, now_), ++events_, std::move(task)});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

bool World::step() {
  if (heap_.empty()) return false;
  std::pop_heap(heap_.begin(), heap_.end(), later);
  Event event = std::move(heap_.back());
  heap_.pop_back();
  now_ = event.when;
  ++steps_;
  event.task();
  return true;
}

void World::tell(const std::string& who, const std::string& what) const {
  if (!trace.wanted()) return;
  std::printf("%10.6f  %-10s %s\n", static_cast<double>(now_) / kSecond, who.c_str(), what.c_str());
}

void World::note(const std::string& who, const std::string& what) {
  trace.mix(now_);
  trace.mix(what);
  tell(who, what);
}

void World::violated(const std::string& what) const {
  tell("!", what);
  char when[32];
  std::snprintf(when, sizeof when, "%.6f s: ", static_cast<double>(now_) / kSecond);
  throw Violation(when + what);
}

}  // namespace dlm::sim
