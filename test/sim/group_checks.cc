#include "test/sim/group_checks.h"

#include <algorithm>
#include <utility>

#include "server/core/entry_codec.h"
#include "server/core/lock_table_moved.h"
#include "test/sim/messages.h"

namespace dlm::sim {

using server::GroupCore;
using server::GroupOutput;
using server::MemberName;

namespace {

constexpr std::uint64_t kFingerprintEvery = 32;  // log entries

std::uint64_t hash_of(std::string_view bytes, std::uint64_t hash = 0xcbf29ce484222325U) {
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

// A log that was begun in a later era has indexes of its own.
std::uint64_t base_of(std::uint64_t index) {
  return index >> coordinator::kEraShift << coordinator::kEraShift;
}

bool says_nothing(Status status) {
  return status == Status::not_primary || status == Status::moved || status == Status::overloaded ||
         status == Status::unavailable || status == Status::session_unknown ||
         status == Status::client_id_in_use;
}

}  // namespace

GroupChecks::GroupChecks(World& world, GroupId group, ClusterChecks& cluster, Hooks hooks)
    : world_(world), group_(group), cluster_(cluster), hooks_(std::move(hooks)) {}

void GroupChecks::violated(const MemberName& by, const std::string& what) const {
  world_.violated(to_string(group_) + ", " + to_string(by) + ": " + what);
}

std::uint64_t GroupChecks::committed() const {
  return lineages_.empty() ? 0 : lineages_.back()->log.size();
}

// --- what a server did -----------------------------------------------------------------------------------

void GroupChecks::on_submit(const MemberName& by, const GroupCore& core,
                            std::span<const Operation> operations) {
  if (!core.serving()) return;
  Arrivals& arrivals = arrivals_[core.replica().epoch()];
  arrivals.primary = by;
  for (const Operation& operation : operations) {
    const OperationName name{operation.session, operation.sequence};
    if (operation.sequence) kinds_[name] = operation.kind;
    if (operation.kind != OperationKind::acquire) continue;
    auto [number, is_new] = arrivals.numbers.try_emplace(name, ++arrivals.last);
    if (!is_new) number->second = 0;  // it came twice: which of the two is logged is not known here
  }
}

void GroupChecks::on_turn(const MemberName& by, const GroupCore& core, const GroupOutput& output) {
  for (const server::Batch& batch : output.applied) applied(by, batch);
  for (const GroupOutput::Finished& finished : output.finished) {
    for (const Answer& answer : finished.answers) {
      check_answer(by, answer);
      // What is refused comes anew later, in an order that is nobody's promise.
      if (says_nothing(answer.status)) arrivals_[finished.epoch].refused = true;
    }
  }
  for (const GroupOutput::Later& later : output.later)
    for (const Answer& answer : later.answers) check_answer(by, answer);
  check_obedience(by, core, output);
  if (core.serving()) {
    const Epoch epoch = core.replica().epoch();
    const std::pair life(by, returns_[by]);
    auto [primary, is_new] = serving_.try_emplace(epoch, life);
    if (primary->second != life)
      violated(by, "serves in epoch " + std::to_string(epoch.value) + ", which is that of " +
                       to_string(primary->second.first) + (primary->second.first == by ? " before" : ""));
  }
  const std::uint64_t index = core.applied_index().value;
  logged_[by] = core.replica().last_index().value;
  std::uint64_t& applied = applied_[by];
  const bool jumped = index != applied && output.applied.empty();  // a snapshot was installed
  applied = index;
  if (index == base_of(index)) return;
  const Lineage* lineage = lineage_of(index);
  if (lineage == nullptr || index > lineage->last())
    violated(by, "has applied " + std::to_string(index) + ", which nobody committed");
  if (jumped || index % kFingerprintEvery == 0) check_fingerprint(by, core);
}

void GroupChecks::on_return(const MemberName& member) {
  ++returns_[member];
  seen_.erase(member);
  applied_.erase(member);
}

// Who has seen an epoch takes nothing of an older one any more.
void GroupChecks::check_obedience(const MemberName& by, const GroupCore& core, const GroupOutput& output) {
  Epoch& seen = seen_[by];
  for (const GroupOutput::Reply& reply : output.replies) {
    if (reply.damaged) continue;
    const Epoch epoch = reply.reply.epoch;
    if (reply.reply.accepted && epoch < seen)
      violated(by, "obeys a primary of epoch " + std::to_string(epoch.value) + " after it has seen " +
                       std::to_string(seen.value));
    seen = std::max(seen, epoch);
  }
  seen = std::max(seen, core.replica().epoch());
}

void GroupChecks::applied(const MemberName& by, const server::Batch& batch) {
  const std::uint64_t index = batch.index.value;
  Lineage* known = lineage_of(index);
  Lineage& lineage = known != nullptr ? *known : begin_lineage(by, base_of(index));
  if (index > lineage.last() + 1) violated(by, "applies " + std::to_string(index) + " out of order");
  if (index <= lineage.last()) {
    if (lineage.log[index - lineage.base - 1] != std::pair(batch.epoch, hash_of(*batch.entries)))
      violated(by, "applies another batch " + std::to_string(index) + " than was committed before");
    return;
  }
  if (!lineage.log.empty() && batch.epoch < lineage.log.back().first)
    violated(by, "commits in epoch " + std::to_string(batch.epoch.value) + " after a later one");
  if (&lineage != lineages_.back().get()) {
    const auto tail = lineage.tails.find(by);
    if (tail == lineage.tails.end() || index > tail->second)
      violated(by, "commits to a log that was given up");
  }
  commit(lineage, batch);
}

GroupChecks::Lineage* GroupChecks::lineage_of(std::uint64_t index) const {
  for (const auto& lineage : lineages_)
    if (lineage->base == base_of(index)) return lineage.get();
  return nullptr;
}

GroupChecks::Lineage& GroupChecks::begin_lineage(const MemberName& by, std::uint64_t base) {
  const bool is_loss = !lineages_.empty();
  if (is_loss &&
      (base <= lineages_.back()->base || base >> coordinator::kEraShift != hooks_.record(group_).era))
    violated(by, "begins the group's log anew");
  if (is_loss) give_up(*lineages_.back());
  LockModel::Events events;
  events.on_change = [this](const std::string& resource) {
    cluster_.changed(resource, model()->lock(resource));
  };
  events.on_grant = [this](const std::string& resource, const LockModel::Hold& hold) {
    cluster_.granted(resource, hold.token);
  };
  events.on_end = hooks_.on_end;
  events.on_wait_expired = hooks_.on_wait_expired;
  lineages_.push_back(std::make_unique<Lineage>(group_, cluster_.arcs(), std::move(events)));
  lineages_.back()->base = base;
  if (is_loss) {
    world_.note(to_string(group_), "begins with nothing");
    cluster_.arcs().lose(group_);
  }
  return *lineages_.back();
}

void GroupChecks::give_up(Lineage& lineage) {
  lineage.tails = logged_;
  lineage.model.go_on_alone();
}

// The first replica that applies a batch: from now on it stands for ever.
void GroupChecks::commit(Lineage& lineage, const server::Batch& batch) {
  lineage.log.emplace_back(batch.epoch, hash_of(*batch.entries));
  server::BatchReader reader(*batch.entries);
  Operation entry;
  while (reader.next(entry)) {
    if (world_.trace.wanted()) world_.tell(to_string(group_), "commits " + describe(entry));
    check_order(batch.epoch, entry);
    if (entry.kind == OperationKind::move_in) check_move_in(entry);
    lineage.model.apply(entry);
  }
}

// --- order, answers, tables ------------------------------------------------------------------------------

// What came first to the primary is logged first.
void GroupChecks::check_order(Epoch epoch, const Operation& entry) {
  if (entry.kind != OperationKind::acquire) return;
  auto at = arrivals_.find(epoch);
  if (at == arrivals_.end()) return;
  Arrivals& arrivals = at->second;
  auto number = arrivals.numbers.find({entry.session, entry.sequence});
  if (number == arrivals.numbers.end()) return;
  if (number->second == 0 || arrivals.refused) return;
  std::uint64_t& logged = arrivals.logged[std::string(entry.resource)];
  if (number->second < logged)
    violated(arrivals.primary, "logs " + describe(entry) + " after one that came later");
  logged = number->second;
  arrivals.numbers.erase(number);
}

// A group that loses everything waits as long as its record says and goes on in the era after the recorded
// one: so the record must cover what comes from another group.
void GroupChecks::check_move_in(const Operation& entry) const {
  const GroupId from(static_cast<std::uint32_t>(entry.session.value));
  const coordinator::GroupConfig record = hooks_.record(group_);
  server::MovedArc moved;
  if (!server::decode_moved(entry.resource, moved))
    world_.violated(to_string(group_) + " takes from " + to_string(from) + " what is no arc");
  if (moved.last_token.value >> coordinator::kEraShift > record.era)
    world_.violated(to_string(group_) + " takes tokens of an era that is not recorded");
  std::uint32_t longest_ms = 0;
  for (const server::MovedSession& session : moved.sessions)
    longest_ms = std::max(longest_ms, session.ttl_ms);
  for (const server::MovedLock& lock : moved.locks)
    for (const server::MovedHold& hold : lock.holds) longest_ms = std::max(longest_ms, hold.lease_ms);
  if (longest_ms > record.lease_ms_max)
    world_.violated(to_string(group_) + " takes a longer lease than is recorded");
}

void GroupChecks::check_answer(const MemberName& by, const Answer& answer) const {
  if (!answer.sequence || says_nothing(answer.status)) return;
  const OperationName name{answer.session, answer.sequence};
  auto applied = applied_.find(by);
  const Lineage* lineage = lineage_of(applied == applied_.end() ? 0 : applied->second);
  if (lineage == nullptr) violated(by, "answers before anything was committed");
  const LockModel& model = lineage->model;
  const Outcome* outcome = model.outcome(name);
  const auto disagrees = [&](const std::string& with) {
    violated(by, "answers " + describe(answer) + " to " + std::to_string(answer.session.value) + ", " + with);
  };
  switch (answer.status) {
    case Status::queued:
      if (outcome == nullptr && !model.has_waited(name)) disagrees("which is not in the committed log");
      return;
    case Status::stale:
      if (model.is_live(answer.session) && answer.sequence >= model.acked_below(answer.session))
        disagrees("whose answer was not acknowledged");
      return;
    case Status::session_expired:
      if (outcome != nullptr && outcome->status != Status::session_expired && model.is_live(answer.session))
        disagrees("but it came to " + describe(*outcome));
      return;
    default:
      break;
  }
  // A renewal that changes nothing is not logged but read: asked again it is read again.
  auto kind = kinds_.find(name);
  if (kind != kinds_.end() && kind->second == OperationKind::renew) return;
  if (outcome == nullptr) disagrees("which is not in the committed log");
  const Outcome told{answer.status, answer.cause, answer.token, answer.count};
  if (told != *outcome) disagrees("but it came to " + describe(*outcome));
}

void GroupChecks::check_fingerprint(const MemberName& by, const GroupCore& core) {
  const std::uint64_t index = core.applied_index().value;
  Lineage* lineage = lineage_of(index);
  if (lineage == nullptr) return;
  const std::uint64_t fingerprint = core.table().fingerprint();
  auto [known, is_new] = lineage->fingerprints.try_emplace(index, fingerprint);
  if (known->second != fingerprint)
    violated(by, "has another table at " + std::to_string(index) + " than another replica had");
  if (index == lineage->last() && lineage == lineages_.back().get()) check_table(core, lineage->model);
}

void GroupChecks::compare(const MemberName& by, const GroupCore& core) {
  check_fingerprint(by, core);
}

void GroupChecks::check_arcs(const GroupCore& core) const {
  if (core.table().arcs() != cluster_.arcs().arcs_of(group_))
    world_.violated(to_string(group_) + ": the table owns other arcs than the model");
  std::vector<std::uint64_t> outgoing;
  for (const server::OutgoingArc& arc : core.table().outgoing()) outgoing.push_back(arc.number);
  if (outgoing != cluster_.arcs().outgoing_of(group_))
    world_.violated(to_string(group_) + ": the table keeps other arcs that have not arrived than the model");
}

void GroupChecks::check_table(const GroupCore& core, const LockModel& model) const {
  check_arcs(core);
  std::size_t held = 0;
  for (const auto& [resource, lock] : model.locks()) {
    if (lock.holders.empty()) continue;
    ++held;
    const LockReport report = core.table().inspect(resource, SIZE_MAX);
    std::size_t place = 0;
    bool same = digest_of(report) == digest_of(&lock) && report.waiters.size() == lock.queue.size();
    for (const LockModel::Wait& wait : lock.queue) {
      if (!same) break;
      same = report.waiters[place].client_id == wait.owner.client &&
             report.waiters[place].owner_tag == wait.owner.tag;
      ++place;
    }
    if (!same)
      world_.violated(to_string(group_) + ": the table has another state of " + resource + " than the model");
  }
  if (core.table().stats().locks_held != held)
    world_.violated(to_string(group_) + ": the table holds " +
                    std::to_string(core.table().stats().locks_held) + " locks, the model " +
                    std::to_string(held));
}

}  // namespace dlm::sim
