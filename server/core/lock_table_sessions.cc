// LockState's sessions, live and ended.
#include <algorithm>

#include "server/core/lock_table_state.h"

namespace dlm::server {

std::uint32_t LockState::find_session(SessionId id) const {
  auto it = session_index_.find(id.value);
  return it == session_index_.end() ? kNil : it->second;
}

std::uint32_t LockState::add_session(SessionId id, std::uint32_t client, std::uint32_t ttl_ms,
                                     std::uint64_t since_unix_ms) {
  if (owners_[client].live_session != kNil || find_session(id) != kNil) return kNil;
  const std::uint32_t index = new_session(id, client, ttl_ms, since_unix_ms);
  by_base_[base_of(id)] = index;
  owners_[client].live_session = index;
  return index;
}

std::uint32_t LockState::adopt_session(SessionId id, std::uint32_t client, std::uint32_t ttl_ms,
                                       std::uint64_t since_unix_ms) {
  const std::uint32_t index = new_session(id, client, ttl_ms, since_unix_ms);
  by_base_[base_of(id)] = index;
  sessions_[index].adopted = true;
  if (owners_[client].live_session == kNil) owners_[client].live_session = index;
  return index;
}

std::uint32_t LockState::restore_session(SessionId id, std::uint32_t client, std::uint32_t ttl_ms,
                                         std::uint64_t since_unix_ms, const SessionFlags& flags) {
  const std::uint32_t index = new_session(id, client, ttl_ms, since_unix_ms);
  sessions_[index].adopted = flags.adopted;
  if (flags.is_live_one) owners_[client].live_session = index;
  if (flags.goes_by_base) by_base_[base_of(id)] = index;
  return index;
}

std::uint32_t LockState::find_generation(SessionId id) const {
  auto it = by_base_.find(base_of(id));
  return it == by_base_.end() ? kNil : it->second;
}

void LockState::settle_adopted(std::uint32_t index, SessionId id) {
  Session& session = sessions_[index];
  if (!session.adopted) return;
  changing_session(session);
  if (session.id != id)
    for (StateWatcher* watcher : watchers_) watcher->before_rename(index);
  session_index_.erase(session.id.value);
  session.adopted = false;
  session.id = id;
  session_index_[id.value] = index;
}

void LockState::add_moved_to(std::uint32_t index, GroupId group) {
  Session& session = sessions_[index];
  auto at = std::lower_bound(session.moved_to.begin(), session.moved_to.end(), group);
  if (at != session.moved_to.end() && *at == group) return;
  changing_session(session);
  session.moved_to.insert(at, group);
}

std::uint32_t LockState::new_session(SessionId id, std::uint32_t client, std::uint32_t ttl_ms,
                                     std::uint64_t since_unix_ms) {
  std::uint32_t index = sessions_.allocate();
  for (StateWatcher* watcher : watchers_) watcher->before_session(index);
  Session& session = sessions_[index];
  session.id = id;
  session.client = client;
  session.ttl_ms = ttl_ms;
  session.since_unix_ms = since_unix_ms;
  session_index_[id.value] = index;
  return index;
}

// Its client may have another session now.
void LockState::forget_names(std::uint32_t index) {
  const Session& session = sessions_[index];
  if (owners_[session.client].live_session == index) owners_[session.client].live_session = kNil;
  if (find_generation(session.id) == index) by_base_.erase(base_of(session.id));
}

void LockState::begin_ending(std::uint32_t index, Ending how) {
  Session& session = sessions_[index];
  changing_session(session);
  forget_names(index);
  for (const StoredAnswer& answer : session.answers) unref_holder(answer);
  for (std::size_t i = 0; i < session.ended_waits.size(); ++i) unref_holder(session.ended_waits[i]);
  session.answers = {};
  session.ended_waits = {};
  session.ending = how;
}

void LockState::set_swept(std::uint32_t index, std::uint32_t lock) {
  changing_session(sessions_[index]);
  sessions_[index].swept = lock;
}

void LockState::restore_ending(std::uint32_t index, Ending how, std::uint32_t swept) {
  sessions_[index].ending = how;
  sessions_[index].swept = swept;
}

void LockState::remove_session(std::uint32_t index) {
  Session& session = sessions_[index];
  changing_session(session);
  for (const StoredAnswer& answer : session.answers) unref_holder(answer);
  for (std::size_t i = 0; i < session.ended_waits.size(); ++i) unref_holder(session.ended_waits[i]);
  forget_names(index);
  unref_owner(session.client);
  session_index_.erase(session.id.value);
  trim(session_index_);
  sessions_.free(index);
}

std::vector<SessionId> LockState::session_ids() const {
  std::vector<SessionId> ids;
  ids.reserve(session_index_.size());
  for (const auto& [id, index] : session_index_) ids.push_back(SessionId(id));
  std::sort(ids.begin(), ids.end());
  return ids;
}

void LockState::forget_answers_below(Session& session, Sequence sequence) {
  if (sequence <= session.acked_below) return;
  changing_session(session);
  session.acked_below = sequence;
  session.answers.forget_below(sequence, [this](const StoredAnswer& answer) { unref_holder(answer); });
}

void LockState::set_ttl_ms(Session& session, std::uint32_t ttl_ms) {
  changing_session(session);
  session.ttl_ms = ttl_ms;
}

void LockState::remember(Session& session, const StoredAnswer& answer) {
  changing_session(session);
  if (answer.sequence < session.acked_below || !session.answers.insert(answer)) unref_holder(answer);
}

void LockState::remember_ended_wait(Session& session, const StoredAnswer& answer) {
  changing_session(session);
  session.ended_waits.add(answer, [this](const StoredAnswer& forgotten) { unref_holder(forgotten); });
}

LockState::Tombstone LockState::tombstone(SessionId id) const {
  auto it = tombstones_.find(id.value);
  return it == tombstones_.end() ? Tombstone::none : it->second;
}

std::vector<SessionId> LockState::tombstone_ids() const {
  std::vector<SessionId> ids;
  ids.reserve(tombstones_.size());
  for (const auto& [id, kind] : tombstones_) ids.push_back(SessionId(id));
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace dlm::server
