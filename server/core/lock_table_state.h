// What the lock table keeps, and every change of it: locks, holds, waiters, sessions, owners, and their
// indexes. It knows no rules; those are in lock_table_impl.h. Compact: a lock with one holder and a name of
// up to 22 bytes takes two nodes of 112 bytes together and one entry in an index.
//
// Indexes of locks are visible (listings go by them) and so the same on all replicas; those of holds,
// waiters, owners and sessions are not, and no output may depend on them.
#pragma once

#include <bit>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "schema/operation.h"
#include "schema/types.h"
#include "server/core/lock_table.h"
#include "server/core/session_memory.h"
#include "server/core/short_bytes.h"
#include "server/core/slab.h"

namespace dlm::server {

// An index that was large and is empty gives its memory back.
template <class Index>
void trim(Index& index) {
  constexpr std::size_t kKeptBuckets = 1024;
  if (index.empty() && index.bucket_count() > kKeptBuckets) index.rehash(0);
}

// (client id, owner tag). Kept while anything refers to it.
struct Owner {
  ShortBytes bytes;  // client id, then tag
  std::uint64_t hash = 0;
  std::uint64_t client_hash = 0;  // of the client id alone
  std::uint32_t references = 0;
  std::uint32_t live_session = kNil;  // of the owner without tag: the client's session
  std::uint8_t client_bytes = 0;
};

// A live lock has a holder.
struct Lock {
  ShortBytes name;
  std::uint32_t first_hold = kNil;  // in grant order
  std::uint32_t last_hold = kNil;
  std::uint32_t first_wait = kNil;  // in queue order
  std::uint32_t last_wait = kNil;
  std::uint32_t wait_count = 0;
  LockMode mode = LockMode::exclusive;  // of all holders
  bool live = false;
};

struct Hold {
  FencingToken token;
  Sequence sequence;  // of the acquire that got this token
  std::uint64_t since_unix_ms = 0;
  std::uint32_t lock = kNil;
  std::uint32_t owner = kNil;
  std::uint32_t session = kNil;  // that acquired it; kNil when that has ended (detached holds only)
  std::uint32_t count = 1;
  std::uint32_t lease_ms = 0;  // 0: lives by its session alone
  std::uint32_t next = kNil;   // of the lock
  std::uint32_t previous = kNil;
  std::uint32_t session_next = kNil;
  std::uint32_t session_previous = kNil;
  LeaseKind lease = LeaseKind::session;
  bool waited = false;            // granted from the queue
  bool indexed_by_owner = false;  // was not the first holder of its lock
  bool upgraded = false;          // had another token as a shared hold; see LockState::replaced_token()
};

struct Wait {
  Sequence sequence;
  std::uint64_t since_unix_ms = 0;
  std::uint32_t lock = kNil;
  std::uint32_t owner = kNil;
  std::uint32_t session = kNil;
  std::uint32_t wait_ms = 0;
  std::uint32_t lease_ms = 0;
  std::uint32_t ticket = 0;  // increases along the queue
  std::uint32_t next = kNil;
  std::uint32_t previous = kNil;
  std::uint32_t session_next = kNil;
  std::uint32_t session_previous = kNil;
  LockMode mode = LockMode::exclusive;
  LeaseKind lease = LeaseKind::session;
};

enum class Ending : std::uint8_t { none = 0, closed = 1, expired = 2 };

struct Session {
  SessionId id;
  Sequence acked_below;
  std::uint64_t since_unix_ms = 0;
  std::uint32_t ttl_ms = 0;
  std::uint32_t client = kNil;  // an owner without tag
  std::uint32_t first_hold = kNil;
  std::uint32_t first_wait = kNil;
  std::uint32_t wait_count = 0;
  std::uint32_t hold_count = 0;
  Ending ending = Ending::none;  // it is over, and some of its holds are still to go
  std::uint32_t swept = 0;       // ending: none are left in locks below this index
  // Came with an arc from another group, and nothing of the client has been logged here yet: the client may
  // be at a later generation, which then becomes that of this session.
  bool adopted = false;
  std::vector<GroupId> moved_to;  // groups to which holds or waits of it went; sorted
  AnswerMemory answers;
  EndedWaits ended_waits;
};

// What has been given away and not arrived yet, by number.
using OutgoingArcs = std::map<std::uint64_t, OutgoingArc>;
// Which arcs of one other group have come: all below `below`, and those in `numbers`.
struct ReceivedArcs {
  std::uint64_t below = 0;
  std::set<std::uint64_t> numbers;
  bool has(std::uint64_t number) const { return number < below || numbers.contains(number); }
  bool operator==(const ReceivedArcs&) const = default;
};

// A name and its position on the ring, which is also its hash here.
struct NameKey {
  explicit NameKey(std::string_view resource);
  std::string_view name;
  std::uint64_t hash;
  std::uint32_t place() const { return static_cast<std::uint32_t>(hash >> 32); }
};

// Told before something that a snapshot holds changes, comes or goes; how a snapshot stays what it was.
class StateWatcher {
 public:
  virtual void before_owner(std::uint32_t owner) = 0;      // comes or goes: it never changes
  virtual void before_session(std::uint32_t session) = 0;  // its holds and waits are the locks'
  virtual void before_rename(std::uint32_t session) = 0;   // its id changes, by which its locks name it
  virtual void before_lock(std::uint32_t lock) = 0;

