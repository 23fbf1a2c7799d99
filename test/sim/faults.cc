#include "test/sim/faults.h"

#include <algorithm>
#include <memory>

#include "test/sim/simulation.h"

namespace dlm::sim {
namespace {

constexpr TimeUs kGivenUpLook = 10 * kMs;  // how often it is looked whether a server's session has ended

// Short beside every time-out, about as long as they are, or longer than all of them.
TimeUs some_time(Simulation& sim, Random& random) {
  const TimeUs silence = sim.shape().silence_ms() * kMs;
  switch (random.below(3)) {
    case 0:
      return random.between(1, silence / 2);
    case 1:
      return random.between(silence / 2, 3 * silence);
    default:
      return random.between(3 * silence, 3 * silence + 2 * sim.shape().session_timeout_ms * kMs);
  }
}

template <class T>
T* any_of(const std::vector<T*>& list, Random& random) {
  return list.empty() ? nullptr : random.pick(list);
}

Process* anybody(Simulation& sim, Random& random) {
  return random.pick(sim.everybody());
}

// Primaries are where it hurts.
ServerProcess* some_server(Simulation& sim, Random& random) {
  ServerProcess* primary = sim.primary_of(random.pick(sim.groups()));
  return primary != nullptr && random.one_in(2) ? primary : any_of(sim.servers(), random);
}

void cut_for(Simulation& sim, Process& from, Process& to, TimeUs time) {
  if (&from == &to) return;
  sim.network().cut(from, to);
  sim.heal_after(time, [&sim, &from, &to] { sim.network().mend(from, to); });
}

// --- the network -----------------------------------------------------------------------------------------

void strike_delays(Simulation& sim, Random& random) {
  Process* from = anybody(sim, random);
  Process* to = anybody(sim, random);
  sim.network().slow_down(*from, *to, random.between(kMs, sim.shape().silence_ms() * kMs));
  sim.heal_after(some_time(sim, random), [&sim, from, to] { sim.network().slow_down(*from, *to, 0); });
}

void strike_resets(Simulation& sim, Random& random) {
  sim.network().reset_connections_between(*anybody(sim, random), *anybody(sim, random));
}

void strike_one_way_cuts(Simulation& sim, Random& random) {
  Process* from = anybody(sim, random);
  Process* to = anybody(sim, random);
  sim.world().note(from->name(), "does not reach " + to->name());
  cut_for(sim, *from, *to, some_time(sim, random));
}

// A server with some of the others, some clients and routers, perhaps the coordinator, against the rest.
void strike_partitions(Simulation& sim, Random& random) {
  ServerProcess* island = some_server(sim, random);
  const std::uint64_t company = random.below(3) * 25;
  std::vector<Process*> inside = {island};
  std::vector<Process*> outside = {};
  if (!random.one_in(4)) outside.push_back(&sim.ensemble());
  for (Process* process : sim.everybody()) {
    if (process == island) continue;
    (random.percent(company) ? inside : outside).push_back(process);
  }
  const TimeUs time = some_time(sim, random);
  sim.world().note(island->name(), "is cut off with " + std::to_string(inside.size() - 1) + " others");
  for (Process* a : inside) {
    for (Process* b : outside) {
      cut_for(sim, *a, *b, time);
      cut_for(sim, *b, *a, time);
    }
  }
}

// --- processes -------------------------------------------------------------------------------------------

void crash_server(Simulation& sim, Random& random, bool power_lost) {
  ServerProcess* server = some_server(sim, random);
  if (server->alive() && sim.is_spare(*server)) sim.crash(*server, some_time(sim, random), power_lost);
}
void strike_server_crashes(Simulation& sim, Random& random) {
  crash_server(sim, random, false);
}
void strike_power_losses(Simulation& sim, Random& random) {
  crash_server(sim, random, true);
}
void strike_router_crashes(Simulation& sim, Random& random) {
  RouterNode* router = random.pick(sim.routers());
  if (router->alive()) sim.crash(*router, some_time(sim, random), random.one_in(3));
}
void strike_client_crashes(Simulation& sim, Random& random) {
  ClientProcess* client = random.pick(sim.clients());
  if (client->alive()) sim.crash(*client, some_time(sim, random), random.one_in(3));
}

void stop_for(Simulation& sim, Process& process, TimeUs time, bool asleep) {
  if (!process.running()) return;
  process.freeze(asleep);
  sim.heal_after(time, [&process, life = process.life()] {
    if (process.alive() && process.life() == life) process.thaw();
  });
}
void strike_freezes(Simulation& sim, Random& random) {
  Process* process = random.one_in(3) ? anybody(sim, random) : some_server(sim, random);
  stop_for(sim, *process, some_time(sim, random), false);
}
void strike_sleeps(Simulation& sim, Random& random) {
  stop_for(sim, *anybody(sim, random), some_time(sim, random), true);
}

void strike_slow_backups(Simulation& sim, Random& random) {
  ServerProcess* server = any_of(sim.servers(), random);
  server->slow_turns(random.between(kMs, sim.shape().silence_ms() * kMs));
  sim.heal_after(some_time(sim, random), [server] { server->slow_turns(0); });
}

void strike_step_downs(Simulation& sim, Random& random) {
  const GroupId group = random.pick(sim.groups());
  if (ServerProcess* primary = sim.primary_of(group)) primary->step_down(group);
}

void strike_total_loss(Simulation& sim, Random& random) {
  const GroupId group = random.pick(sim.groups());
  auto record = sim.ensemble().view().groups.find(group);
  if (record == sim.ensemble().view().groups.end()) return;
  for (ServerProcess* server : sim.servers()) {
    if (server->alive() && record->second.config.has(server->member()))
      sim.crash(*server, some_time(sim, random), random.one_in(2));
  }
}

void strike_ring_changes(Simulation& sim, Random& random) {
  if (sim.ring_admin() != nullptr) sim.ring_admin()->do_something(random);
}

// --- a server started twice ------------------------------------------------------------------------------

bool is_registered(Simulation& sim, const server::MemberName& member) {
  const auto& servers = sim.ensemble().view().servers;
  auto found = servers.find(member.server);
  return found != servers.end() && found->second.name == member;
}

// Whether it is primary of a group, and nobody else is in sync.
bool leads_alone(Simulation& sim, const ServerProcess& server) {
  return std::any_of(sim.groups().begin(), sim.groups().end(), [&](GroupId group) {
    auto record = sim.ensemble().view().groups.find(group);
    return record != sim.ensemble().view().groups.end() &&
           record->second.config.in_sync == std::vector<server::MemberName>{server.member()};
  });
}

// What stands still may have decided what it has yet to carry out. When the group has begun anew meanwhile,
// the checks would take that for decided late. And two processes whose ids were started elsewhere must not be
// there at a time: without the coordinator they would vouch for each other, and nobody promises otherwise.
bool may_start_twice(Simulation& sim) {
  return sim.can_start_elsewhere() &&
         std::none_of(sim.servers().begin(), sim.servers().end(),
                      [](const ServerProcess* server) { return server->frozen(); });
}

// The others go, so that nobody but the coordinator knows better than the one that is left.
void leave_alone(Simulation& sim, Random& random, const ServerProcess& server) {
  const TimeUs away = 2 * (sim.shape().silence_ms() + sim.shape().session_timeout_ms) * kMs;
  for (ServerProcess* other : sim.servers())
    if (other != &server && other->alive())
      sim.crash(*other, away + some_time(sim, random), random.one_in(2));
}

void strike_second_starts(Simulation& sim, Random& random) {
  ServerProcess* server = some_server(sim, random);
  const auto ready = [&sim, server, life = server->life()] {
    return server->running() && server->life() == life && may_start_twice(sim) &&
           is_registered(sim, server->member());
  };
  if (!ready()) return;
  const bool alone = random.one_in(2);
  const bool asleep = random.one_in(2);
  const TimeUs goes_on_after = random.one_in(2) ? random.below(100 * kMs) : some_time(sim, random);
  if (!alone) return start_twice(sim, *server, asleep, goes_on_after);
  leave_alone(sim, random, *server);
  sim.heal_after(random.between(1, 2) * sim.shape().silence_ms() * kMs,
                 [&sim, server, asleep, goes_on_after, ready] {
                   if (!sim.faults_stopped() && ready() && leads_alone(sim, *server))
                     start_twice(sim, *server, asleep, goes_on_after);
                 });
}

// --- the routers -----------------------------------------------------------------------------------------

// Its group and the coordinator go on hearing the primary.
void strike_router_cuts(Simulation& sim, Random& random) {
  ServerProcess* server = some_server(sim, random);
  const TimeUs time = some_time(sim, random);
  sim.world().note(server->name(), "is cut off from the routers");
  for (RouterNode* router : sim.routers()) {
    cut_for(sim, *server, *router, time);
    cut_for(sim, *router, *server, time);
  }
}

// --- disks -----------------------------------------------------------------------------------------------

void strike_slow_disks(Simulation& sim, Random& random) {
  ServerProcess* server = some_server(sim, random);
  server->slow_disk(random.between(kMs, 2 * sim.shape().silence_ms() * kMs));
  sim.heal_after(some_time(sim, random), [server] { server->slow_disk(0); });
}

void strike_full_disks(Simulation& sim, Random& random) {
  ServerProcess* server = some_server(sim, random);
  sim.world().note(server->name(), "has a full disk");
  server->disk().fill_up(true);
  sim.heal_after(some_time(sim, random), [server] { server->disk().fill_up(false); });
}

// Found when it starts the next time, which may be soon.
void strike_damaged_disks(Simulation& sim, Random& random) {
  ServerProcess* server = some_server(sim, random);
  if (random.one_in(2)) {
    server->disk().misdirect_next_write();
  } else if (!server->disk().flip_a_bit(random)) {
    return;
  }
  sim.world().note(server->name(), "has a damaged disk");
  if (server->alive() && sim.is_spare(*server) && random.one_in(2))
    sim.crash(*server, some_time(sim, random), random.one_in(2));
}

// --- the coordinator -------------------------------------------------------------------------------------

void strike_coordinator_cuts(Simulation& sim, Random& random) {
  Process* process = random.one_in(2) ? anybody(sim, random) : some_server(sim, random);
  const TimeUs time = some_time(sim, random);
  sim.world().note(process->name(), "is cut off from the coordinator");
  cut_for(sim, *process, sim.ensemble(), time);
  if (random.one_in(2)) cut_for(sim, sim.ensemble(), *process, time);
}

void strike_slow_coordinator(Simulation& sim, Random& random) {
  const TimeUs delay = random.between(kMs, sim.shape().session_timeout_ms * kMs / 2);
  for (Process* process : sim.everybody()) sim.network().slow_down(sim.ensemble(), *process, delay);
  sim.heal_after(some_time(sim, random), [&sim] {
    for (Process* process : sim.everybody()) sim.network().slow_down(sim.ensemble(), *process, 0);
  });
}

void strike_coordinator_away(Simulation& sim, Random& random) {
  sim.ensemble().go_away();
  sim.heal_after(some_time(sim, random), [&sim] { sim.ensemble().come_back(); });
}

void strike_session_expiries(Simulation& sim, Random& random) {
  // A server whose session expires ends; it must be spare, as for a crash.
  ServerProcess* server = some_server(sim, random);
  if (random.one_in(2)) {
    sim.ensemble().expire_session_of(random.pick(sim.routers())->name());
  } else if (server->alive() && sim.is_spare(*server)) {
    sim.ensemble().expire_session_of(server->name());
  }
}

void strike_late_watches(Simulation& sim, Random& random) {
  sim.ensemble().delay_watches(random.between(kMs, 3 * sim.shape().silence_ms() * kMs));
  sim.heal_after(some_time(sim, random), [&sim] { sim.ensemble().delay_watches(2 * kMs); });
}

void strike_lost_answers(Simulation& sim, Random& random) {
  sim.ensemble().lose_answers(static_cast<std::uint32_t>(random.between(10, 60)));
  sim.heal_after(some_time(sim, random), [&sim] { sim.ensemble().lose_answers(0); });
}

const Fault* find_fault(const std::string& name) {
  for (const Fault& fault : all_faults())
    if (name == fault.name) return &fault;
  return nullptr;
}

void strike_later(Simulation& sim, const Fault& fault, const std::shared_ptr<Random>& random, TimeUs pause) {
  sim.heal_after(random->between(pause / 4, 2 * pause), [&sim, &fault, random, pause] {
    if (sim.faults_stopped()) return;
    fault.strike(sim, *random);
    sim.count_strike();
    strike_later(sim, fault, random, pause);
  });
}

}  // namespace

const std::vector<Fault>& all_faults() {
  static const std::vector<Fault> kFaults = {
      {"delays", "messages from one process to another take long", strike_delays},
      {"resets", "connections between two processes break", strike_resets},
      {"one-way-cuts", "messages from one process to another stay away", strike_one_way_cuts},
      {"partitions", "a server is cut off, with some or none of the others", strike_partitions},
      {"server-crashes", "a server dies and starts anew with nothing", strike_server_crashes},
      {"power-losses", "a server's host dies: nobody is told", strike_power_losses},
      {"router-crashes", "a router dies", strike_router_crashes},
      {"client-crashes", "a client dies", strike_client_crashes},
      {"freezes", "a process stands still and then acts on what it believed", strike_freezes},
      {"sleeps", "a machine sleeps, and its monotonic clock, which routers go by, with it", strike_sleeps},
      {"drift", "clocks run up to 1% fast or slow", nullptr},
      {"slow-backups", "a server takes long for each turn", strike_slow_backups},
      {"step-downs", "a primary is asked to give its place away", strike_step_downs},
      {"coordinator-cuts", "a process is cut off from the coordinator alone", strike_coordinator_cuts},
      {"slow-coordinator", "the coordinator answers late", strike_slow_coordinator},
      {"coordinator-away", "the coordinator is gone for a while", strike_coordinator_away},
      {"session-expiries", "the coordinator ends a session", strike_session_expiries},
      {"late-watches", "changes are told late", strike_late_watches},
      {"lost-answers", "writes to the coordinator are done and not answered, or not done",
       strike_lost_answers},
      {"doubled-retries", "operations reach their group twice, the second time late", nullptr},
      {"total-loss", "every replica of a group dies at once", strike_total_loss},
      {"router-cuts", "a server is cut off from all routers, and from nobody else", strike_router_cuts},
      {"second-starts", "a server is started elsewhere while its old process stands still",
       strike_second_starts},
      {"ring-changes", "groups come into the ring and go, and arcs move", strike_ring_changes},
      {"disks", "servers have disks, and come back as the members that they were", nullptr, true},
      {"slow-disks", "the disk of a server takes long; servers have disks", strike_slow_disks, true},
      {"full-disks", "the disk of a server takes nothing; servers have disks", strike_full_disks, true},
      {"damaged-disks", "a bit of a disk flips, or a write goes astray; servers have disks",
       strike_damaged_disks, true},
  };
  return kFaults;
}

void start_twice(Simulation& sim, ServerProcess& server, bool asleep, TimeUs goes_on_after) {
  server.freeze_between_turns(asleep);
  // Another fault may end the session early; then nobody waits any shorter.
  const TimeUs session_over = sim.world().now() + sim.shape().session_timeout_ms * kMs;
  const auto look = std::make_shared<std::function<void()>>();
  *look = [&sim, &server, goes_on_after, session_over, again = std::weak_ptr(look),
           member = server.member()] {
    if (!server.alive() || server.member() != member || sim.is_given_up(server)) return;
    if (sim.faults_stopped()) return server.go_on();
    if (is_registered(sim, member) || !server.frozen() || sim.world().now() < session_over)
      return sim.heal_after(kGivenUpLook, [look = again.lock()] { (*look)(); });
    if (!sim.can_start_elsewhere()) return server.go_on();
    sim.start_elsewhere(server);
    sim.heal_after(goes_on_after, [&sim, &server, member] {
      if (!server.alive() || server.member() != member) return;
      server.go_on();
      sim.heal_after(3 * sim.shape().session_timeout_ms * kMs, [&sim, &server] {
        if (!sim.faults_stopped()) sim.crash(server, 0);
      });
    });
  };
  (*look)();
}

bool is_fault(const std::string& name) {
  return find_fault(name) != nullptr;
}

bool have_disks(const std::set<std::string>& faults) {
  return std::any_of(faults.begin(), faults.end(),
                     [](const std::string& name) { return find_fault(name)->needs_disks; });
}

std::set<std::string> draw_faults(Random& random) {
  std::vector<std::string> names;
  for (const Fault& fault : all_faults()) names.emplace_back(fault.name);
  std::set<std::string> drawn;
  const std::uint64_t kind = random.below(20);
  if (kind == 0) return drawn;
  if (kind < 5) return {random.pick(names)};
  const std::uint64_t percent = 10 + random.below(50);
  const bool with_disks = random.one_in(3);
  for (const Fault& fault : all_faults())
    if (random.percent(percent) && (with_disks || !fault.needs_disks)) drawn.insert(fault.name);
  return drawn;
}

void schedule_faults(Simulation& simulation) {
  const auto random = std::make_shared<Random>(simulation.world().random.fork());
  for (const std::string& name : simulation.shape().faults) {
    const Fault* fault = find_fault(name);
    if (fault == nullptr || fault->strike == nullptr) continue;
    // The more of them there are, the more rarely each strikes.
    const TimeUs pause =
        simulation.shape().duration / 20 * std::max<std::size_t>(2, simulation.shape().faults.size()) / 4;
    strike_later(simulation, *fault, random, pause);
  }
}

}  // namespace dlm::sim
