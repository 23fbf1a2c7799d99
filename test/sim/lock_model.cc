#include "test/sim/lock_model.h"

#include <algorithm>

#include "schema/limits.h"

namespace dlm::sim {

std::string describe(const Outcome& outcome) {
  std::string text(to_string(outcome.status));
  if (outcome.cause != EndCause::none) text += " (" + std::string(to_string(outcome.cause)) + ")";
  if (outcome.token) text += " token " + std::to_string(outcome.token.value);
  if (outcome.count != 0) text += " count " + std::to_string(outcome.count);
  return text;
}

const Outcome* LockModel::outcome(const OperationName& name) const {
  auto found = outcomes_.find(name);
  return found == outcomes_.end() ? nullptr : &found->second;
}

Sequence LockModel::acked_below(SessionId session) const {
  auto found = sessions_.find(session);
  return found == sessions_.end() ? Sequence() : found->second.acked_below;
}

const LockModel::Lock* LockModel::lock(const std::string& resource) const {
  auto found = locks_.find(resource);
  return found == locks_.end() ? nullptr : &found->second;
}

void LockModel::apply(const Operation& entry) {
  switch (entry.kind) {
    case OperationKind::open_session:
      return open(entry);
    case OperationKind::close_session:
      return end_session(entry.session, false);
    case OperationKind::expire_session:
      return end_session(entry.session, true);
    case OperationKind::expire_hold:
      return expire_hold(entry);
    case OperationKind::expire_wait:
      return expire_wait(entry);
    case OperationKind::forget_session:
      ended_.erase(entry.session);
      return;
    case OperationKind::start_epoch:
      last_token_ = std::max({last_token_, entry.token, FencingToken(std::uint64_t{1} << 40)});
      return;
    default:
      return serve(entry);
  }
}

// --- sessions --------------------------------------------------------------------------------------------

// One session per client, its latest generation; a dead id never comes back.
void LockModel::open(const Operation& entry) {
  if (ended_.contains(entry.session)) return;
  if (entry.lease_ms < limits_.lease_ms_min || entry.lease_ms > limits_.lease_ms_max ||
      entry.client_id.empty())
    return;
  auto known = sessions_.find(entry.session);
  if (known == sessions_.end()) {
    auto other = std::find_if(sessions_.begin(), sessions_.end(),
                              [&](const auto& session) { return session.second.client == entry.client_id; });
    if (other != sessions_.end()) {
      const SessionId id = other->first;
      if (id.value >> 16 != entry.session.value >> 16 || id > entry.session) return;
      end_session(id, true);
    }
    known = sessions_.emplace(entry.session, Session{std::string(entry.client_id), {}}).first;
  } else if (known->second.client != entry.client_id) {
    return;
  }
  known->second.acked_below = std::max(known->second.acked_below, entry.acked_below);
}

// Its waits are gone, and its holds but for the detached ones; then others get their turn.
void LockModel::end_session(SessionId id, bool expired) {
  if (sessions_.erase(id) == 0) return;
  ended_[id] = !expired;
  std::vector<OperationName> waits;
  for (const auto& [name, resource] : waits_)
    if (name.session == id) waits.push_back(name);
  std::sort(waits.begin(), waits.end(), [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
  std::vector<std::string> touched;  // in the order in which their queues are served
  for (const OperationName& name : waits) {
    touched.push_back(waits_.at(name));
    end_wait(name, {expired ? Status::session_expired : Status::cancelled, EndCause::none, {}, 0});
  }
  std::vector<std::pair<FencingToken, std::string>> ends;
  for (auto& [resource, lock] : locks_) {
    for (Hold& hold : lock.holders) {
      if (hold.session != id) continue;
      if (hold.lease == LeaseKind::detached) {
        hold.session = SessionId();
      } else {
        ends.emplace_back(hold.token, resource);
      }
    }
  }
  std::sort(ends.begin(), ends.end());
  for (const auto& [token, resource] : ends) {
    Lock& lock = locks_.at(resource);
    for (std::size_t i = lock.holders.size(); i-- > 0;)
      if (lock.holders[i].token == token) end_hold(resource, lock, i, expired);
    touched.push_back(resource);
  }
  for (const std::string& resource : touched) serve_queue(resource);
}

// --- operations ------------------------------------------------------------------------------------------

void LockModel::serve(const Operation& entry) {
  auto session = sessions_.find(entry.session);
  if (session == sessions_.end()) return;  // refused, and remembered by nobody
  session->second.acked_below = std::max(session->second.acked_below, entry.acked_below);
  if (entry.kind == OperationKind::heartbeat || came_before(entry, session->second)) return;
  const Owner owner{entry.client_id.empty() ? session->second.client : std::string(entry.client_id),
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
bool LockModel::came_before(const Operation& entry, const Session& session) {
  const OperationName name{entry.session, entry.sequence};
  if (outcomes_.contains(name) || waits_.contains(name)) return true;
  return entry.sequence < session.acked_below;
}

void LockModel::acquire(const Operation& entry, const Owner& owner) {
  const std::string resource(entry.resource);
  const bool bad_lease = entry.lease == LeaseKind::session
                             ? entry.lease_ms != 0
                             : entry.lease_ms < limits_.lease_ms_min || entry.lease_ms > limits_.lease_ms_max;
  if (bad_lease || (!entry.client_id.empty() && entry.lease != LeaseKind::detached))
    return conclude(entry, {Status::invalid_argument, EndCause::none, {}, 0});
  Lock& lock = locks_[resource];
  const Wait request{{entry.session, entry.sequence}, owner, entry.mode, entry.lease};
  Outcome outcome;
  const bool holds = std::any_of(lock.holders.begin(), lock.holders.end(),
                                 [&](const Hold& hold) { return hold.owner == owner; });
  if ((holds || lock.queue.empty()) && try_grant(resource, lock, request, false, outcome)) {
    conclude(entry, outcome);
  } else if (entry.wait_ms == 0) {
    conclude(entry, {Status::timed_out, EndCause::none, {}, 0});
  } else {
    lock.queue.push_back(request);
    waits_[request.name] = resource;
    changed(resource);
  }
}

// False: it has to wait.
bool LockModel::try_grant(const std::string& resource, Lock& lock, const Wait& request, bool waited,
                          Outcome& outcome) {
  for (Hold& hold : lock.holders) {
    if (hold.owner != request.owner) continue;
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
  if (is_renewal && entry.lease_ms != 0 &&
      (entry.lease_ms < limits_.lease_ms_min || entry.lease_ms > limits_.lease_ms_max))
    return conclude(entry, {Status::invalid_argument, EndCause::none, {}, 0});
  auto found = locks_.find(resource);
  Lock* lock = found == locks_.end() ? nullptr : &found->second;
  for (std::size_t i = 0; lock != nullptr && i < lock->holders.size(); ++i) {
    Hold& hold = lock->holders[i];
    if (hold.owner != owner || (entry.token && !hold.goes_by(entry.token))) continue;
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
  if (!entry.target || entry.target >= entry.sequence)
    return conclude(entry, {Status::invalid_argument, EndCause::none, {}, 0});
  const OperationName target{entry.session, entry.target};
  const Outcome cancelled{Status::cancelled, EndCause::none, {}, 0};
  if (auto waiting = waits_.find(target); waiting != waits_.end()) {
    const std::string resource = waiting->second;
    conclude(entry, cancelled);
    end_wait(target, cancelled);
    return serve_queue(resource);
  }
  if (const Hold* hold = hold_of(target, std::string(entry.resource))) {
    return conclude(entry, {Status::ok, EndCause::none, hold->token, hold->count});
  }
  // One that has not come yet never will be executed.
  if (entry.target >= sessions_.at(entry.session).acked_below) outcomes_.try_emplace(target, cancelled);
  conclude(entry, cancelled);
}

// The hold that an acquire was given or counted into, if it is still there. Of one whose answer the client
// has acknowledged it need not be known any more into which hold it was counted.
const LockModel::Hold* LockModel::hold_of(const OperationName& acquire, const std::string& resource) const {
  const Outcome* came_to = outcome(acquire);
  const Lock* lock = this->lock(resource);
  if (came_to == nullptr || came_to->status != Status::ok || lock == nullptr) return nullptr;
  const bool is_remembered = acquire.sequence >= acked_below(acquire.session) || waited_.contains(acquire);
  for (const Hold& hold : lock->holders) {
    if (hold.session != acquire.session || !hold.goes_by(came_to->token)) continue;
    if (is_remembered || hold.acquire == acquire.sequence) return &hold;
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
  const OperationName name{entry.session, entry.target};
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
  auto found = waits_.find(name);
  Lock& lock = locks_.at(found->second);
  std::erase_if(lock.queue, [&](const Wait& wait) { return wait.name == name; });
  changed(found->second);
  waits_.erase(found);
  waited_.insert(name);
  outcomes_[name] = outcome;
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
    waits_.erase(first.name);
    waited_.insert(first.name);
    outcomes_[first.name] = outcome;
    changed(resource);
  }
  if (lock.holders.empty() && lock.queue.empty()) locks_.erase(found);
}

}  // namespace dlm::sim