 protected:
  ~StateWatcher() = default;
};

class LockState {
 public:
  static constexpr std::size_t kExpiredMax = 16'384;

  LockState();
  ~LockState();
  LockState(const LockState&) = delete;
  LockState& operator=(const LockState&) = delete;

  // --- owners ------------------------------------------------------------------------------------
  // By client id, or by another owner (or itself) with that client id, which is faster.
  std::uint32_t find_owner(std::string_view client, std::string_view tag) const;
  std::uint32_t find_owner(std::uint32_t client, std::string_view tag) const;
  // With one more reference, which the caller owns.
  std::uint32_t intern_owner(std::string_view client, std::string_view tag);
  std::uint32_t intern_owner(std::uint32_t client, std::string_view tag);
  void ref_owner(std::uint32_t owner) { ++owners_[owner].references; }
  void unref_owner(std::uint32_t owner);
  std::string_view client_of(std::uint32_t owner) const;
  std::string_view tag_of(std::uint32_t owner) const;
  bool owner_live(std::uint32_t index) const {
    return index < owners_.size() && owners_[index].references != 0;
  }
  const Slab<Owner>& owners() const { return owners_; }

  // --- sessions and tombstones -------------------------------------------------------------------
  std::uint32_t find_session(SessionId id) const;
  // kNil, and nothing done, when the id is live or the client has a live session. Takes over the reference
  // to `client`.
  std::uint32_t add_session(SessionId id, std::uint32_t client, std::uint32_t ttl_ms,
                            std::uint64_t since_unix_ms);
  // One that came with an arc. The client may have another one here (two processes with one client id, in
  // different groups until now): that one stays its live one. REQUIRES: the id is not live. Takes over the
  // reference to `client`.
  std::uint32_t adopt_session(SessionId id, std::uint32_t client, std::uint32_t ttl_ms,
                              std::uint64_t since_unix_ms);
  // The live session of the same base, whatever the generation; kNil: none.
  std::uint32_t find_generation(SessionId id) const;
  // The client spoke: the session goes by `id` from now on, and is like any other.
  void settle_adopted(std::uint32_t session, SessionId id);
  void add_moved_to(std::uint32_t session, GroupId group);
  // It is found by its id only, from now on, and remembers nothing.
  void begin_ending(std::uint32_t session, Ending how);
  void set_swept(std::uint32_t session, std::uint32_t lock);
  bool is_ending(std::uint32_t session) const { return sessions_[session].ending != Ending::none; }
  // REQUIRES: it has no holds and no waits.
  void remove_session(std::uint32_t session);
  bool session_live(std::uint32_t index) const { return index < sessions_.size() && sessions_[index].id; }
  Session& session(std::uint32_t index) { return sessions_[index]; }
  const Session& session(std::uint32_t index) const { return sessions_[index]; }
  std::uint32_t live_session_of(std::uint32_t client) const { return owners_[client].live_session; }
  std::size_t session_count() const { return sessions_.live(); }
  const Slab<Session>& sessions() const { return sessions_; }
  void set_ttl_ms(Session& session, std::uint32_t ttl_ms);
  std::vector<SessionId> session_ids() const;  // sorted
  void forget_answers_below(Session& session, Sequence sequence);
  // These take over the reference to the answer's holder.
  void remember(Session& session, const StoredAnswer& answer);
  void remember_ended_wait(Session& session, const StoredAnswer& answer);

