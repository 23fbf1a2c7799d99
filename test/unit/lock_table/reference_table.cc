#include "test/unit/lock_table/reference_table.h"

#include <algorithm>
#include <optional>

#include "schema/limits.h"

namespace dlm::server {

std::vector<Answer> ReferenceTable::apply(const Operation& op, std::uint64_t stamp_unix_ms) {
  out_.clear();
  now_ = stamp_unix_ms;
  switch (op.kind) {
    case OperationKind::open_session:
      open_session(op);
      break;
    case OperationKind::close_session: {
      auto tombstone = tombstones_.find(op.session);
      if (sessions_.contains(op.session)) {
        out_.push_back(base(op, Status::ok));
        end_session(op.session, false);
      } else if (tombstone == tombstones_.end()) {
        out_.push_back(base(op, Status::session_unknown));
      } else {
        out_.push_back(base(op, tombstone->second ? Status::ok : Status::session_expired));
      }
      break;
    }
    case OperationKind::expire_session:
      if (sessions_.contains(op.session)) end_session(op.session, true);
      break;
    case OperationKind::forget_session:
      tombstones_.erase(op.session);
      break;
    case OperationKind::start_epoch:
      last_token_ = std::max({last_token_, op.token, FencingToken(std::uint64_t{1} << 40)});
      break;
    case OperationKind::expire_hold: {
      auto lock = locks_.find(std::string(op.resource));
      if (lock == locks_.end()) break;
      std::erase_if(lock->second.holds, [&](const Hold& hold) {
        bool it = hold.token == op.token && hold.lease != LeaseKind::session;
        if (it) expire_tokens(lock->first, hold);
        return it;
      });
      serve_queue(lock->first);
      break;
    }
    case OperationKind::expire_wait: {
      std::string resource;
      Wait wait;
      if (!remove_wait(op.session, op.target, resource, wait)) break;
      Operation acquire = wait.op.view();
      end_wait(acquire, told(base(acquire, Status::timed_out), locks_[resource]));
      serve_queue(resource);
      break;
    }
    default:
      client_operation(op);
  }
  return out_;
}

Answer ReferenceTable::base(const Operation& op, Status status) const {
  Answer answer;
  answer.session = op.session;
  answer.sequence = op.sequence;
  answer.status = status;
  return answer;
}

Answer ReferenceTable::told(Answer answer, const Lock& lock, const Owner* other_than) const {
  for (const Hold& hold : lock.holds) {
    if (other_than != nullptr && hold.owner == *other_than) continue;
    answer.holder = {hold.owner.first, hold.owner.second, hold.since};
    break;
  }
  return answer;
}

void ReferenceTable::remember(const Answer& answer) {
  Session& session = sessions_[answer.session];
  if (answer.sequence >= session.acked_below) session.answers.emplace(answer.sequence, answer);
}

void ReferenceTable::conclude(Answer answer) {
  remember(answer);
  out_.push_back(std::move(answer));
}

void ReferenceTable::open_session(const Operation& op) {
  if (!op.session || op.client_id.empty() || op.client_id.size() > kClientIdBytesMax ||
      op.lease_ms < limits_.lease_ms_min || op.lease_ms > limits_.lease_ms_max)
    return out_.push_back(base(op, Status::invalid_argument));
  if (tombstones_.contains(op.session)) return out_.push_back(base(op, Status::session_expired));
  bool is_new = !sessions_.contains(op.session);
  std::optional<SessionId> earlier;
  for (const auto& [id, session] : sessions_) {
    const bool same_base = id.value >> 16 == op.session.value >> 16;
    if (is_new && session.client == op.client_id && same_base && id < op.session) earlier = id;
  }
  if (earlier) end_session(*earlier, true);
  for (const auto& [id, session] : sessions_) {
    // Who has the session id comes before who has the client id.
    bool conflict =
        is_new ? session.client == op.client_id : id == op.session && session.client != op.client_id;
    if (!conflict) continue;
    Answer in_use = base(op, Status::client_id_in_use);
    in_use.holder = {session.client, "", session.since};
    return out_.push_back(in_use);
  }
  if (is_new && sessions_.size() >= limits_.sessions_max) return out_.push_back(base(op, Status::over_quota));
  Session& session = sessions_[op.session];
  if (is_new) session.since = now_;
  session.client = op.client_id;
  session.ttl_ms = op.lease_ms;
  Answer opened = base(op, Status::ok);
  opened.ttl_ms = op.lease_ms;
  out_.push_back(opened);
}

void ReferenceTable::end_session(SessionId id, bool expired) {
  std::vector<std::pair<Sequence, std::string>> waits;
  std::vector<std::pair<FencingToken, std::string>> holds;
  for (auto& [resource, lock] : locks_) {
    std::erase_if(lock.waits, [&](const Wait& wait) {
      bool its = wait.op.view().session == id;
      if (its) waits.emplace_back(wait.op.view().sequence, resource);
      return its;
    });
    for (Hold& hold : lock.holds)
      if (hold.session == id && hold.lease == LeaseKind::detached) {
        hold.session = SessionId();
        hold.waited = false;
      }
    std::erase_if(lock.holds, [&](const Hold& hold) {
      if (hold.session == id) {
        holds.emplace_back(hold.token, resource);
        if (expired) expire_tokens(resource, hold);
      }
      return hold.session == id;
    });
  }
  std::sort(waits.begin(), waits.end());
  std::sort(holds.begin(), holds.end());
  sessions_.erase(id);
  tombstones_[id] = !expired;
  for (const auto& [sequence, resource] : waits) {
    Answer gone;
    gone.session = id;
    gone.sequence = sequence;
    gone.status = expired ? Status::session_expired : Status::cancelled;
    out_.push_back(gone);
  }
  for (const auto& [sequence, resource] : waits) serve_queue(resource);
  for (const auto& [token, resource] : holds) serve_queue(resource);
}

std::optional<Answer> ReferenceTable::earlier(const Operation& op) {
  Session& session = sessions_[op.session];
  auto answer = session.answers.find(op.sequence);
  if (answer != session.answers.end()) return answer->second;
  bool is_acquire = op.kind == OperationKind::acquire;
  for (const auto& [resource, lock] : locks_)
    for (std::size_t i = 0; is_acquire && i < lock.waits.size(); ++i) {
      Operation wait = lock.waits[i].op.view();
      if (wait.session != op.session || wait.sequence != op.sequence) continue;
      Answer queued = told(base(op, Status::queued), lock);
      queued.position = static_cast<std::uint32_t>(i);
      return queued;
    }
  if (op.sequence >= session.acked_below) return std::nullopt;
  for (const Answer& ended : session.ended_waits)
    if (ended.sequence == op.sequence) return ended;
  for (const auto& [resource, lock] : locks_)
    for (const Hold& hold : lock.holds) {
      if (!is_acquire || !hold.waited || hold.session != op.session || hold.sequence != op.sequence) continue;
      Answer granted = base(op, Status::ok);
      granted.token = hold.token;
      granted.count = 1;
      granted.ttl_ms = op.lease_ms;
      return granted;
    }
  return base(op, Status::stale);
}

bool ReferenceTable::well_formed(const Operation& op) const {
  bool is_acquire = op.kind == OperationKind::acquire;
  bool is_renew = op.kind == OperationKind::renew;
  if (op.resource.size() > kResourceBytesMax) return false;
  if (op.kind == OperationKind::cancel) return op.target && op.target < op.sequence;
  if (!is_acquire && !is_renew && op.kind != OperationKind::release) return false;
  if (op.owner_tag.size() > kOwnerTagBytesMax || op.client_id.size() > kClientIdBytesMax) return false;
  bool lease_fits = op.lease_ms >= limits_.lease_ms_min && op.lease_ms <= limits_.lease_ms_max;
  if (is_renew) return op.lease_ms == 0 || lease_fits;
  if (!is_acquire) return true;
  if (op.mode > LockMode::shared || op.lease > LeaseKind::capped) return false;
  if (!op.client_id.empty() && op.lease != LeaseKind::detached) return false;
  return op.lease == LeaseKind::session ? op.lease_ms == 0 : lease_fits;
}

void ReferenceTable::client_operation(const Operation& op) {
  auto found = sessions_.find(op.session);
  bool beat = op.kind == OperationKind::heartbeat;
  if (found == sessions_.end()) {
    bool ended = tombstones_.contains(op.session);
    if (!beat) out_.push_back(base(op, ended ? Status::session_expired : Status::session_unknown));
    return;
  }
  Session& session = found->second;
  session.acked_below = std::max(session.acked_below, op.acked_below);
  std::erase_if(session.answers, [&](const auto& entry) { return entry.first < session.acked_below; });
  if (beat) return;
  if (!op.sequence) return out_.push_back(base(op, Status::invalid_argument));
  if (std::optional<Answer> answer = earlier(op)) return out_.push_back(*answer);
  const bool is_oldest = !session.answers.empty() && op.sequence < session.answers.begin()->first;
  if (session.answers.size() >= limits_.answers_per_session_max && !is_oldest)
    return out_.push_back(base(op, Status::overloaded));
  if (!well_formed(op)) return conclude(base(op, Status::invalid_argument));
  if (op.kind == OperationKind::acquire) return acquire(op);
  if (op.kind == OperationKind::cancel) return cancel(op);
  release_or_renew(op);
}

void ReferenceTable::acquire(const Operation& op) {
  Owner owner{op.client_id.empty() ? sessions_[op.session].client : std::string(op.client_id),
              std::string(op.owner_tag)};
  Lock& lock = locks_[std::string(op.resource)];
  bool holds =
      std::any_of(lock.holds.begin(), lock.holds.end(), [&](const Hold& h) { return h.owner == owner; });
  std::size_t waiting = 0;
  std::size_t held = 0;
  for (const auto& [resource, other] : locks_) {
    for (const Wait& wait : other.waits) waiting += wait.op.view().session == op.session;
    for (const Hold& hold : other.holds) held += hold.owner.first == owner.first;
  }
  if (!holds && held + waiting >= limits_.holds_per_client_max) {
    if (lock.holds.empty()) locks_.erase(std::string(op.resource));
    return conclude(base(op, Status::over_quota));
  }
  if (holds || lock.waits.empty()) {
    if (std::optional<Answer> answer = decide(lock, owner, op, false)) return conclude(*answer);
  }
  if (op.wait_ms == 0) return conclude(told(base(op, Status::timed_out), lock));
  if (waiting >= limits_.waits_per_client_max) return conclude(base(op, Status::over_quota));
  Answer queued = told(base(op, Status::queued), lock);
  queued.position = static_cast<std::uint32_t>(lock.waits.size());
  lock.waits.push_back({owner, OwnedOperation(op), now_});
  out_.push_back(queued);
}

std::optional<Answer> ReferenceTable::decide(Lock& lock, const Owner& owner, const Operation& op,
                                             bool waited) {
  Answer granted = base(op, Status::ok);
  for (Hold& hold : lock.holds) {
    if (hold.owner != owner) continue;
    if (hold.lease != op.lease) return base(op, Status::invalid_argument);
    if (op.mode == LockMode::exclusive && lock.mode == LockMode::shared) {
      if (lock.holds.size() > 1) return told(base(op, Status::would_deadlock), lock, &owner);
      if (hold.waited) {
        Answer replaced;
        replaced.session = hold.session;
        replaced.sequence = hold.sequence;
        replaced.token = hold.token;
        replaced.count = 1;
        replaced.ttl_ms = hold.lease_ms;
        remember_ended_wait(hold.session, replaced);
      }
      hold.replaced = hold.token;
      hold.token = next_token();
      hold.sequence = op.sequence;
      hold.waited = false;
      lock.mode = LockMode::exclusive;
    }
    hold.lease_ms = std::max(hold.lease_ms, op.lease_ms);
    granted.token = hold.token;
    granted.count = ++hold.count;
    granted.ttl_ms = hold.lease_ms;
    return granted;
  }
  if (!lock.holds.empty() && (lock.mode == LockMode::exclusive || op.mode == LockMode::exclusive))
    return std::nullopt;
  lock.mode = op.mode;
  lock.holds.push_back(
      {owner, op.session, op.sequence, next_token(), now_, 1, op.lease_ms, op.lease, waited, {}});
  granted.token = last_token_;
  granted.count = 1;
  granted.ttl_ms = op.lease_ms;
  return granted;
}

void ReferenceTable::serve_queue(const std::string& resource) {
  auto found = locks_.find(resource);
  if (found == locks_.end()) return;
  Lock& lock = found->second;
  while (!lock.waits.empty()) {
    Wait& front = lock.waits.front();
    std::optional<Answer> answer = decide(lock, front.owner, front.op.view(), true);
    if (!answer) return;
    Wait served = std::move(front);
    lock.waits.pop_front();
    end_wait(served.op.view(), *answer);
  }
  if (lock.holds.empty()) locks_.erase(found);
}

void ReferenceTable::end_wait(const Operation& op, Answer answer) {
  bool own_hold = false;
  for (const auto& [resource, lock] : locks_)
    for (const Hold& hold : lock.holds)
      own_hold |= hold.waited && hold.session == op.session && hold.sequence == op.sequence;
  if (!own_hold) remember_ended_wait(op.session, answer);
  conclude(std::move(answer));
}

void ReferenceTable::remember_ended_wait(SessionId session, Answer answer) {
  std::deque<Answer>& ended = sessions_[session].ended_waits;
  ended.push_back(std::move(answer));
  if (ended.size() > 256) ended.pop_front();
}

void ReferenceTable::expire_tokens(const std::string& resource, const Hold& hold) {
  expired_.emplace_back(resource, hold.token);
  if (hold.replaced) expired_.emplace_back(resource, hold.replaced);
}

bool ReferenceTable::remove_wait(SessionId session, Sequence sequence, std::string& resource, Wait& removed) {
  for (auto& [name, lock] : locks_)
    for (auto wait = lock.waits.begin(); wait != lock.waits.end(); ++wait) {
      Operation op = wait->op.view();
      if (op.session != session || op.sequence != sequence) continue;
      resource = name;
      removed = std::move(*wait);
      lock.waits.erase(wait);
      return true;
    }
  return false;
}

void ReferenceTable::release_or_renew(const Operation& op) {
  Owner owner{op.client_id.empty() ? sessions_[op.session].client : std::string(op.client_id),
              std::string(op.owner_tag)};
  std::string resource(op.resource);
  auto found = locks_.find(resource);
  Answer answer = base(op, Status::not_held);
  bool of_other = false;
  if (found != locks_.end()) {
    std::vector<Hold>& holds = found->second.holds;
    for (auto hold = holds.begin(); hold != holds.end(); ++hold) {
      of_other |= hold->goes_by(op.token);
      if (hold->owner != owner || (op.token && !hold->goes_by(op.token))) continue;
      if (!op.client_id.empty() && hold->lease != LeaseKind::detached) {
        answer.cause = EndCause::never;
        return conclude(answer);
      }
      answer.status = Status::ok;
      answer.token = hold->token;
      if (op.kind == OperationKind::renew) {
        if (hold->lease != LeaseKind::session && op.lease_ms != 0) hold->lease_ms = op.lease_ms;
        answer.count = hold->count;
        answer.ttl_ms = hold->lease_ms;
        return conclude(answer);
      }
      answer.count = --hold->count;
      conclude(answer);
      if (hold->count == 0) {
        holds.erase(hold);
        serve_queue(resource);
      }
      return;
    }
  }
  bool never = !op.token || op.token.value <= std::uint64_t{1} << 40 || op.token > last_token_;
  bool expired = std::find(expired_.begin(), expired_.end(), std::pair(std::string(op.resource), op.token)) !=
                 expired_.end();
  answer.cause = never      ? EndCause::never
                 : expired  ? EndCause::expired
                 : of_other ? EndCause::never
                            : EndCause::released;
  conclude(answer);
}

void ReferenceTable::cancel(const Operation& op) {
  Answer answer = base(op, Status::cancelled);
  std::string resource;
  Wait wait;
  if (remove_wait(op.session, op.target, resource, wait)) {
    conclude(answer);
    end_wait(wait.op.view(), base(wait.op.view(), Status::cancelled));
    return serve_queue(resource);
  }
  Session& session = sessions_[op.session];
  std::optional<Answer> past;
  for (const Answer& ended : session.ended_waits)
    if (ended.sequence == op.target) past = ended;
  if (auto known = session.answers.find(op.target); known != session.answers.end()) past = known->second;
  for (const auto& [name, lock] : locks_)
    for (const Hold& hold : lock.holds) {
      if (hold.session != op.session) continue;
      bool waited = hold.waited && hold.sequence == op.target;
      bool here = name == op.resource;
      bool counted = here && past && past->status == Status::ok && hold.goes_by(past->token);
      bool old = here && !past && op.target < session.acked_below && hold.sequence == op.target;
      if (!waited && !counted && !old) continue;
      answer.status = Status::ok;
      answer.token = hold.token;
      answer.count = hold.count;
      answer.ttl_ms = hold.lease_ms;
      return conclude(answer);
    }
  Answer preempted = base(op, Status::cancelled);
  preempted.sequence = op.target;
  remember(preempted);
  conclude(answer);
}

LockReport ReferenceTable::inspect(const std::string& resource) const {
  LockReport report;
  report.resource = resource;
  auto found = locks_.find(resource);
  if (found == locks_.end()) return report;
  const Lock& lock = found->second;
  for (const Hold& hold : lock.holds)
    report.holders.push_back(
        {hold.owner.first, hold.owner.second, lock.mode, hold.lease, hold.token, hold.count, hold.since, 0});
  for (const Wait& wait : lock.waits)
    report.waiters.push_back({wait.owner.first, wait.owner.second, wait.op.view().mode, wait.since,
                              wait.op.view().wait_ms == kWaitForeverMs ? kWaitForeverMs : 0});
  report.waiter_count = static_cast<std::uint32_t>(lock.waits.size());
  return report;
}

std::set<std::string> ReferenceTable::held() const {
  std::set<std::string> names;
  for (const auto& [name, lock] : locks_) names.insert(name);
  return names;
}

std::size_t ReferenceTable::waiters() const {
  return all_waits().size();
}

std::vector<ReferenceTable::WaitName> ReferenceTable::all_waits() const {
  std::vector<WaitName> waits;
  for (const auto& [name, lock] : locks_)
    for (const Wait& wait : lock.waits)
      waits.push_back({wait.op.view().session, wait.op.view().sequence, name});
  return waits;
}

std::vector<std::pair<FencingToken, std::string>> ReferenceTable::all_leased() const {
  std::vector<std::pair<FencingToken, std::string>> leased;
  for (const auto& [name, lock] : locks_)
    for (const Hold& hold : lock.holds)
      if (hold.lease != LeaseKind::session) leased.emplace_back(hold.token, name);
  return leased;
}

}  // namespace dlm::server
