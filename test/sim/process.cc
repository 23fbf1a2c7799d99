#include "test/sim/process.h"

#include <algorithm>
#include <utility>

namespace dlm::sim {

TimeUs Clock::when(LocalMs at, TimeUs now) const {
  const TimeUs shows = read_us(now);
  const TimeUs wanted = at * kMs;
  return wanted <= shows ? now : now + ((wanted - shows) * 1'000'000 + rate_ppm_ - 1) / rate_ppm_ + 1;
}

void Clock::sleep(TimeUs now) {
  if (kind_ == Kind::boottime || stopped_) return;
  base_us_ = read_us(now);
  stopped_ = true;
}

void Clock::wake(TimeUs now) {
  if (!stopped_) return;
  stopped_ = false;
  since_ = now;
}

void Process::start() {
  alive_ = true;
  ++life_;
  world_.note(name_, "starts");
  begin_life();
}

void Process::crash() {
  if (!alive_) return;
  world_.note(name_, "crashes");
  alive_ = false;
  frozen_ = false;
  clock_.wake(world_.now());
  held_.clear();
  end_life();
}

void Process::freeze(bool asleep) {
  if (!running()) return;
  world_.note(name_, asleep ? "falls asleep, and its clock" : "stands still");
  frozen_ = true;
  if (asleep) clock_.sleep(world_.now());
}

void Process::thaw() {
  if (!frozen_) return;
  world_.note(name_, "goes on, " + std::to_string(held_.size()) + " inputs waiting");
  frozen_ = false;
  clock_.wake(world_.now());
  std::vector<Task> held;
  held.swap(held_);
  for (Task& task : held) enter(life_, std::move(task));
  if (running()) woken();
}

void Process::post(TimeUs delay, Task task) {
  world_.after(delay,
               [this, life = life_, task = std::move(task)]() mutable { enter(life, std::move(task)); });
}

void Process::post_at_clock(LocalMs at, Task task) {
  const TimeUs when = clock_.when(at, world_.now());
  post(when - world_.now(), std::move(task));
}

void Process::enter(std::uint64_t life, Task task) {
  if (!alive_ || life != life_) return;
  if (frozen_) return held_.push_back(std::move(task));
  task();
}

}  // namespace dlm::sim