  enum class Tombstone : std::uint8_t { none = 0, ended = 1, closed = 2 };
  Tombstone tombstone(SessionId id) const;
  void add_tombstone(SessionId id, Tombstone kind) { tombstones_[id.value] = kind; }
  bool remove_tombstone(SessionId id) { return tombstones_.erase(id.value) != 0; }
  std::vector<SessionId> tombstone_ids() const;  // sorted
  const auto& tombstones() const { return tombstones_; }

  // --- locks -------------------------------------------------------------------------------------
  std::uint32_t find_lock(const NameKey& key) const;
  // Those with a name in the arc, by index. Costs a look at all in the parts that the arc touches.
  std::vector<std::uint32_t> locks_in(const OwnedArc& arc) const;
  // REQUIRES: find_lock(key) == kNil; a hold is added next.
  std::uint32_t add_lock(const NameKey& key);
  // REQUIRES: it has no holds and no waits.
  void remove_lock(std::uint32_t lock);
  const Lock& lock(std::uint32_t index) const { return locks_[index]; }
  bool lock_live(std::uint32_t index) const { return index < locks_.size() && locks_[index].live; }
  void set_mode(std::uint32_t lock, LockMode mode);
  const Slab<Lock>& locks() const { return locks_; }

  // --- holds -------------------------------------------------------------------------------------
  const Hold& hold(std::uint32_t index) const { return holds_[index]; }
  std::uint32_t find_hold(std::uint32_t lock, std::uint32_t owner) const;
  std::uint32_t find_leased_hold(std::uint32_t lock, FencingToken token) const;  // with a lease of its own
  // One that was granted from the queue to this acquire.
  std::uint32_t find_waited_hold(std::uint32_t session, Sequence sequence) const;
  // As the last holder of hold.lock. Takes over the reference to the owner; links are filled in. Does not
  // count as granted from the queue where the client has one of the same sequence: it used that in two
  // groups.
  std::uint32_t add_hold(const Hold& hold);
  void remove_hold(std::uint32_t index);
  void set_count(std::uint32_t hold, std::uint32_t count);
  void set_lease_ms(std::uint32_t hold, std::uint32_t lease_ms);
  // From shared to exclusive: gives it the token of a later acquire; it no longer counts as granted from the
  // queue. Happens at most once to a hold.
  void upgrade(std::uint32_t hold, FencingToken token, Sequence sequence);
  // What it had before its upgrade; none: it was not upgraded.
  FencingToken replaced_token(std::uint32_t hold) const;
  // Its token, or the replaced one: what its owner asks for may have crossed the upgrade.
  bool goes_by(std::uint32_t hold, FencingToken token) const {
    return holds_[hold].token == token || (holds_[hold].upgraded && replaced_token(hold) == token);
  }
  // Its session ends and it stays.
  void detach_from_session(std::uint32_t hold);
  std::size_t hold_count() const { return holds_.live(); }
  // Of all owners with the client id of this one.
  std::size_t holds_of_client(std::uint32_t owner) const;

  // --- waits -------------------------------------------------------------------------------------
  const Wait& wait(std::uint32_t index) const { return waits_[index]; }
  std::uint32_t find_wait(std::uint32_t session, Sequence sequence) const;
  // As the last of the queue of wait.lock. Takes over the reference to the owner; links and ticket are
  // filled in.
  std::uint32_t add_wait(const Wait& wait);
  void remove_wait(std::uint32_t index);
  std::size_t wait_count() const { return waits_.live(); }
  // The number of requests before it; in a long queue from which some have gone, an upper bound.
  std::uint32_t position_of(std::uint32_t wait) const;

  // --- expired tokens, the last kExpiredMax ------------------------------------------------------
  void add_expired(const ExpiredToken& expired);
  bool is_expired(const ExpiredToken& expired) const { return expired_index_.contains(key_of(expired)); }
  const std::deque<ExpiredToken>& expired() const { return expired_; }

  // --- single values -----------------------------------------------------------------------------
  LockTableLimits limits;
  FencingToken last_token;
  std::vector<OwnedArc> arcs;   // sorted; neighbours are one
  std::uint64_t last_move = 0;  // number of the arc given away last
  OutgoingArcs outgoing;
  std::map<GroupId, std::vector<OwnedArc>>
      missing;  // of a group that began anew: see miss_arcs; by who may have them
  std::map<GroupId, ReceivedArcs> received;

