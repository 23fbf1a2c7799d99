#include "test/sim/scenarios.h"

#include <algorithm>
#include <memory>

#include "test/sim/faults.h"
#include "test/sim/scenario_steps.h"

namespace dlm::sim {
namespace {

// It stands still with requests in its queue, its successor serves, and then it goes on with what it
// believed.
void frozen_primary(Simulation& sim) {
  for (GroupId group : sim.groups()) {
    await_whole_set(sim, group);
    ServerProcess* primary = sim.primary_of(group);
    primary->freeze(false);
    await_other_primary(sim, group, *primary);
    sim.run_for(silence(sim));
    primary->thaw();
    sim.run_for(2 * silence(sim));
    sim.require(!primary->serves(group), "the old primary has found out");
  }
  work_on(sim);
}

GroupId busiest_group(const Simulation& sim) {
  return *std::max_element(sim.groups().begin(), sim.groups().end(), [&](GroupId a, GroupId b) {
    return sim.checks(a).committed() < sim.checks(b).committed();
  });
}

// The n-th message of a kind that a process sends or gets ends its life there and then.
template <class Matches>
void die_at_message(Simulation& sim, ServerProcess& dying, bool as_sender, int which, Matches matches) {
  auto left = std::make_shared<int>(which);
  sim.network().set_filter(
      [&sim, &dying, as_sender, left, matches](Process& from, Process& to, const Message& message) {
        if ((as_sender ? &from : &to) != &dying || !dying.running() || !matches(message) || --*left >= 0)
          return true;
        sim.world().note(dying.name(), "dies at: " + describe(message));
        sim.world().after(0, [&sim, &dying] { sim.crash(dying, kSecond); });
        return *left == -1 ? as_sender : true;
      });
}

bool carries_batches(const Message& message) {
  const auto* replicate = std::get_if<Replicate>(&message);
  const auto* append = replicate == nullptr ? nullptr : std::get_if<server::Append>(&replicate->message);
  return append != nullptr && !append->batches.empty();
}

// Between its own append and the answer: one backup has the batch and another not, or all have it and nobody
// heard.
void death_before_answer(Simulation& sim) {
  for (int round = 0; round < 6; ++round) {
    const GroupId group = busiest_group(sim);
    await_whole_set(sim, group);
    ServerProcess* primary = sim.primary_of(group);
    const int which = static_cast<int>(sim.world().random.below(4));
    if (round % 2 == 0) {
      die_at_message(sim, *primary, true, which, carries_batches);
    } else {
      die_at_message(sim, *primary, false, which,
                     [](const Message& message) { return std::holds_alternative<Replicated>(message); });
    }
    sim.require(sim.run_until([&] { return !primary->alive(); }, kPatience), "the primary dies");
    sim.network().set_filter({});
    await_other_primary(sim, group, *primary);
  }
  work_on(sim);
}

// A backup restarts empty while the change that brings it into the set is on its way (Kafka's KIP-903): the
// name in the set is that of its former life, which has nothing any more.
void joiner_restarts(Simulation& sim) {
  const GroupId group = sim.groups().front();
  for (int round = 0; round < 4; ++round) {
    await_whole_set(sim, group);
    ServerProcess* backup = sim.some_backup_of(group);
    // The coordinator gets everything late, so the addition is proposed long before it is in force.
    for (Process* process : sim.everybody()) sim.network().slow_down(*process, sim.ensemble(), 100 * kMs);
    auto seen = std::make_shared<bool>(false);
    sim.network().set_filter(
        [&sim, backup, seen, life = backup->life()](Process&, Process& to, const Message& message) {
          const auto* request = std::get_if<CoordinatorRequest>(&message);
          const bool adds = request != nullptr && &to == &sim.ensemble() && backup->alive() &&
                            backup->life() > life && request->kind == CoordinatorRequest::Kind::write &&
                            request->config.has(backup->member());
          if (adds && !std::exchange(*seen, true)) sim.crash(*backup, 10 * kMs);
          return true;
        });
    sim.crash(*backup, 10 * kMs);
    sim.run_until([&] { return *seen; }, kPatience);
    sim.network().set_filter({});
    for (Process* process : sim.everybody()) sim.network().slow_down(*process, sim.ensemble(), 0);
    sim.require(*seen, "the backup died while its addition was on its way");
  }
  work_on(sim);
}

// The last survivor of the set comes back with nothing (KIP-966): nobody else may take its place meanwhile,
// and it may not go on as if it knew anything.
void last_survivor(Simulation& sim) {
  const GroupId group = sim.groups().front();
  await_whole_set(sim, group);
  ServerProcess* survivor = sim.primary_of(group);
  for (ServerProcess* server : sim.servers())
    if (server != survivor) sim.crash(*server, 20 * kSecond, true);
  sim.require(sim.run_until([&] { return sim.in_sync(group) == 1; }, kPatience) && survivor->alive(),
              "one member is left");
  sim.run_for(3 * silence(sim));
  sim.crash(*survivor, 2 * kSecond);
  work_on(sim);
  sim.require(sim.run_until([&] { return sim.checks(group).times_lost() > 0; }, kPatience),
              "the group begins anew");
}

// The last of the set sleeps until another machine has its id and begins the group anew; then it wakes, with
// requests waiting, and believes to lead.
void server_started_twice(Simulation& sim) {
  const GroupId group = sim.groups().front();
  await_whole_set(sim, group);
  ServerProcess* last = sim.primary_of(group);
  for (ServerProcess* server : sim.servers())
    if (server != last) sim.crash(*server, 30 * kSecond, true);
  sim.require(sim.run_until([&] { return sim.in_sync(group) == 1 && last->serves(group); }, kPatience),
              "one member is left");
  sim.run_for(3 * silence(sim));
  start_twice(sim, *last, true, sim.world().random.below(2 * kSecond));
  const auto begun_anew = [&] { return sim.checks(group).times_lost() > 0 && !last->frozen(); };
  sim.require(sim.run_until(begun_anew, kPatience), "the group begins anew, and the old primary goes on");
  work_on(sim);
}

void total_loss(Simulation& sim) {
  const GroupId group = sim.groups().front();
  await_whole_set(sim, group);
  for (ServerProcess* server : sim.servers()) sim.crash(*server, sim.world().random.below(kSecond));
  sim.require(sim.run_until([&] { return sim.checks(group).times_lost() > 0; }, kPatience),
              "the group begins anew");
  work_on(sim);
}

// A client's process ends while it waits: its place in the queue is gone, and those behind it are served.
void waiter_ends(Simulation& sim) {
  for (int round = 0; round < 10; ++round) {
    ClientProcess* client = sim.world().random.pick(sim.clients());
    if (client->running()) sim.crash(*client, 500 * kMs, round % 2 == 0);
    sim.run_for(500 * kMs);
  }
  work_on(sim);
}

// Cut off from the coordinator alone: a group whose set is whole goes on, even beyond the session's end.
void coordinator_cut(Simulation& sim) {
  sim.run_for(kSecond);
  const GroupId group = busiest_group(sim);
  await_whole_set(sim, group);
  ServerProcess* primary = sim.primary_of(group);
  sim.network().cut(*primary, sim.ensemble());
  sim.network().cut(sim.ensemble(), *primary);
  const std::uint64_t before = sim.checks(group).committed();
  sim.run_for(sim.shape().session_timeout_ms * kMs / 2);
  sim.require(sim.checks(group).committed() > before, "it goes on serving without the coordinator");
  await_other_primary(sim, group, *primary);
  sim.network().mend(*primary, sim.ensemble());
  sim.network().mend(sim.ensemble(), *primary);
  work_on(sim);
}

// Cut off from all routers alone: it gives its place to a backup that they reach. Where nobody asks for
// anything nobody misses it.
void primary_out_of_reach(Simulation& sim) {
  for (int round = 0; round < 4; ++round) {
    const GroupId group = busiest_group(sim);
    await_whole_set(sim, group);
    sim.run_for(kSecond);
    ServerProcess* primary = sim.primary_of(group);
    sim.world().note(primary->name(), "is cut off from the routers");
    for (RouterNode* router : sim.routers()) {
      sim.network().cut(*primary, *router);
      sim.network().cut(*router, *primary);
    }
    const auto another = [&] { return sim.primary_of(group) != primary && sim.primary_of(group) != nullptr; };
    sim.require(sim.run_until(another, 1'500 * kMs), "a primary that no router reaches gives its place away");
    sim.require(sim.in_sync(group) == sim.servers().size(), "it stays in the set");
    await_other_primary(sim, group, *primary);
    for (RouterNode* router : sim.routers()) {
      sim.network().mend(*primary, *router);
      sim.network().mend(*router, *primary);
    }
  }
  work_on(sim);
}

// With the coordinator gone for long, locks go on being served.
void coordinator_gone(Simulation& sim) {
  for (GroupId group : sim.groups()) await_whole_set(sim, group);
  sim.ensemble().go_away();
  sim.run_for(2 * sim.shape().session_timeout_ms * kMs);
  const GroupId group = busiest_group(sim);
  const std::uint64_t before = sim.checks(group).committed();
  sim.run_for(2 * kSecond);
  sim.require(sim.workload().all_asked() || sim.checks(group).committed() > before,
              "locks are served without the coordinator");
  sim.ensemble().come_back();
  work_on(sim);
}

// A client stands still past its leases and then goes on: what it held is lost to it before it does anything.
void frozen_client(Simulation& sim) {
  for (int round = 0; round < 8; ++round) {
    ClientProcess* client = sim.world().random.pick(sim.clients());
    client->freeze(round % 2 == 0);
    sim.run_for(2 * sim.shape().ttl_ms * kMs);
    if (client->alive()) client->thaw();
    sim.run_for(200 * kMs);
  }
  work_on(sim);
}

void clients_and_routers_crash(Simulation& sim) {
  for (int round = 0; round < 12; ++round) {
    RouterNode* router = sim.world().random.pick(sim.routers());
    sim.crash(*router, 300 * kMs, round % 3 == 0);
    ClientProcess* client = sim.world().random.pick(sim.clients());
    sim.crash(*client, 300 * kMs, round % 4 == 0);
    sim.run_for(kSecond);
  }
  work_on(sim);
}

void doubled_retries(Simulation& sim) {
  for (int round = 0; round < 12; ++round) {
    for (RouterNode* router : sim.routers())
      for (ServerProcess* server : sim.servers()) sim.network().reset_connections_between(*router, *server);
    sim.run_for(500 * kMs);
  }
  work_on(sim);
}

void step_downs(Simulation& sim) {
  for (int round = 0; round < 10; ++round) {
    const GroupId group = sim.world().random.pick(sim.groups());
    await_whole_set(sim, group);
    ServerProcess* primary = sim.primary_of(group);
    primary->step_down(group);
    await_other_primary(sim, group, *primary);
  }
  work_on(sim);
}

std::vector<Scenario> kept_ring_scenarios() {
  return {
      {"frozen-primary", "the primary stands still, its successor serves, it goes on", frozen_primary},
      {"death-before-answer", "the primary dies between append, acknowledgement and answer",
       death_before_answer},
      {"joiner-restarts", "a member restarts empty while its addition is on its way", joiner_restarts},
      {"last-survivor", "the last member in sync comes back without its state", last_survivor},
      {"server-started-twice", "the last member in sync sleeps, its id is started elsewhere, it wakes",
       server_started_twice},
      {"total-loss", "every replica of a group dies at once", total_loss},
      {"waiter-ends", "clients end while they wait in line", waiter_ends},
      {"coordinator-cut", "the primary is cut off from the coordinator alone", coordinator_cut},
      {"primary-out-of-reach", "the primary is cut off from the routers alone", primary_out_of_reach},
      {"coordinator-gone", "the coordinator is away for long", coordinator_gone},
      {"frozen-client", "clients stand still past their leases", frozen_client},
      {"clients-and-routers-crash", "clients and routers die", clients_and_routers_crash},
      {"doubled-retries", "connections break, and copies of what was sent come late", doubled_retries},
      {"step-downs", "primaries give their places away", step_downs},
  };
}

}  // namespace

const std::vector<Scenario>& all_scenarios() {
  static const std::vector<Scenario> kScenarios = [] {
    std::vector<Scenario> all = kept_ring_scenarios();
    all.insert(all.end(), move_scenarios().begin(), move_scenarios().end());
    return all;
  }();
  return kScenarios;
}

const Scenario* find_scenario(const std::string& name) {
  for (const Scenario& scenario : all_scenarios())
    if (name == scenario.name) return &scenario;
  return nullptr;
}

}  // namespace dlm::sim
