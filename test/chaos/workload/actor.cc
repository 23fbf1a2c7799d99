#include "test/chaos/workload/actor.h"

#include <chrono>
#include <thread>

namespace dlm::chaos {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kHotNames = 4;
constexpr std::uint64_t kColdNames = 200;
constexpr std::uint64_t kSharedNames = 2;
constexpr std::int64_t kRotationNs = 20'000'000'000;
constexpr std::size_t kHeldMax = 3;
constexpr milliseconds kLease{1'500};
constexpr milliseconds kProbePause{10};

std::string rotating(const char* kind, std::uint64_t number) {
  return std::string(kind) + std::to_string(number) + "@" + std::to_string(now_ns() / kRotationNs);
}

}  // namespace

std::string ResourceNames::hot(std::uint64_t pick) const {
  return rotating("hot/", pick % kHotNames);
}
std::string ResourceNames::cold(std::uint64_t pick) const {
  return rotating("cold/", pick % kColdNames);
}
std::string ResourceNames::shared(std::uint64_t pick) const {
  return rotating("shared/", pick % kSharedNames);
}

void Actor::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    recorder_.look();
    step();
  }
  recorder_.look();
  while (!recorder_.held().empty()) recorder_.release(recorder_.held().size() - 1);
}

void Actor::step() {
  const std::size_t holding = recorder_.held().size();
  const std::uint64_t what = pick(100);
  if (what < 45 && holding < kHeldMax) {
    acquire_something();
  } else if (what < 55 && holding > 0) {
    acquire_again();
  } else if (what < 63 && holding > 0) {
    recorder_.renew(pick(holding));
  } else if (what < 66) {
    recorder_.query(ResourceNames().hot(random_()));
  } else if (what < 80) {
    pause();
  } else if (holding > 0) {
    end_one();
  }
}

void Actor::acquire_something() {
  const std::uint64_t where = pick(100);
  AcquireOptions options = random_options();
  std::string name = where < 60 ? ResourceNames().hot(random_()) : ResourceNames().cold(random_());
  if (where >= 85) {
    name = ResourceNames().shared(random_());
    if (pick(3) > 0) options.mode = LockMode::shared;
  }
  for (const Recorder::Held& held : recorder_.held()) {
    if (held.resource == name) return;  // acquire_again knows how
  }
  recorder_.acquire(name, std::move(options));
}

AcquireOptions Actor::random_options() {
  AcquireOptions options;
  const std::uint64_t kind = pick(100);
  if (kind >= 60) options.lease_kind = kind < 85 ? LeaseKind::detached : LeaseKind::capped;
  if (kind >= 60) options.lease = kLease;
  const std::uint64_t wait = pick(100);
  if (wait < 30) {
    options.wait = milliseconds{0};
  } else if (wait < 80 || !recorder_.held().empty()) {
    // Whoever holds something waits for a limited time, or two could wait for each other for ever.
    options.wait = milliseconds{20 + pick(2'000)};
  }
  return options;
}

void Actor::acquire_again() {
  const Recorder::Held& held = recorder_.held()[pick(recorder_.held().size())];
  AcquireOptions options;
  options.mode = held.mode;
  options.lease_kind = held.kind;
  options.lease = held.lease;
  options.wait = milliseconds{pick(2) * 500};
  recorder_.acquire(std::string(held.resource), std::move(options));
}

void Actor::end_one() {
  const std::size_t index = pick(recorder_.held().size());
  const bool detached = recorder_.held()[index].kind == LeaseKind::detached;
  if (detached && pick(5) == 0) return recorder_.forget(index);
  recorder_.release(index);
}

// Mostly short; now and then longer than every lease.
void Actor::pause() {
  const bool sleepy = pick(60) == 0;
  std::this_thread::sleep_for(sleepy ? milliseconds{1'000 + pick(2'500)} : milliseconds{pick(30)});
}

void observe(Recorder& recorder, std::uint64_t seed, const std::stop_token& stop) {
  std::mt19937_64 random(seed);
  while (!stop.stop_requested()) {
    recorder.query(ResourceNames().hot(random()));
    std::this_thread::sleep_for(milliseconds{5 + random() % 15});
  }
}

void probe(Recorder& recorder, const std::string& name, const std::string& group,
           const std::stop_token& stop) {
  std::string resource;
  for (int attempt = 0; !stop.stop_requested(); ++attempt) {
    resource = "probe/" + name + "/" + std::to_string(attempt);
    const auto found = recorder.group_of(resource);
    if (found == group) break;
    if (!found) std::this_thread::sleep_for(kProbePause);
  }
  AcquireOptions options;
  options.wait = milliseconds{0};
  while (!stop.stop_requested()) {
    recorder.look();
    if (recorder.acquire(resource, options)) recorder.release(recorder.held().size() - 1);
    std::this_thread::sleep_for(kProbePause);
  }
  recorder.look();
  while (!recorder.held().empty()) recorder.release(recorder.held().size() - 1);
}

}  // namespace dlm::chaos