  // --- for snapshots -----------------------------------------------------------------------------
  void watch(StateWatcher* watcher) { watchers_.push_back(watcher); }
  void unwatch(StateWatcher* watcher) { std::erase(watchers_, watcher); }
  // Rebuilding: locks and free indexes come in the order of their indexes, then which indexes are free in
  // the order of their freeing.
  std::uint32_t restore_lock(const NameKey& key, LockMode mode);
  struct SessionFlags {
    bool adopted = false;
    bool is_live_one = false;   // of its client, which may have others that came with arcs
    bool goes_by_base = false;  // find_generation() finds it: another client may use the same base
  };
  // REQUIRES: the id is not live; `is_live_one`: the client has no live session; `goes_by_base`: its base
  // finds none.
  std::uint32_t restore_session(SessionId id, std::uint32_t client, std::uint32_t ttl_ms,
                                std::uint64_t since_unix_ms, const SessionFlags& flags);
  void restore_ending(std::uint32_t session, Ending how, std::uint32_t swept);
  void restore_replaced_token(std::uint32_t hold, FencingToken token);
  void restore_free_lock() { locks_.extend(); }
  void restore_free_locks(std::vector<std::uint32_t> indexes) { locks_.set_free(std::move(indexes)); }
  void restore_ticket(std::uint32_t wait, std::uint32_t ticket) { waits_[wait].ticket = ticket; }

 private:
  static constexpr int kNamesBits = 10;

  struct OwnerKey {
    OwnerKey(std::string_view client_id, std::string_view owner_tag);
    OwnerKey(std::string_view client_id, std::uint64_t client_hash_, std::string_view owner_tag);
    std::string_view client;
    std::string_view tag;
    std::uint64_t client_hash;
    std::uint64_t hash;
  };
  struct LockAndOwner {
    std::uint32_t lock;
    std::uint32_t owner;
  };
  struct LockAndToken {
    std::uint32_t lock;
    FencingToken token;
  };
  struct SessionAndSequence {
    std::uint32_t session;
    Sequence sequence;
  };

  // Sets of node indexes, hashed and compared by what is in the nodes. The upper bits of a name's hash are
  // the same in a whole part of the names, so they come last.
  struct ByName {
    using is_transparent = void;
    using is_avalanching = void;
    const Slab<Lock>* locks;
    std::size_t operator()(std::uint32_t lock) const;
    std::size_t operator()(const NameKey& key) const { return std::rotl(key.hash, kNamesBits); }
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(const NameKey& key, std::uint32_t lock) const;
    bool operator()(std::uint32_t lock, const NameKey& key) const { return (*this)(key, lock); }
  };
  struct ByOwnerName {
    using is_transparent = void;
    using is_avalanching = void;
    const Slab<Owner>* owners;
    std::size_t operator()(std::uint32_t owner) const;
    std::size_t operator()(const OwnerKey& key) const { return key.hash; }
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(const OwnerKey& key, std::uint32_t owner) const;
    bool operator()(std::uint32_t owner, const OwnerKey& key) const { return (*this)(key, owner); }
  };
  struct ByLockAndOwner {
    using is_transparent = void;
    const Slab<Hold>* holds;
    std::size_t operator()(std::uint32_t hold) const;
    std::size_t operator()(const LockAndOwner& key) const;
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(const LockAndOwner& key, std::uint32_t hold) const;
    bool operator()(std::uint32_t hold, const LockAndOwner& key) const { return (*this)(key, hold); }
  };
  struct ByToken {
    using is_transparent = void;
    const Slab<Hold>* holds;
    std::size_t operator()(std::uint32_t hold) const;
    std::size_t operator()(const LockAndToken& key) const {
      return static_cast<std::size_t>(key.token.value * 0x9e3779b97f4a7c15ULL);
    }
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(const LockAndToken& key, std::uint32_t hold) const;
    bool operator()(std::uint32_t hold, const LockAndToken& key) const { return (*this)(key, hold); }
  };
  template <class Node>
  struct BySequence {
    using is_transparent = void;
    const Slab<Node>* nodes;
    static std::size_t hash(std::uint32_t session, Sequence sequence) {
      return static_cast<std::size_t>(sequence.value * 0x9e3779b97f4a7c15ULL + session);
    }
    std::size_t operator()(std::uint32_t node) const {
      return hash((*nodes)[node].session, (*nodes)[node].sequence);
    }
    std::size_t operator()(const SessionAndSequence& key) const { return hash(key.session, key.sequence); }
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(const SessionAndSequence& key, std::uint32_t node) const {
      return (*nodes)[node].session == key.session && (*nodes)[node].sequence == key.sequence;
    }
    bool operator()(std::uint32_t node, const SessionAndSequence& key) const { return (*this)(key, node); }
  };
  template <class By>
  using IndexSet = boost::unordered_flat_set<std::uint32_t, By, By>;
  struct MixedHash {
    std::size_t operator()(std::uint64_t value) const {
      value *= 0x9e3779b97f4a7c15ULL;
      return static_cast<std::size_t>(value ^ (value >> 32));
    }
  };

