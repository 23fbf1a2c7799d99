#include "test/chaos/run/injector.h"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "test/chaos/run/relay.h"
#include "test/chaos/workload/journal.h"

namespace dlm::chaos {
namespace {

constexpr int kWholeSeconds = 90;
constexpr std::uint32_t kFailpointMs = 10'000;  // for a process to pass the point
constexpr std::uint32_t kSettleMs = 1'000;      // for clients to find their way again

constexpr int kRelayPort = 7900;

std::string joined(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ",") + name;
  return all;
}

bool hits_one_group(const Fault& fault) {
  if (fault.kind == FaultKind::group_lost) return true;
  return fault.kind != FaultKind::zookeeper_away && fault.kind != FaultKind::zookeeper_leader &&
         (fault.role == Role::primary || fault.role == Role::backup ||
          fault.role == Role::primary_and_backup);
}

}  // namespace

FaultWindow Injector::carry_out(const Fault& fault) {
  FaultWindow window;
  const bool forgets = fault.kind == FaultKind::group_lost && cluster_.options().durability == "memory";
  window.kind = forgets ? kGroupForgot : to_string(fault.kind);
  if (hits_one_group(fault)) window.group = Cluster::group_name(fault.number);
  window.from_ns = now_ns();
  switch (fault.kind) {
    case FaultKind::kill:
      kill(fault, window, false);
      break;
    case FaultKind::terminate:
      kill(fault, window, true);
      break;
    case FaultKind::freeze:
      freeze(fault, window);
      break;
    case FaultKind::cut:
    case FaultKind::one_way:
    case FaultKind::loss:
      network(fault, window);
      break;
    case FaultKind::delay:
      delay(fault, window);
      break;
    case FaultKind::failpoint:
      failpoint(fault, window);
      break;
    case FaultKind::zookeeper_leader:
      zookeeper_away({cluster_.zookeeper().leader().value_or(0)}, fault.lasts_ms, window);
      break;
    case FaultKind::zookeeper_away: {
      std::vector<std::size_t> all(cluster_.zookeeper().size());
      for (std::size_t index = 0; index < all.size(); ++index) all[index] = index;
      zookeeper_away(all, fault.lasts_ms, window);
      break;
    }
    case FaultKind::group_lost:
      group_lost(fault, window);
      break;
  }
  await_whole();
  sleep_ms(kSettleMs);
  window.to_ns = now_ns();
  return window;
}

std::vector<std::string> Injector::targets(Role role, std::uint32_t number) {
  if (role == Role::router) return {cluster_.routers()[number]};
  if (role == Role::worker) return {Cluster::worker_name(number)};
  if (role == Role::zookeeper) return {cluster_.zookeepers()[number]};
  std::optional<GroupState> state;
  wait_until(Cluster::group_name(number) + " tells its primary", kWholeSeconds, [&] {
    state = cluster_.state_of(number);
    return state && !state->primary.empty() && state->in_sync.size() > 1;
  });
  const auto backup = std::find_if(state->in_sync.begin(), state->in_sync.end(),
                                   [&](const std::string& member) { return member != state->primary; });
  if (role == Role::primary) return {state->primary};
  if (role == Role::backup) return {*backup};
  return {state->primary, *backup};
}

void Injector::restart(const std::vector<std::string>& names) {
  for (const std::string& name : names) cluster_.process(name).start();
  // A server is ready when its group is whole; a router when it says so.
  for (const std::string& name : names) {
    if (!name.starts_with('r')) continue;
    Process& process = cluster_.process(name);
    wait_until(name + " is ready", kWholeSeconds, [&] { return process.said(" ready on "); });
  }
}

void Injector::kill(const Fault& fault, FaultWindow& window, bool orderly) {
  const std::vector<std::string> names = targets(fault.role, fault.number);
  window.target = joined(names);
  window.from_ns = now_ns();
  if (fault.role == Role::worker) {
    cluster_.kill_worker(fault.number);
    sleep_ms(fault.lasts_ms);
    return cluster_.start_worker(fault.number);
  }
  for (const std::string& name : names) {
    Process& process = cluster_.process(name);
    if (!orderly) {
      process.kill();
      continue;
    }
    process.terminate();
    wait_until(name + " ends", 30, [&] { return !process.running(); });
  }
  sleep_ms(fault.lasts_ms);
  restart(names);
}

void Injector::freeze(const Fault& fault, FaultWindow& window) {
  window.target = joined(targets(fault.role, fault.number));
  Process& process = fault.role == Role::zookeeper ? cluster_.zookeeper().process(fault.number)
                                                   : cluster_.process(window.target);
  window.from_ns = now_ns();
  process.freeze();
  sleep_ms(fault.lasts_ms);
  process.thaw();
}

