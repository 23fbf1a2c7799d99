// Stories of arcs that move while somebody dies, changes his mind or is away.
#include <functional>
#include <memory>
#include <optional>

#include "server/core/entry_codec.h"
#include "test/sim/scenario_steps.h"
#include "test/sim/scenarios.h"

namespace dlm::sim {
namespace {

using Kind = RingChange::Kind;
using server::GroupCore;
using server::GroupOutput;

constexpr TimeUs kSoon = 3 * kMs;

// How far a move has come, as a primary's turn shows it.
enum class Step { given, sent, taken, about_to_be_forgotten };
constexpr Step kSteps[] = {Step::given, Step::sent, Step::taken, Step::about_to_be_forgotten};

struct Move {
  GroupId from;
  GroupId to;
};

std::optional<Operation> find_entry(const std::string& entries, OperationKind kind) {
  server::BatchReader reader(entries);
  Operation entry;
  while (reader.next(entry))
    if (entry.kind == kind) return entry;
  return std::nullopt;
}

std::optional<Operation> find_applied(const GroupOutput& output, OperationKind kind) {
  for (const server::Batch& batch : output.applied)
    if (auto entry = find_entry(*batch.entries, kind)) return entry;
  return std::nullopt;
}

std::optional<Move> find_given(const GroupCore& core, const GroupOutput& output) {
  const auto entry = find_applied(output, OperationKind::move_out);
  if (!entry) return std::nullopt;
  return Move{core.group(), GroupId(static_cast<std::uint32_t>(entry->target.value))};
}

std::optional<Move> find_sent(const GroupOutput& output) {
  for (const server::Transfer& transfer : output.transfers)
    if (transfer.number != 0) return Move{transfer.from, transfer.to};
  return std::nullopt;
}

std::optional<Move> find_taken(const GroupCore& core, const GroupOutput& output) {
  const auto entry = find_applied(output, OperationKind::move_in);
  if (!entry) return std::nullopt;
  return Move{GroupId(static_cast<std::uint32_t>(entry->session.value)), core.group()};
}

// The source has the destination's answer, and its own log is about to say so.
std::optional<Move> find_about_to_be_forgotten(const Simulation& sim, const GroupCore& core,
                                               const GroupOutput& output) {
  for (const server::Append& append : output.appends) {
    for (const server::Batch& batch : append.batches) {
      if (!find_entry(*batch.entries, OperationKind::move_done)) continue;
      for (GroupId group : sim.groups())
        if (group != core.group()) return Move{core.group(), group};
    }
  }
  return std::nullopt;
}

std::optional<Move> find_step(const Simulation& sim, Step step, const GroupCore& core,
                              const GroupOutput& output) {
  if (!core.serving()) return std::nullopt;
  switch (step) {
    case Step::given:
      return find_given(core, output);
    case Step::sent:
      return find_sent(output);
    case Step::taken:
      return find_taken(core, output);
    default:
      return find_about_to_be_forgotten(sim, core, output);
  }
}

// --- changes ---------------------------------------------------------------------------------------------

// As run_until(), but looks after every step: a small change is over in milliseconds.
template <class Predicate>
bool step_until(Simulation& sim, Predicate predicate) {
  const TimeUs end = sim.world().now() + kPatience;
  while (!predicate())
    if (sim.world().now() >= end || !sim.world().step()) return false;
  return true;
}

bool is_in_ring(const Simulation& sim, GroupId group) {
  const auto& groups = sim.cluster_view().ring.groups;
  return std::any_of(groups.begin(), groups.end(), [&](const auto& entry) { return entry.group == group; });
}

void await_settled(Simulation& sim) {
  sim.require(sim.run_until([&] { return sim.is_ring_settled(); }, kPatience), "the change is over");
  sim.check_owners();
}

void await_whole_cluster(Simulation& sim) {
  for (GroupId group : sim.groups()) {
    await_whole_set(sim, group);
    const auto is_served = [&] {
      const ServerProcess* primary = sim.primary_of(group);
      return primary != nullptr && primary->serves(group);
    };
    sim.require(sim.run_until(is_served, kPatience), "every group is served");
  }
}

// Until it is as it should be, or the change is over.
template <class Reached>
void steer(Simulation& sim, Kind kind, Reached reached) {
  RingChange change;
  change.kind = kind;
  const auto is_steered = [&] {
    if (reached() || sim.is_ring_settled()) return true;
    sim.ring_admin()->change(change);
    return false;
  };
  sim.require(step_until(sim, is_steered), "the change can be steered");
}

// The last group comes into the ring, or goes.
void begin_change(Simulation& sim) {
  await_whole_cluster(sim);
  RingChange change;
  change.group = sim.groups().back();
  change.kind = is_in_ring(sim, change.group) ? Kind::remove : Kind::add;
  change.weight = sim.shape().weights.back();
  sim.require(sim.run_until([&] { return sim.ring_admin()->change(change); }, kPatience),
              "the change begins");
  const auto is_recorded = [&sim, before = sim.cluster_view().ring.version] {
    return sim.cluster_view().ring.version != before || sim.ring_admin()->is_idle();
  };
  sim.require(step_until(sim, is_recorded), "the change is recorded");
}

// Runs until a primary's turn shows the step for the n-th time from now, and a moment more. None: the change
// is over before that.
std::optional<Move> await_step(Simulation& sim, Step step, std::uint64_t which) {
  auto found = std::make_shared<std::optional<Move>>();
  auto left = std::make_shared<std::uint64_t>(which);
  sim.watch_turns([&sim, step, found, left](const GroupCore& core, const GroupOutput& output) {
    if (*found) return;
    const std::optional<Move> move = find_step(sim, step, core, output);
    if (move && (*left)-- == 0) *found = move;
  });
  sim.require(step_until(sim, [&] { return found->has_value() || sim.is_ring_settled(); }), "arcs move");
  sim.watch_turns({});
  if (*found && sim.world().random.one_in(2)) sim.run_for(sim.world().random.below(kSoon));
  return *found;
}

// Begins changes until one has a move that comes to the step.
Move change_up_to(Simulation& sim, Step step, std::uint64_t most) {
  const TimeUs end = sim.world().now() + kPatience;
  while (true) {
    begin_change(sim);
    if (const auto move = await_step(sim, step, sim.world().random.below(most))) return *move;
    sim.require(sim.world().now() < end, "arcs move");
  }
}

// --- the stories -----------------------------------------------------------------------------------------

void primaries_die(Simulation& sim, bool source, bool destination) {
  for (Step step : kSteps) {
    const Move move = change_up_to(sim, step, 5);
    ServerProcess* from = sim.primary_of(move.from);
    ServerProcess* to = sim.primary_of(move.to);
    if (source && from != nullptr) sim.crash(*from, kSecond, sim.world().random.one_in(3));
    if (destination && to != nullptr && to->alive()) sim.crash(*to, kSecond, sim.world().random.one_in(3));
    await_settled(sim);
  }
  work_on(sim);
}
void source_dies(Simulation& sim) {
  primaries_die(sim, true, false);
}
void destination_dies(Simulation& sim) {
  primaries_die(sim, false, true);
}
void both_die(Simulation& sim) {
  primaries_die(sim, true, true);
}

// What has moved comes back, and what is on its way goes on to where it has to go back from.
void aborted_midway(Simulation& sim) {
  int aborted = 0;
  for (int round = 0; round < 12 && aborted < 4; ++round) {
    const Step step = kSteps[round % 4];
    const std::vector<coordinator::RingGroup> before = sim.cluster_view().ring.groups;
    begin_change(sim);
    const std::vector<coordinator::RingGroup> after = sim.cluster_view().ring.groups;
    await_step(sim, step, sim.world().random.below(5));
    const coordinator::RingRecord& ring = sim.cluster_view().ring;
    if (sim.world().random.one_in(2)) steer(sim, Kind::pause, [&] { return ring.paused; });
    steer(sim, Kind::abort, [&] { return ring.groups == before; });
    if (sim.world().random.one_in(2)) {
      const auto move = await_step(sim, Step::given, 0);
      ServerProcess* from = move ? sim.primary_of(move->from) : nullptr;
      if (from != nullptr) sim.crash(*from, kSecond);
    }
    await_settled(sim);
    if (ring.groups == before) ++aborted;
    sim.require(ring.groups == before || ring.groups == after,
                "the ring is as it was, or the change was over before");
  }
  sim.require(aborted > 0, "a change is aborted");
  work_on(sim);
}

// Arcs go on moving; what has to be recorded, and the end of the change, wait.
void coordinator_away(Simulation& sim) {
  for (Step step : kSteps) {
    change_up_to(sim, step, 4);
    sim.ensemble().go_away();
    sim.run_for(sim.world().random.below(2 * sim.shape().session_timeout_ms * kMs));
    sim.ensemble().come_back();
    await_settled(sim);
  }
  work_on(sim);
}

}  // namespace

const std::vector<Scenario>& move_scenarios() {
  static const std::vector<Scenario> kScenarios = {
      {"move-source-primary-dies", "the primary that gives an arc dies, at each step of the move",
       source_dies, true},
      {"move-destination-primary-dies", "the primary that gets an arc dies, at each step of the move",
       destination_dies, true},
      {"both-primaries-die", "both primaries die, at each step of a move", both_die, true},
      {"ring-change-aborted-midway", "a change of the ring is aborted while arcs move", aborted_midway, true},
      {"coordinator-away-during-change", "the coordinator is away while arcs move", coordinator_away, true},
  };
  return kScenarios;
}

}  // namespace dlm::sim