  void changing(std::uint32_t lock) {
    for (StateWatcher* watcher : watchers_) watcher->before_lock(lock);
  }
  void changing_owner(std::uint32_t owner) {
    for (StateWatcher* watcher : watchers_) watcher->before_owner(owner);
  }
  void changing_session(const Session& session) {
    if (watchers_.empty()) return;
    const std::uint32_t index = find_session(session.id);
    for (StateWatcher* watcher : watchers_) watcher->before_session(index);
  }
  static std::uint64_t base_of(SessionId id) { return id.value >> 16; }
  // Without being found by its base.
  std::uint32_t new_session(SessionId id, std::uint32_t client, std::uint32_t ttl_ms,
                            std::uint64_t since_unix_ms);
  void count_hold(std::uint32_t owner, bool added);
  void forget_names(std::uint32_t session);
  void link_hold(std::uint32_t index);
  void unlink_hold(std::uint32_t index);
  void link_hold_to_session(std::uint32_t index);
  void unlink_hold_from_session(std::uint32_t index);
  void unref_holder(const StoredAnswer& answer) {
    if (answer.has_holder) unref_owner(answer.count);
  }
  static std::size_t part_of(std::uint64_t hash) { return hash >> (64 - kNamesBits); }
  IndexSet<ByName>& names_for(std::uint64_t hash) { return names_[part_of(hash)]; }
  const IndexSet<ByName>& names_for(std::uint64_t hash) const { return names_[part_of(hash)]; }
  static std::uint64_t key_of(const ExpiredToken& expired) {
    return expired.token.value ^ (std::uint64_t{expired.place} * 0x9e3779b97f4a7c15ULL);
  }

  std::uint32_t find_owner(const OwnerKey& key) const;
  std::uint32_t intern_owner(const OwnerKey& key);

  Slab<Owner> owners_;
  Slab<Session> sessions_;
  Slab<Lock> locks_;
  Slab<Hold> holds_;
  Slab<Wait> waits_;

  // In parts by the upper bits of the hash: so growing one is a short pause, and the names of an arc are in
  // one or a few of them.
  std::vector<IndexSet<ByName>> names_;
  IndexSet<ByOwnerName> owner_index_;
  IndexSet<ByLockAndOwner> co_holders_;  // holds that were not the first of their lock
  IndexSet<ByToken> leased_;             // holds with a lease of their own
  IndexSet<BySequence<Hold>> waited_;    // holds granted from the queue whose session lives
  IndexSet<BySequence<Wait>> wait_index_;
  boost::unordered_flat_map<std::uint64_t, std::uint32_t, MixedHash> session_index_;
  boost::unordered_flat_map<std::uint64_t, Tombstone, MixedHash> tombstones_;
  boost::unordered_flat_map<std::uint32_t, FencingToken> replaced_tokens_;      // by hold; of upgraded ones
  boost::unordered_flat_map<std::uint64_t, std::uint32_t, MixedHash> by_base_;  // sessions
  // By the hash of the client id. Counted, not kept: a snapshot has the holds.
  boost::unordered_flat_map<std::uint64_t, std::uint32_t, MixedHash> holds_of_clients_;
  std::deque<ExpiredToken> expired_;
  boost::unordered_flat_set<std::uint64_t, MixedHash> expired_index_;
  std::vector<StateWatcher*> watchers_;
};

}  // namespace dlm::server