std::vector<std::string> Injector::peers(const std::string& target, const Fault& fault) {
  std::vector<std::string> all;
  auto add = [&](const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (name != target) all.push_back(name);
    }
  };
  const bool everyone = fault.peers == Peers::everyone;
  if (everyone || fault.peers == Peers::group) {
    for (std::uint32_t group = 0; group < cluster_.options().groups; ++group) {
      if (everyone || group == fault.number) add(cluster_.servers_of(group));
    }
  }
  if (everyone || fault.peers == Peers::coordinator) add(cluster_.zookeepers());
  if (everyone || fault.peers == Peers::routers) add(cluster_.routers());
  if (everyone) {
    for (std::uint32_t worker = 0; worker < cluster_.options().workers; ++worker)
      add({Cluster::worker_name(worker)});
  }
  return all;
}

void Injector::network(const Fault& fault, FaultWindow& window) {
  const std::string target = targets(fault.role, fault.number).front();
  window.target = target;
  window.from_ns = now_ns();
  const unsigned percent = fault.kind == FaultKind::loss ? fault.percent : 100;
  const bool both = fault.kind != FaultKind::one_way;
  for (const std::string& peer : peers(target, fault)) {
    if (both || fault.outgoing) cluster_.hosts().drop(target, peer, percent);
    if (both || !fault.outgoing) cluster_.hosts().drop(peer, target, percent);
  }
  sleep_ms(fault.lasts_ms);
  cluster_.hosts().mend();
}

// A relay on the target's own host, so that cuts between hosts would go on meaning what they mean.
void Injector::delay(const Fault& fault, FaultWindow& window) {
  const std::string target = targets(fault.role, fault.number).front();
  window.target = target;
  window.from_ns = now_ns();
  const int port = fault.role == Role::router ? kRouterPort : kServerPort;
  const std::string address = cluster_.hosts().address(target);
  Process relay("relay",
                cluster_.hosts().on(
                    target, {cluster_.options().programs + "/dlm-chaos", "relay", "--address", address,
                             "--listen", std::to_string(kRelayPort), "--to", std::to_string(port), "--delay",
                             std::to_string(fault.delay_ms), "--jitter", std::to_string(fault.delay_ms / 2)}),
                cluster_.options().folder + "/relay.log");
  relay.start();
  // Else those who come would be refused, and take the target for dead.
  wait_until("the relay listens", kWholeSeconds, [&] { return relay.said(kRelayReady); });
  cluster_.hosts().detour(target, port, kRelayPort);
  sleep_ms(fault.lasts_ms);
  cluster_.hosts().mend();
  relay.kill();
}

// The process ends or stops by itself when it passes the point; if it does not in time, there was no fault.
void Injector::failpoint(const Fault& fault, FaultWindow& window) {
  const std::string name = targets(fault.role, fault.number).front();
  Process& process = cluster_.process(name);
  window.target = name + " at " + fault.point;
  window.from_ns = now_ns();
  cluster_.set_failpoint(name,
                         fault.point + (fault.stops ? "=stop@" : "=crash@") + std::to_string(fault.hits));
  bool passed = false;
  for (std::uint32_t waited_ms = 0; !passed && waited_ms < kFailpointMs; waited_ms += 20) {
    sleep_ms(20);
    passed = fault.stops ? process.stopped() : !process.running();
  }
  cluster_.set_failpoint(name, "");
  if (!passed) {
    window.target += " (not passed)";
    return;
  }
  sleep_ms(fault.lasts_ms);
  if (fault.stops) {
    process.thaw();
  } else {
    restart({name});
  }
}

void Injector::zookeeper_away(const std::vector<std::size_t>& members, std::uint32_t lasts_ms,
                              FaultWindow& window) {
  window.from_ns = now_ns();
  for (std::size_t member : members) {
    window.target += (window.target.empty() ? "" : ",") + cluster_.zookeeper().host(member);
    cluster_.zookeeper().process(member).kill();
  }
  sleep_ms(lasts_ms);
  cluster_.zookeeper().start();
}

void Injector::group_lost(const Fault& fault, FaultWindow& window) {
  const std::vector<std::string> names = cluster_.servers_of(fault.number);
  window.target = joined(names);
  window.from_ns = now_ns();
  for (const std::string& name : names) cluster_.process(name).kill();
  sleep_ms(fault.lasts_ms);
  restart(names);
}

void Injector::await_whole() {
  for (std::uint32_t group = 0; group < cluster_.options().groups; ++group) {
    wait_until(Cluster::group_name(group) + " is whole again", kWholeSeconds,
               [&] { return cluster_.whole(group); });
  }
}

}  // namespace dlm::chaos
