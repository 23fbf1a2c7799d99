// LockModel: arcs that go to another group and come from one.
#include <algorithm>
#include <utility>

#include "coordinator/core/ring.h"
#include "server/core/lock_table_arcs.h"
#include "server/core/lock_table_codec.h"
#include "test/sim/arc_book.h"
#include "test/sim/lock_model.h"

namespace dlm::sim {
namespace {

bool lies_in(const server::OwnedArc& arc, std::string_view resource) {
  const std::uint64_t hash = coordinator::hash_of(resource);
  return arc.begin <= hash && hash <= arc.end;
}

// Whether what is remembered of a name goes along. Only half of the hash is remembered, so at the edge of an
// arc something of another name may go along as well; it does no harm where nobody asks for it.
bool goes_along(const server::OwnedArc& arc, std::uint32_t place) {
  return arc.begin >> 32 <= place && place <= arc.end >> 32;
}

}  // namespace

void LockModel::start_epoch(const Operation& entry) {
  const FencingToken floor = std::max(entry.token, FencingToken(std::uint64_t{1} << 40));
  last_token_ = std::max(last_token_, floor);
  last_move_ = std::max(last_move_, floor.value);
  std::vector<server::OwnedArc> arcs;
  if (!entry.resource.empty() && server::decode_arcs(entry.resource, arcs)) arcs_->begin(group_, arcs);
  server::decode_limits(entry.owner_tag, limits_);
}

// What the other group turned out not to have, after everything was lost here.
void LockModel::take_arcs(const Operation& entry) {
  std::vector<server::OwnedArc> arcs;
  if (missing_.erase(GroupId(static_cast<std::uint32_t>(entry.target.value))) == 0) return;
  if (server::decode_arcs(entry.resource, arcs)) arcs_->begin(group_, arcs);
  last_token_ = std::max(last_token_, entry.token);
}

// --- giving ----------------------------------------------------------------------------------------------

void LockModel::move_out(const Operation& entry) {
  std::vector<server::OwnedArc> arcs;
  const GroupId to(static_cast<std::uint32_t>(entry.target.value));
  if (!to || !server::decode_arcs(entry.resource, arcs) || arcs.size() != 1) return;
  Piece piece;
  piece.arc = arcs.front();
  piece.to = to;
  piece.last_token = last_token_;
  std::set<SessionId> sessions;
  give_locks(piece, sessions);
  give_sessions(piece, sessions);
  give_expired(piece);
  arcs_->give(group_, ++last_move_, std::move(piece));
}

void LockModel::give_locks(Piece& piece, std::set<SessionId>& sessions) {
  for (auto at = locks_.begin(); at != locks_.end();) {
    auto lock = at++;
    if (!lies_in(piece.arc, lock->first)) continue;
    for (const Hold& hold : lock->second.holders)
      if (hold.session) sessions.insert(hold.session);
    for (const Wait& wait : lock->second.queue) {
      sessions.insert(wait.name.session);
      waits_.erase(wait.name);
      given_waits_.insert(wait.name);
    }
    piece.locks.insert(locks_.extract(lock));
  }
}

// Those that the locks live by, and those of which something is remembered. It stays here as well, for who
// asks here again.
void LockModel::give_sessions(Piece& piece, const std::set<SessionId>& sessions) {
  for (const auto& [base, session] : sessions_) {
    Piece::Session out{base, session.client, session.acked_below, {}, {}};
    const auto take = [&](Sequence sequence, Place place, std::vector<Piece::Memory>& to) {
      if (goes_along(piece.arc, place)) to.push_back({sequence, place, outcomes_.at({session.id, sequence})});
    };
    for (const auto& [sequence, place] : session.answers) take(sequence, place, out.answers);
    for (const auto& [sequence, place] : session.ended_waits) take(sequence, place, out.ended_waits);
    if (sessions.contains(base) || !out.answers.empty() || !out.ended_waits.empty())
      piece.sessions.push_back(std::move(out));
  }
}

void LockModel::give_expired(Piece& piece) const {
  for (auto at = expired_tokens_.begin(); at != expired_tokens_.end();) {
    const auto end = expired_tokens_.upper_bound({at->first, FencingToken(UINT64_MAX)});
    if (lies_in(piece.arc, at->first)) piece.expired.insert(piece.expired.end(), at, end);
    at = end;
  }
}

// --- taking ----------------------------------------------------------------------------------------------

void LockModel::move_in(const Operation& entry) {
  const GroupId from(static_cast<std::uint32_t>(entry.session.value));
  std::optional<Piece> piece = arcs_->take(group_, from, entry.target.value);
  if (!piece) return;
  last_token_ = std::max(last_token_, piece->last_token);
  for (const Piece::Session& session : piece->sessions) install(session);
  expired_tokens_.insert(piece->expired.begin(), piece->expired.end());
  for (const auto& [resource, lock] : piece->locks) install(resource, lock);
}

void LockModel::install(const Piece::Session& from) {
  auto known = sessions_.find(from.base);
  Session& session =
      known != sessions_.end() && known->second.client == from.client ? known->second : adopt(from);
  session.acknowledge(from.acked_below);
  for (const Piece::Memory& answer : from.answers) {
    if (answer.sequence < session.acked_below) continue;
    outcomes_.try_emplace({session.id, answer.sequence}, answer.outcome);
    session.remember(answer.sequence, answer.place);
  }
  for (const Piece::Memory& ended : from.ended_waits) {
    const bool is_known = std::any_of(session.ended_waits.begin(), session.ended_waits.end(),
                                      [&](const auto& other) { return other.first == ended.sequence; });
    if (is_known) continue;
    outcomes_.try_emplace({session.id, ended.sequence}, ended.outcome);
    session.remember_wait(ended.sequence, ended.place);
  }
}

// The client has no session here: one of its own until the client speaks to it, under an id that nobody had.
LockModel::Session& LockModel::adopt(const Piece::Session& from) {
  Session session;
  session.id = from.base;
  while (ended_.contains(session.id)) session.id = session.id.next();
  session.client = from.client;
  session.adopted = true;
  live_.try_emplace(from.client, from.base);
  return sessions_.insert_or_assign(from.base, std::move(session)).first->second;
}

void LockModel::install(const std::string& resource, const Lock& lock) {
  for (const Hold& hold : lock.holders) {
    if (!hold.session || !hold.waited) continue;
    outcomes_.try_emplace({sessions_.at(hold.session).id, hold.acquire},
                          Outcome{Status::ok, EndCause::none, hold.token, 1});
  }
  for (const Wait& wait : lock.queue) waits_[wait.name] = resource;
  locks_[resource] = lock;
  changed(resource);
}

// What is known of operations of an adopted session. Nothing else was done under its id.
std::vector<OperationName> LockModel::names_of(SessionId base, const Session& session) const {
  std::vector<OperationName> names;
  for (const auto& [sequence, place] : session.answers) names.push_back({session.id, sequence});
  for (const auto& [sequence, place] : session.ended_waits) names.push_back({session.id, sequence});
  for (const auto& [resource, lock] : locks_) {
    for (const Hold& hold : lock.holders)
      if (hold.session == base) names.push_back({session.id, hold.acquire});
  }
  return names;
}

// The client turns out to be at this generation: the session is of that one.
void LockModel::follow_generation(Session& session, SessionId id) {
  for (const OperationName& name : names_of(base_of(id), session)) {
    auto known = outcomes_.extract(name);
    if (known.empty()) continue;
    known.key().session = id;
    outcomes_.insert(std::move(known));
  }
  session.id = id;
  session.adopted = false;
}

// What came along is gone with it, so that a repeat of it is done anew. (The group that it came from has the
// answers as well, and is where a client asks that has not heard of this one; see ARCHITECTURE.md, "Not
// covered".)
void LockModel::forget_adopted(SessionId base, const Session& session) {
  for (const OperationName& name : names_of(base, session)) outcomes_.erase(name);
}

}  // namespace dlm::sim
