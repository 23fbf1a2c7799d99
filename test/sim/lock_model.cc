#include "test/sim/lock_model.h"

#include <algorithm>

#include "coordinator/core/ring.h"
#include "test/sim/arc_book.h"

namespace dlm::sim {
namespace {

constexpr std::size_t kEndedWaitsMax = 256;  // that a session remembers

std::uint32_t place_of(std::string_view resource) {
  return static_cast<std::uint32_t>(coordinator::hash_of(resource) >> 32);
}

}  // namespace

std::string describe(const Outcome& outcome) {
  std::string text(to_string(outcome.status));
  if (outcome.cause != EndCause::none) text += " (" + std::string(to_string(outcome.cause)) + ")";
  if (outcome.token) text += " token " + std::to_string(outcome.token.value);
  if (outcome.count != 0) text += " count " + std::to_string(outcome.count);
  return text;
}

void LockModel::Session::acknowledge(Sequence below) {
  acked_below = std::max(acked_below, below);
  answers.erase(answers.begin(), answers.lower_bound(acked_below));
}

void LockModel::Session::remember(Sequence sequence, Place place) {
  if (sequence >= acked_below) answers.try_emplace(sequence, place);
}

void LockModel::Session::remember_wait(Sequence sequence, Place place) {
  ended_waits.emplace_back(sequence, place);
  if (ended_waits.size() > kEndedWaitsMax) ended_waits.pop_front();
}

bool LockModel::Session::remembers(Sequence sequence) const {
  return answers.contains(sequence) ||
         std::any_of(ended_waits.begin(), ended_waits.end(),
                     [&](const auto& ended) { return ended.first == sequence; });
}

const Outcome* LockModel::outcome(const OperationName& name) const {
  auto found = outcomes_.find(name);
  return found == outcomes_.end() ? nullptr : &found->second;
}

Sequence LockModel::acked_below(SessionId session) const {
  const Session* found = find_session(session);
  return found == nullptr ? Sequence() : found->acked_below;
}

const LockModel::Lock* LockModel::lock(const std::string& resource) const {
  auto found = locks_.find(resource);
  return found == locks_.end() ? nullptr : &found->second;
}

void LockModel::go_on_alone() {
  events_ = {};
  own_arcs_ = std::make_shared<ArcBook>(arcs_->apart());
  arcs_ = own_arcs_.get();
}

void LockModel::apply(const Operation& entry) {
  const auto is_exact = [&] {
    auto found = sessions_.find(base_of(entry.session));
    return found != sessions_.end() && found->second.id == entry.session;
  };
  switch (entry.kind) {
    case OperationKind::open_session:
      return open(entry);
    case OperationKind::close_session:
      if (find_session(entry.session) != nullptr) end_session(base_of(entry.session), false);
      return;
    case OperationKind::expire_session:
      if (is_exact()) end_session(base_of(entry.session), true);
      return;
    case OperationKind::expire_hold:
      return expire_hold(entry);
    case OperationKind::expire_wait:
      if (is_exact()) expire_wait(entry);
      return;
    case OperationKind::forget_session:
      ended_.erase(entry.session);
      return;
    case OperationKind::start_epoch:
      return start_epoch(entry);
    case OperationKind::move_out:
      return move_out(entry);
    case OperationKind::move_in:
      return move_in(entry);
    case OperationKind::move_done:
      return arcs_->forget(group_, entry.target.value);
    case OperationKind::miss_arcs:
      missing_.insert(GroupId(static_cast<std::uint32_t>(entry.target.value)));
      return;
    case OperationKind::take_arcs:
      return take_arcs(entry);
    case OperationKind::let_arcs:
      return arcs_->let(group_, GroupId(static_cast<std::uint32_t>(entry.target.value)),
                        entry.acked_below.value);
    default:
      return serve(entry);
  }
}

// --- sessions --------------------------------------------------------------------------------------------

// An adopted one answers to every later generation that has not ended.
const LockModel::Session* LockModel::find_session(SessionId id) const {
  auto found = sessions_.find(base_of(id));
  if (found == sessions_.end()) return nullptr;
  const Session& session = found->second;
  const bool may_follow = session.adopted && session.id < id && !ended_.contains(id);
  return session.id == id || may_follow ? &session : nullptr;
}

// The client has spoken to it: it is a session like any other.
void LockModel::heard(Session& session, const Operation& entry) {
  if (session.adopted) follow_generation(session, entry.session);
  session.acknowledge(entry.acked_below);
}

// One session per client, its latest generation; a dead id never comes back.
void LockModel::open(const Operation& entry) {
  if (ended_.contains(entry.session)) return;
  if (entry.lease_ms < limits_.lease_ms_min || entry.lease_ms > limits_.lease_ms_max ||
      entry.client_id.empty())
    return;
  if (Session* known = find_session(entry.session)) {
    if (known->client == entry.client_id) heard(*known, entry);
    return;
  }
  const SessionId base = base_of(entry.session);
  auto live = live_.find(entry.client_id);
  if (live != live_.end() && live->second != base) return;
  // An earlier generation, which may have come with an arc beside another live one.
  if (auto earlier = sessions_.find(base); earlier != sessions_.end()) {
    if (earlier->second.id > entry.session) return;
    end_session(base, true);
  }
  Session session;
  session.id = entry.session;
  session.client = entry.client_id;
  session.acknowledge(entry.acked_below);
  live_[session.client] = base;
  sessions_.emplace(base, std::move(session));
}

// Its waits are gone, and its holds but for the detached ones; then others get their turn.
void LockModel::end_session(SessionId base, bool expired) {
  const Session session = std::move(sessions_.extract(base).mapped());
  if (auto live = live_.find(session.client); live != live_.end() && live->second == base) live_.erase(live);
  // Nothing was done under an adopted one's id, so the client may still use it.
  if (!session.adopted) ended_[session.id] = !expired;
  std::vector<std::string> touched;  // in the order in which their queues are served
  end_waits_of(base, session, expired, touched);
  if (session.adopted) forget_adopted(base, session);
  end_holds_of(base, expired, touched);
  for (const std::string& resource : touched) serve_queue(resource);
}

void LockModel::end_waits_of(SessionId base, const Session& session, bool expired,
                             std::vector<std::string>& touched) {
  std::vector<OperationName> waits;
  for (const auto& [name, resource] : waits_)
    if (name.session == base) waits.push_back(name);
  std::sort(waits.begin(), waits.end(), [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
  for (const OperationName& name : waits) {
    touched.push_back(waits_.at(name));
    const Outcome gone{expired ? Status::session_expired : Status::cancelled, EndCause::none, {}, 0};
    end_wait(name, gone);
    // Of an adopted session nobody is told: who asks again begins anew.
    if (!session.adopted) outcomes_[{session.id, name.sequence}] = gone;
  }
}

void LockModel::end_holds_of(SessionId base, bool expired, std::vector<std::string>& touched) {
  std::vector<std::pair<FencingToken, std::string>> ends;
  for (auto& [resource, lock] : locks_) {
    for (Hold& hold : lock.holders) {
      if (hold.session != base) continue;
      if (hold.lease == LeaseKind::detached) {
        hold.session = SessionId();
        hold.waited = false;
      } else {
        ends.emplace_back(hold.token, resource);
      }
    }
  }
  std::sort(ends.begin(), ends.end());
  for (const auto& [token, resource] : ends) {
    Lock& lock = locks_.at(resource);
    for (std::size_t i = lock.holders.size(); i-- > 0;)
      if (lock.holders[i].token == token && lock.holders[i].session == base)
        end_hold(resource, lock, i, expired);
    touched.push_back(resource);
  }
}

// --- operations ------------------------------------------------------------------------------------------

void LockModel::serve(const Operation& entry) {
  Session* session = find_session(entry.session);
  if (session == nullptr) return;  // refused, and remembered by nobody
  heard(*session, entry);
  const bool owned = arcs_->owns(group_, coordinator::hash_of(entry.resource));
  if (entry.kind == OperationKind::heartbeat || came_before(entry, *session, owned)) return;
  if (is_malformed(entry)) return conclude(entry, {Status::invalid_argument, EndCause::none, {}, 0});
  if (!owned) return;  // told to ask another group, and remembered by nobody
  const Owner owner{entry.client_id.empty() ? session->client : std::string(entry.client_id),
                    std::string(entry.owner_tag)};
  switch (entry.kind) {
    case OperationKind::acquire:
      return acquire(entry, owner);
    case OperationKind::release:
    case OperationKind::renew:
      return release_or_renew(entry, owner);
    default:
      return cancel(entry);
  }
}

// A repeat does nothing, nor does what comes only after the client has said that it has the answer.
bool LockModel::came_before(const Operation& entry, const Session& session, bool owned) const {
  const OperationName name{entry.session, entry.sequence};
  if (outcomes_.contains(name) || waits_.contains(by_base(name))) return true;
  return owned && entry.sequence < session.acked_below;
}

bool LockModel::is_malformed(const Operation& entry) const {
  const bool within = entry.lease_ms >= limits_.lease_ms_min && entry.lease_ms <= limits_.lease_ms_max;
  switch (entry.kind) {
    case OperationKind::acquire:
      if (!entry.client_id.empty() && entry.lease != LeaseKind::detached) return true;
      return entry.lease == LeaseKind::session ? entry.lease_ms != 0 : !within;
    case OperationKind::renew:
      return entry.lease_ms != 0 && !within;
    case OperationKind::cancel:
      return !entry.target || entry.target >= entry.sequence;
    default:
      return false;
  }
}

void LockModel::conclude(const Operation& entry, const Outcome& outcome) {
  outcomes_[{entry.session, entry.sequence}] = outcome;
  sessions_.at(base_of(entry.session)).remember(entry.sequence, place_of(entry.resource));
}

std::size_t LockModel::held_by(const std::string& client) const {
  std::size_t count = 0;
  for (const auto& [resource, lock] : locks_)
    for (const Hold& hold : lock.holders) count += hold.owner.client == client ? 1 : 0;
  return count;
}

std::size_t LockModel::waiting_of(SessionId base) const {
  return static_cast<std::size_t>(std::count_if(
      waits_.begin(), waits_.end(), [&](const auto& wait) { return wait.first.session == base; }));
}

void LockModel::acquire(const Operation& entry, const Owner& owner) {
  const std::string resource(entry.resource);
  Lock& lock = locks_[resource];
  const Wait request{by_base({entry.session, entry.sequence}), owner, entry.mode, entry.lease};
  Outcome outcome;
  const std::size_t waiting = waiting_of(request.name.session);
  const bool holds = std::any_of(lock.holders.begin(), lock.holders.end(), [&](const Hold& hold) {
    return hold.owner == owner &&
           hold.counts_for(request.name.session, sessions_.at(request.name.session).client);
  });
  if (!holds && held_by(owner.client) + waiting >= limits_.holds_per_client_max)
    return conclude(entry, {Status::over_quota, EndCause::none, {}, 0});
  if ((holds || lock.queue.empty()) && try_grant(resource, lock, request, false, outcome)) {
    conclude(entry, outcome);
  } else if (entry.wait_ms == 0) {
    conclude(entry, {Status::timed_out, EndCause::none, {}, 0});
  } else if (waiting < limits_.waits_per_client_max) {
    lock.queue.push_back(request);
    waits_[request.name] = resource;
    changed(resource);
  } else {
    conclude(entry, {Status::over_quota, EndCause::none, {}, 0});
  }
}

// False: it has to wait.
bool LockModel::try_grant(const std::string& resource, Lock& lock, const Wait& request, bool waited,
                          Outcome& outcome) {
  for (Hold& hold : lock.holders) {
    if (hold.owner != request.owner) continue;
    if (!hold.counts_for(request.name.session, sessions_.at(request.name.session).client)) return false;
    outcome = again(resource, lock, hold, request);
    return true;
  }
  const bool compatible =
      lock.holders.empty() || (lock.mode == LockMode::shared && request.mode == LockMode::shared);
  if (!compatible) return false;
  lock.mode = request.mode;
  last_token_ = last_token_.next();
  Hold& hold = lock.holders.emplace_back();
  hold = {
      request.owner, request.name.session, request.name.sequence, last_token_, request.lease, 1, waited, {}};
  outcome = {Status::ok, EndCause::none, last_token_, 1};
  if (events_.on_grant) events_.on_grant(resource, hold);
  changed(resource);
  return true;
}

// The owner holds it already.
Outcome LockModel::again(const std::string& resource, Lock& lock, Hold& own, const Wait& request) {
  if (own.lease != request.lease) return {Status::invalid_argument, EndCause::none, {}, 0};
  if (request.mode == LockMode::exclusive && lock.mode == LockMode::shared) {
    if (lock.holders.size() > 1) return {Status::would_deadlock, EndCause::none, {}, 0};
    lock.mode = LockMode::exclusive;
    // A grant from the queue is found again by its hold, which is that of another acquire now.
    if (own.waited) sessions_.at(own.session).remember_wait(own.acquire, place_of(resource));
    own.replaced = own.token;  // what the owner has asked for with it by now still counts
    own.token = last_token_ = last_token_.next();
    own.acquire = request.name.sequence;
    own.waited = false;
    if (events_.on_grant) events_.on_grant(resource, own);
  }
  ++own.count;
  changed(resource);
  return {Status::ok, EndCause::none, own.token, own.count};
}

EndCause LockModel::why_not_held(const Operation& entry, const Lock* lock) const {
  if (!entry.token || entry.token > last_token_ || entry.token.value <= std::uint64_t{1} << 40)
    return EndCause::never;
  if (expired_tokens_.contains({std::string(entry.resource), entry.token})) return EndCause::expired;
  const bool of_other = lock != nullptr && std::any_of(lock->holders.begin(), lock->holders.end(),
                                                       [&](const Hold& h) { return h.goes_by(entry.token); });
  return of_other ? EndCause::never : EndCause::released;
}

void LockModel::release_or_renew(const Operation& entry, const Owner& owner) {
  const std::string resource(entry.resource);
  const bool is_renewal = entry.kind == OperationKind::renew;
  auto found = locks_.find(resource);
  Lock* lock = found == locks_.end() ? nullptr : &found->second;
  for (std::size_t i = 0; lock != nullptr && i < lock->holders.size(); ++i) {
    Hold& hold = lock->holders[i];
    if (hold.owner != owner || (entry.token && !hold.goes_by(entry.token))) continue;
    if (!hold.counts_for(base_of(entry.session), sessions_.at(base_of(entry.session)).client)) continue;
    if (!entry.client_id.empty() && hold.lease != LeaseKind::detached)
      return conclude(entry, {Status::not_held, EndCause::never, {}, 0});
    if (is_renewal) return conclude(entry, {Status::ok, EndCause::none, hold.token, hold.count});
    conclude(entry, {Status::ok, EndCause::none, hold.token, --hold.count});
    changed(resource);
    if (hold.count == 0) {
      end_hold(resource, *lock, i, false);
      serve_queue(resource);
    }
    return;
  }
  conclude(entry, {Status::not_held, why_not_held(entry, lock), {}, 0});
}

// After its answer the acquire either holds the lock, and the answer says so, or never will.
void LockModel::cancel(const Operation& entry) {
  const OperationName target = by_base({entry.session, entry.target});
  const Outcome cancelled{Status::cancelled, EndCause::none, {}, 0};
  if (auto waiting = waits_.find(target); waiting != waits_.end()) {
    const std::string resource = waiting->second;
    conclude(entry, cancelled);
    end_wait(target, cancelled);
    return serve_queue(resource);
  }
  if (const Hold* hold = hold_of(target.session, target.sequence, std::string(entry.resource))) {
    return conclude(entry, {Status::ok, EndCause::none, hold->token, hold->count});
  }
  // One that has not come yet never will be executed.
  Session& session = sessions_.at(target.session);
  if (target.sequence >= session.acked_below) {
    outcomes_.try_emplace({entry.session, entry.target}, cancelled);
    session.remember(target.sequence, place_of(entry.resource));
  }
  conclude(entry, cancelled);
}

// The hold that an acquire was given or counted into, if it is still there. Of one whose answer the client
// has acknowledged it need not be known any more into which hold it was counted.
const LockModel::Hold* LockModel::hold_of(SessionId base, Sequence acquire,
                                          const std::string& resource) const {
  const Session& session = sessions_.at(base);
  const Lock* lock = this->lock(resource);
  if (lock == nullptr) return nullptr;
  const Outcome* came_to = session.remembers(acquire) ? outcome({session.id, acquire}) : nullptr;
  for (const Hold& hold : lock->holders) {
    if (hold.session != base) continue;
    if (hold.waited && hold.acquire == acquire) return &hold;
    const bool is_named = came_to == nullptr ? acquire < session.acked_below && hold.acquire == acquire
                                             : came_to->status == Status::ok && hold.goes_by(came_to->token);
    if (is_named) return &hold;
  }
  return nullptr;
}

// --- ends ------------------------------------------------------------------------------------------------

void LockModel::expire_hold(const Operation& entry) {
  const std::string resource(entry.resource);
  auto found = locks_.find(resource);
  if (found == locks_.end()) return;
  for (std::size_t i = 0; i < found->second.holders.size(); ++i) {
    const Hold& hold = found->second.holders[i];
    if (hold.token != entry.token || hold.lease == LeaseKind::session) continue;
    end_hold(resource, found->second, i, true);
    return serve_queue(resource);
  }
}

void LockModel::expire_wait(const Operation& entry) {
  const OperationName name = by_base({entry.session, entry.target});
  auto found = waits_.find(name);
  if (found == waits_.end()) return;
  const std::string resource = found->second;
  if (events_.on_wait_expired) events_.on_wait_expired(name);
  end_wait(name, {Status::timed_out, EndCause::none, {}, 0});
  serve_queue(resource);
}

void LockModel::end_hold(const std::string& resource, Lock& lock, std::size_t index, bool expired) {
  const Hold hold = lock.holders[index];
  if (expired) expired_tokens_.insert({resource, hold.token});
  if (expired && hold.replaced) expired_tokens_.insert({resource, hold.replaced});
  lock.holders.erase(lock.holders.begin() + static_cast<std::ptrdiff_t>(index));
  if (events_.on_end) events_.on_end(resource, hold);
  changed(resource);
}

void LockModel::end_wait(const OperationName& name, const Outcome& outcome) {
  const std::string resource = waits_.at(name);
  std::erase_if(locks_.at(resource).queue, [&](const Wait& wait) { return wait.name == name; });
  wait_over(name, outcome);
  changed(resource);
}

// A grant of its own is found again by its hold, all else has to be remembered.
void LockModel::wait_over(const OperationName& name, const Outcome& outcome) {
  const std::string resource = waits_.at(name);
  waits_.erase(name);
  auto session = sessions_.find(name.session);
  if (session == sessions_.end()) return;
  outcomes_[{session->second.id, name.sequence}] = outcome;
  const std::vector<Hold>& holders = locks_.at(resource).holders;
  const bool has_hold = std::any_of(holders.begin(), holders.end(), [&](const Hold& hold) {
    return hold.session == name.session && hold.acquire == name.sequence && hold.waited;
  });
  session->second.remember(name.sequence, place_of(resource));
  if (!has_hold) session->second.remember_wait(name.sequence, place_of(resource));
}

// From the front, as long as what stands there is compatible: strictly in the order of arrival.
void LockModel::serve_queue(const std::string& resource) {
  auto found = locks_.find(resource);
  if (found == locks_.end()) return;
  Lock& lock = found->second;
  while (!lock.queue.empty()) {
    const Wait first = lock.queue.front();
    Outcome outcome;
    if (!try_grant(resource, lock, first, true, outcome)) break;
    lock.queue.pop_front();
    wait_over(first.name, outcome);
    changed(resource);
  }
  if (lock.holders.empty() && lock.queue.empty()) locks_.erase(found);
}

}  // namespace dlm::sim
