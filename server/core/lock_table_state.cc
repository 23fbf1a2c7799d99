#include "server/core/lock_table_state.h"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace dlm::server {
namespace {

std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace

NameKey::NameKey(std::string_view resource)
    : name(resource), hash(XXH3_64bits(resource.data(), resource.size())) {}

LockState::OwnerKey::OwnerKey(std::string_view client_id, std::string_view owner_tag)
    : OwnerKey(client_id, hash_bytes(client_id, 0), owner_tag) {}

LockState::OwnerKey::OwnerKey(std::string_view client_id, std::uint64_t client_hash_,
                              std::string_view owner_tag)
    : client(client_id),
      tag(owner_tag),
      client_hash(client_hash_),
      hash(hash_bytes(owner_tag, client_hash_)) {}

std::size_t LockState::ByName::operator()(std::uint32_t lock) const {
  return (*this)(NameKey((*locks)[lock].name.view()));
}
bool LockState::ByName::operator()(const NameKey& key, std::uint32_t lock) const {
  return (*locks)[lock].name.view() == key.name;
}

std::size_t LockState::ByOwnerName::operator()(std::uint32_t owner) const {
  return (*owners)[owner].hash;
}
bool LockState::ByOwnerName::operator()(const OwnerKey& key, std::uint32_t owner) const {
  const Owner& node = (*owners)[owner];
  std::string_view bytes = node.bytes.view();
  return node.client_bytes == key.client.size() && bytes.substr(0, node.client_bytes) == key.client &&
         bytes.substr(node.client_bytes) == key.tag;
}

std::size_t LockState::ByLockAndOwner::operator()(const LockAndOwner& key) const {
  return static_cast<std::size_t>((std::uint64_t{key.lock} << 32 | key.owner) * 0x9e3779b97f4a7c15ULL);
}
std::size_t LockState::ByLockAndOwner::operator()(std::uint32_t hold) const {
  return (*this)(LockAndOwner{(*holds)[hold].lock, (*holds)[hold].owner});
}
bool LockState::ByLockAndOwner::operator()(const LockAndOwner& key, std::uint32_t hold) const {
  return (*holds)[hold].lock == key.lock && (*holds)[hold].owner == key.owner;
}

std::size_t LockState::ByToken::operator()(std::uint32_t hold) const {
  return (*this)(LockAndToken{(*holds)[hold].lock, (*holds)[hold].token});
}
bool LockState::ByToken::operator()(const LockAndToken& key, std::uint32_t hold) const {
  return (*holds)[hold].token == key.token && (*holds)[hold].lock == key.lock;
}

LockState::LockState()
    : owner_index_(0, ByOwnerName{&owners_}, ByOwnerName{&owners_}),
      co_holders_(0, ByLockAndOwner{&holds_}, ByLockAndOwner{&holds_}),
      leased_(0, ByToken{&holds_}, ByToken{&holds_}),
      waited_(0, BySequence<Hold>{&holds_}, BySequence<Hold>{&holds_}),
      wait_index_(0, BySequence<Wait>{&waits_}, BySequence<Wait>{&waits_}) {
  constexpr std::size_t kParts = std::size_t{1} << kNamesBits;
  names_.reserve(kParts);
  for (std::size_t i = 0; i < kParts; ++i) names_.emplace_back(0, ByName{&locks_}, ByName{&locks_});
}

LockState::~LockState() = default;

// --- owners --------------------------------------------------------------------------------------

std::uint32_t LockState::find_owner(const OwnerKey& key) const {
  auto it = owner_index_.find(key);
  return it == owner_index_.end() ? kNil : *it;
}

std::uint32_t LockState::find_owner(std::string_view client, std::string_view tag) const {
  return find_owner(OwnerKey(client, tag));
}

std::uint32_t LockState::find_owner(std::uint32_t client, std::string_view tag) const {
  return find_owner(OwnerKey(client_of(client), owners_[client].client_hash, tag));
}

std::uint32_t LockState::intern_owner(const OwnerKey& key) {
  std::uint32_t owner = find_owner(key);
  if (owner == kNil) {
    owner = owners_.allocate();
    changing_owner(owner);
    Owner& node = owners_[owner];
    node.bytes = ShortBytes(key.client, key.tag);
    node.hash = key.hash;
    node.client_hash = key.client_hash;
    node.client_bytes = static_cast<std::uint8_t>(key.client.size());
    owner_index_.insert(owner);
  }
  ref_owner(owner);
  return owner;
}

std::uint32_t LockState::intern_owner(std::string_view client, std::string_view tag) {
  return intern_owner(OwnerKey(client, tag));
}

std::uint32_t LockState::intern_owner(std::uint32_t client, std::string_view tag) {
  return intern_owner(OwnerKey(client_of(client), owners_[client].client_hash, tag));
}

void LockState::unref_owner(std::uint32_t owner) {
  if (owners_[owner].references == 1) changing_owner(owner);
  if (--owners_[owner].references != 0) return;
  owner_index_.erase(owner);
  trim(owner_index_);
  owners_.free(owner);
}

std::string_view LockState::client_of(std::uint32_t owner) const {
  return owners_[owner].bytes.view().substr(0, owners_[owner].client_bytes);
}

std::string_view LockState::tag_of(std::uint32_t owner) const {
  return owners_[owner].bytes.view().substr(owners_[owner].client_bytes);
}

// --- locks ---------------------------------------------------------------------------------------

std::uint32_t LockState::find_lock(const NameKey& key) const {
  const IndexSet<ByName>& names = names_for(key.hash);
  auto it = names.find(key);
  return it == names.end() ? kNil : *it;
}

std::vector<std::uint32_t> LockState::locks_in(const OwnedArc& arc) const {
  std::vector<std::uint32_t> found;
  for (std::size_t part = part_of(arc.begin); part <= part_of(arc.end); ++part) {
    for (std::uint32_t lock : names_[part]) {
      const std::uint64_t hash = NameKey(locks_[lock].name.view()).hash;
      if (hash >= arc.begin && hash <= arc.end) found.push_back(lock);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::uint32_t LockState::add_lock(const NameKey& key) {
  std::uint32_t index = locks_.allocate();
  changing(index);
  locks_[index].name = ShortBytes(key.name);
  locks_[index].live = true;
  names_for(key.hash).insert(index);
  return index;
}

void LockState::remove_lock(std::uint32_t index) {
  changing(index);
  const NameKey key(locks_[index].name.view());
  IndexSet<ByName>& names = names_for(key.hash);
  names.erase(names.find(key));
  trim(names);
  locks_.free(index);
}

void LockState::set_mode(std::uint32_t lock, LockMode mode) {
  changing(lock);
  locks_[lock].mode = mode;
}

std::uint32_t LockState::restore_lock(const NameKey& key, LockMode mode) {
  std::uint32_t index = locks_.extend();
  locks_[index].name = ShortBytes(key.name);
  locks_[index].mode = mode;
  locks_[index].live = true;
  names_for(key.hash).insert(index);
  return index;
}

// --- holds ---------------------------------------------------------------------------------------

std::uint32_t LockState::find_hold(std::uint32_t lock, std::uint32_t owner) const {
  std::uint32_t first = locks_[lock].first_hold;
  if (first == kNil || holds_[first].owner == owner) return first;
  if (first == locks_[lock].last_hold) return kNil;
  auto it = co_holders_.find(LockAndOwner{lock, owner});
  return it == co_holders_.end() ? kNil : *it;
}

std::uint32_t LockState::find_leased_hold(std::uint32_t lock, FencingToken token) const {
  auto it = leased_.find(LockAndToken{lock, token});
  return it == leased_.end() ? kNil : *it;
}

std::uint32_t LockState::find_waited_hold(std::uint32_t session, Sequence sequence) const {
  auto it = waited_.find(SessionAndSequence{session, sequence});
  return it == waited_.end() ? kNil : *it;
}

std::size_t LockState::holds_of_client(std::uint32_t owner) const {
  auto it = holds_of_clients_.find(owners_[owner].client_hash);
  return it == holds_of_clients_.end() ? 0 : it->second;
}

void LockState::count_hold(std::uint32_t owner, bool added) {
  const std::uint64_t client = owners_[owner].client_hash;
  if (added) {
    ++holds_of_clients_[client];
    return;
  }
  auto it = holds_of_clients_.find(client);
  if (--it->second == 0) holds_of_clients_.erase(it);
}

std::uint32_t LockState::add_hold(const Hold& hold) {
  changing(hold.lock);
  count_hold(hold.owner, true);
  std::uint32_t index = holds_.allocate();
  Hold& node = holds_[index] = hold;
  link_hold(index);
  if (hold.lease_ms != 0) leased_.insert(index);
  if (hold.session == kNil) return index;
  node.waited = hold.waited && find_waited_hold(hold.session, hold.sequence) == kNil;
  if (node.waited) waited_.insert(index);
  link_hold_to_session(index);
  return index;
}

void LockState::remove_hold(std::uint32_t index) {
  changing(holds_[index].lock);
  detach_from_session(index);
  if (holds_[index].lease_ms != 0) {
    leased_.erase(index);
    trim(leased_);
  }
  if (holds_[index].upgraded) replaced_tokens_.erase(index);
  count_hold(holds_[index].owner, false);
  unlink_hold(index);
  unref_owner(holds_[index].owner);
  holds_.free(index);
}

void LockState::link_hold(std::uint32_t index) {
  Hold& hold = holds_[index];
  Lock& lock = locks_[hold.lock];
  hold.previous = lock.last_hold;
  hold.next = kNil;
  (lock.last_hold == kNil ? lock.first_hold : holds_[lock.last_hold].next) = index;
  lock.last_hold = index;
  hold.indexed_by_owner = hold.previous != kNil;
  if (hold.indexed_by_owner) co_holders_.insert(index);
}

void LockState::unlink_hold(std::uint32_t index) {
  const Hold& hold = holds_[index];
  Lock& lock = locks_[hold.lock];
  (hold.previous == kNil ? lock.first_hold : holds_[hold.previous].next) = hold.next;
  (hold.next == kNil ? lock.last_hold : holds_[hold.next].previous) = hold.previous;
  if (!hold.indexed_by_owner) return;
  co_holders_.erase(index);
  trim(co_holders_);
}

void LockState::link_hold_to_session(std::uint32_t index) {
  Hold& hold = holds_[index];
  Session& session = sessions_[hold.session];
  hold.session_previous = kNil;
  hold.session_next = session.first_hold;
  if (session.first_hold != kNil) holds_[session.first_hold].session_previous = index;
  session.first_hold = index;
  ++session.hold_count;
}

void LockState::unlink_hold_from_session(std::uint32_t index) {
  const Hold& hold = holds_[index];
  --sessions_[hold.session].hold_count;
  (hold.session_previous == kNil ? sessions_[hold.session].first_hold
                                 : holds_[hold.session_previous].session_next) = hold.session_next;
  if (hold.session_next != kNil) holds_[hold.session_next].session_previous = hold.session_previous;
}

void LockState::detach_from_session(std::uint32_t index) {
  Hold& hold = holds_[index];
  if (hold.session == kNil) return;
  changing(hold.lock);
  if (hold.waited) {
    waited_.erase(index);
    trim(waited_);
  }
  unlink_hold_from_session(index);
  hold.session = kNil;
  hold.waited = false;
}

void LockState::set_count(std::uint32_t hold, std::uint32_t count) {
  changing(holds_[hold].lock);
  holds_[hold].count = count;
}

void LockState::set_lease_ms(std::uint32_t hold, std::uint32_t lease_ms) {
  changing(holds_[hold].lock);
  holds_[hold].lease_ms = lease_ms;
}

void LockState::upgrade(std::uint32_t index, FencingToken token, Sequence sequence) {
  Hold& hold = holds_[index];
  changing(hold.lock);
  restore_replaced_token(index, hold.token);
  if (hold.lease_ms != 0) leased_.erase(index);
  if (hold.waited) waited_.erase(index);
  hold.token = token;
  hold.sequence = sequence;
  hold.waited = false;
  if (hold.lease_ms != 0) leased_.insert(index);
}

FencingToken LockState::replaced_token(std::uint32_t hold) const {
  return holds_[hold].upgraded ? replaced_tokens_.at(hold) : FencingToken();
}

void LockState::restore_replaced_token(std::uint32_t hold, FencingToken token) {
  holds_[hold].upgraded = true;
  replaced_tokens_[hold] = token;
}

// --- waits ---------------------------------------------------------------------------------------

std::uint32_t LockState::find_wait(std::uint32_t session, Sequence sequence) const {
  if (sessions_[session].wait_count == 0) return kNil;
  auto it = wait_index_.find(SessionAndSequence{session, sequence});
  return it == wait_index_.end() ? kNil : *it;
}

std::uint32_t LockState::add_wait(const Wait& wait) {
  changing(wait.lock);
  std::uint32_t index = waits_.allocate();
  Wait& node = waits_[index] = wait;
  Lock& lock = locks_[wait.lock];
  node.previous = lock.last_wait;
  node.next = kNil;
  node.ticket = lock.last_wait == kNil ? 0 : waits_[lock.last_wait].ticket + 1;
  (lock.last_wait == kNil ? lock.first_wait : waits_[lock.last_wait].next) = index;
  lock.last_wait = index;
  ++lock.wait_count;

  Session& session = sessions_[wait.session];
  node.session_previous = kNil;
  node.session_next = session.first_wait;
  if (session.first_wait != kNil) waits_[session.first_wait].session_previous = index;
  session.first_wait = index;
  ++session.wait_count;
  wait_index_.insert(index);
  return index;
}

void LockState::remove_wait(std::uint32_t index) {
  const Wait& wait = waits_[index];
  changing(wait.lock);
  wait_index_.erase(index);
  trim(wait_index_);
  Lock& lock = locks_[wait.lock];
  (wait.previous == kNil ? lock.first_wait : waits_[wait.previous].next) = wait.next;
  (wait.next == kNil ? lock.last_wait : waits_[wait.next].previous) = wait.previous;
  --lock.wait_count;

  Session& session = sessions_[wait.session];
  (wait.session_previous == kNil ? session.first_wait : waits_[wait.session_previous].session_next) =
      wait.session_next;
  if (wait.session_next != kNil) waits_[wait.session_next].session_previous = wait.session_previous;
  --session.wait_count;
  unref_owner(wait.owner);
  waits_.free(index);
}

std::uint32_t LockState::position_of(std::uint32_t index) const {
  // After a failover every waiter of a long queue asks: none of them may walk all of it.
  constexpr std::uint32_t kStepsMax = 64;
  const Lock& lock = locks_[waits_[index].lock];
  std::uint32_t steps = 0;
  for (std::uint32_t w = waits_[index].previous; w != kNil && steps <= kStepsMax; w = waits_[w].previous)
    ++steps;
  if (steps <= kStepsMax) return steps;
  std::uint32_t by_ticket = waits_[index].ticket - waits_[lock.first_wait].ticket;
  return std::min(by_ticket, lock.wait_count - 1);
}

// --- expired tokens ------------------------------------------------------------------------------

void LockState::add_expired(const ExpiredToken& expired) {
  if (is_expired(expired)) return;  // it came back with an arc that had been here before
  if (expired_.size() == kExpiredMax) {
    expired_index_.erase(key_of(expired_.front()));
    expired_.pop_front();
  }
  expired_.push_back(expired);
  expired_index_.insert(key_of(expired));
}

}  // namespace dlm::server
