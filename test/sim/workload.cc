#include "test/sim/workload.h"

#include <algorithm>
#include <set>
#include <utility>

#include "schema/limits.h"

namespace dlm::sim {

using client::HoldId;
using client::Request;

namespace {

constexpr std::uint32_t kRequestTimeoutMs = 5'000;

bool is_definite(Status status) {
  switch (status) {
    case Status::ok:
    case Status::timed_out:
    case Status::cancelled:
    case Status::not_held:
    case Status::would_deadlock:
    case Status::over_quota:
    case Status::invalid_argument:
      return true;
    default:
      return false;
  }
}

}  // namespace

Workload::Workload(World& world, const WorkloadOptions& options, Beliefs& beliefs,
                   const ClusterChecks& checks, ModelOf model_of)
    : world_(world),
      options_(options),
      beliefs_(beliefs),
      checks_(checks),
      model_of_(std::move(model_of)),
      random_(world.random.fork()) {}
Workload::~Workload() = default;

// --- what a client does ----------------------------------------------------------------------------------

void Workload::on_start(ClientProcess& client) {
  Program& program = programs_[client.node()];
  program = Program();
  program.client = &client;
  act_later(client);
}

void Workload::act_later(ClientProcess& client) {
  client.post(random_.around(options_.pause_us / 4), [this, &client] { act(client); });
}

void Workload::act(ClientProcess& client) {
  if (client.closing() || draining_) return;
  act_later(client);
  if (all_asked()) return;
  Program& program = program_of(client);
  if (random_.below(1'000) < options_.closes_permille) {
    world_.note(client.name(), "closes");
    return client.close();
  }
  const std::uint64_t draw = random_.below(100);
  if (draw < options_.inspects) return inspect(client, program);
  if (draw < options_.inspects + options_.renews) return renew(client, program);
  if (draw < options_.inspects + options_.renews + options_.cancels) return cancel(client, program);
  if (!detached_.empty() && random_.one_in(4)) return release_detached(client);
  if (program.asked.size() < options_.in_flight_max && program.held.size() < options_.held_max)
    acquire(client, program);
}

std::string Workload::some_resource() {
  const bool hot = random_.percent(options_.hot_percent);
  return "r" + std::to_string(hot ? 0 : random_.below(options_.resources));
}

Sequence Workload::ask(ClientProcess& client, Program& program, Request request) {
  ++asked_;
  Asked asked;
  asked.kind = request.kind;
  asked.request = request;
  asked.at = world_.now();
  asked.floor = beliefs_.highest_token(request.resource);
  const Sequence sequence = client.submit(asked.request);
  program.asked.emplace(sequence, std::move(asked));
  return sequence;
}

void Workload::acquire(ClientProcess& client, Program& program) {
  Request request;
  request.resource = some_resource();
  if (random_.one_in(3)) request.owner_tag = "t" + std::to_string(random_.below(options_.tags));
  request.mode = random_.percent(options_.shared) ? LockMode::shared : LockMode::exclusive;
  request.handle = true;
  if (random_.percent(options_.leased)) {
    request.lease = random_.one_in(2) ? LeaseKind::detached : LeaseKind::capped;
    request.lease_ms = options_.lease_ms + static_cast<std::uint32_t>(random_.below(options_.lease_ms));
    request.handle = request.lease == LeaseKind::capped || random_.one_in(2);
  }
  if (!random_.percent(options_.tries)) {
    const bool for_ever = random_.percent(options_.forever);
    request.wait_ms = for_ever ? kWaitForeverMs : 1 + static_cast<std::uint32_t>(random_.around(300));
  }
  request.request_timeout_ms = kRequestTimeoutMs;
  const std::uint32_t wait_ms = request.wait_ms;
  const Sequence sequence = ask(client, program, std::move(request));
  waits_[{SessionId(client.session_base()), sequence}] = {world_.now(), wait_ms};
}

void Workload::renew(ClientProcess& client, Program& program) {
  for (const auto& [hold, held] : program.held) {
    if (held.lease == LeaseKind::session || !random_.one_in(2)) continue;
    Request request;
    request.kind = OperationKind::renew;
    request.hold = hold;
    if (random_.one_in(2))
      request.lease_ms = options_.lease_ms + static_cast<std::uint32_t>(random_.below(options_.lease_ms));
    ask(client, program, std::move(request));
    return;
  }
}

void Workload::cancel(ClientProcess& client, Program& program) {
  for (const auto& [sequence, asked] : program.asked) {
    if (asked.kind != OperationKind::acquire || !random_.one_in(2)) continue;
    ++asked_;
    return client.cancel(sequence);
  }
}

void Workload::inspect(ClientProcess& client, Program& program) {
  ++asked_;
  const std::string resource = some_resource();
  const client::QueryId id = client.inspect(resource, kRequestTimeoutMs);
  program.queries[id] = {resource, world_.now()};
}

void Workload::release_later(ClientProcess& client, HoldId hold) {
  const TimeUs pause = draining_ ? 0 : random_.around(options_.hold_us / 4);
  client.post(pause, [this, &client, hold] { release(client, hold); });
}

void Workload::release(ClientProcess& client, HoldId hold) {
  Program& program = program_of(client);
  auto found = program.held.find(hold);
  if (found == program.held.end() || client.closing()) return;
  Request request;
  request.kind = OperationKind::release;
  request.hold = hold;
  request.owner_tag = found->second.tag;
  request.resource = found->second.resource;
  beliefs_.end(client, hold, found->second.resource);
  program.held.erase(found);
  ask(client, program, std::move(request));
}

// By whoever knows client id and token.
void Workload::release_detached(ClientProcess& client) {
  if (detached_.empty() || client.closing()) return;
  const std::size_t at = random_.below(detached_.size());
  const Detached hold = detached_[at];
  detached_.erase(detached_.begin() + static_cast<std::ptrdiff_t>(at));
  Request request;
  request.kind = OperationKind::release;
  request.lease = LeaseKind::detached;
  request.token = hold.token;
  request.resource = hold.resource;
  request.owner_tag = hold.tag;
  if (hold.client_id != client.client_id()) request.client_id = hold.client_id;
  beliefs_.end_token(hold.resource, hold.token);
  ask(client, program_of(client), std::move(request));
}

// --- what it is told -------------------------------------------------------------------------------------

void Workload::on_completion(ClientProcess& client, const client::Completion& completion) {
  Program& program = program_of(client);
  auto found = program.asked.find(completion.sequence);
  if (found == program.asked.end()) return;
  const Asked asked = std::move(found->second);
  program.asked.erase(found);
  ++completed_;
  world_.trace.mix(static_cast<std::uint64_t>(completion.answer.status) ^ completion.answer.token.value);
  if (world_.trace.wanted())
    world_.tell(client.name(), "is told: " + describe(completion.answer) + " " + completion.answer.message);
  if (asked.kind == OperationKind::acquire && completion.answer.status == Status::ok)
    granted(client, program, asked, completion);
}

void Workload::granted(ClientProcess& client, Program& program, const Asked& asked,
                       const client::Completion& completion) {
  ++granted_;
  const Answer& answer = completion.answer;
  const Request& request = asked.request;
  if (answer.count == 1) beliefs_.check_token(request.resource, asked.floor, answer.token);
  if (!completion.hold) {
    detached_.push_back({request.resource, request.owner_tag, client.client_id(), answer.token});
    if (draining_) client.post(0, [this, &client] { release_detached(client); });
    return;
  }
  Belief belief;
  belief.client = &client;
  belief.life = client.life();
  belief.hold = completion.hold;
  belief.resource = request.resource;
  belief.owner = {client.client_id(), request.owner_tag};
  belief.mode = request.mode;
  belief.lease = request.lease;
  belief.token = answer.token;
  belief.term = completion.term;
  belief.lease_deadline_ms = completion.lease_deadline_ms;
  belief.term_deadline_ms = client.core().sessions().deadline_ms(completion.term);
  beliefs_.begin(std::move(belief));
  program.held[completion.hold] = {request.resource, request.owner_tag, request.lease};
  release_later(client, completion.hold);
}

void Workload::on_hold(ClientProcess& client, const client::HoldEvent& event) {
  Program& program = program_of(client);
  auto found = program.held.find(event.hold);
  if (found == program.held.end()) return;
  const std::string& resource = found->second.resource;
  switch (event.kind) {
    case client::HoldEvent::Kind::lost:
      if (world_.trace.wanted()) world_.tell(client.name(), "has lost " + resource + ": " + event.message);
      beliefs_.end(client, event.hold, resource);
      program.held.erase(found);
      break;
    case client::HoldEvent::Kind::lease:
      beliefs_.set_lease(client, resource, event);
      break;
    case client::HoldEvent::Kind::token:
      beliefs_.set_token(client, resource, event);
      break;
    case client::HoldEvent::Kind::jeopardy:
      break;
  }
}

void Workload::on_term(ClientProcess& client, const client::TermDeadline& deadline) {
  beliefs_.set_term(client, deadline);
}

void Workload::on_report(ClientProcess& client, client::QueryId id, const router::QueryReport* report) {
  Program& program = program_of(client);
  auto found = program.queries.find(id);
  if (found == program.queries.end()) return;
  const auto [resource, asked_at] = found->second;
  program.queries.erase(found);
  ++completed_;
  if (report == nullptr || report->status != Status::ok) return;
  if (const auto* lock = std::get_if<LockReport>(&report->content)) checks_.check_report(*lock, asked_at);
}

// The answer to an operation never changes, whoever gives it and however often.
void Workload::on_answer(ClientProcess& client, const Answer& answer) {
  if (!answer.session || !is_definite(answer.status)) return;
  const Program& program = program_of(client);
  auto asked = program.asked.find(answer.sequence);
  if (asked == program.asked.end() || asked->second.kind == OperationKind::renew) return;
  const Outcome outcome{answer.status, answer.cause, answer.token, answer.count};
  auto [known, is_new] = heard_.try_emplace({base_of(answer.session), answer.sequence}, outcome);
  if (known->second != outcome)
    world_.violated(client.name() + " hears " + describe(outcome) + " for #" +
                    std::to_string(answer.sequence.value) + ", before it was " + describe(known->second));
}

void Workload::check_wait_expired(const OperationName& wait) {
  auto found = waits_.find({base_of(wait.session), wait.sequence});
  if (found == waits_.end()) return;
  const TimeUs waited = world_.now() - found->second.asked_at;
  // By clocks that may differ by 2%, in whole milliseconds.
  if ((waited + 2 * kMs) * 102 / 100 < found->second.wait_ms * kMs)
    world_.violated("a wait of " + std::to_string(found->second.wait_ms) + " ms was ended after " +
                    std::to_string(waited / kMs));
}

void Workload::on_crash(ClientProcess& client) {
  beliefs_.crashed(client);
  programs_[client.node()] = Program();
}

// --- the end ---------------------------------------------------------------------------------------------

void Workload::drain() {
  draining_ = true;
  for (auto& [node, program] : programs_) {
    if (program.client == nullptr || !program.client->running()) continue;
    for (const auto& [hold, held] : program.held) release_later(*program.client, hold);
    ClientProcess& client = *program.client;
    for (std::size_t i = 0; i < detached_.size(); ++i)
      client.post(0, [this, &client] { release_detached(client); });
  }
}

bool Workload::is_quiet() const {
  return std::all_of(programs_.begin(), programs_.end(), [](const auto& entry) {
    return entry.second.asked.empty() && entry.second.held.empty() && entry.second.queries.empty();
  });
}

std::string Workload::unserved() const {
  std::string text;
  std::set<std::string> locks;
  for (const auto& [node, program] : programs_) {
    if (program.client == nullptr) continue;
    const std::string& name = program.client->name();
    for (const auto& [sequence, asked] : program.asked) {
      text += "\n  " + name + " waits for #" + std::to_string(sequence.value) + " (" +
              asked.request.resource + ")";
      locks.insert(asked.request.resource);
    }
    for (const auto& [hold, held] : program.held) text += "\n  " + name + " still holds " + held.resource;
    if (!program.queries.empty()) text += "\n  " + name + " waits for a report";
  }
  for (const std::string& resource : locks) {
    const LockModel* model = model_of_(resource);
    if (model == nullptr) text += "\n  nobody owns " + resource;
    const LockModel::Lock* lock = model == nullptr ? nullptr : model->lock(resource);
    if (lock == nullptr) continue;
    for (const LockModel::Hold& hold : lock->holders)
      text += "\n  " + resource + " is held by " + hold.owner.client + "/" + hold.owner.tag + ", token " +
              std::to_string(hold.token.value) + ", count " + std::to_string(hold.count);
  }
  return text;
}

}  // namespace dlm::sim
