#include "test/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace dlm::sim {

void World::at(TimeUs when, Task task) {
  std::size_t place = tasks_.size();
  if (free_.empty()) {
    tasks_.push_back(std::move(task));
  } else {
    place = free_.back();
    free_.pop_back();
    tasks_[place] = std::move(task);
  }
  heap_.push_back({std::max(when, now_), ++events_, place});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

bool World::step() {
  if (heap_.empty()) return false;
  std::pop_heap(heap_.begin(), heap_.end(), later);
  const Event event = heap_.back();
  heap_.pop_back();
  const Task task = std::exchange(tasks_[event.task], nullptr);
  free_.push_back(event.task);
  now_ = event.when;
  ++steps_;
  task();
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
