// The operations a router has taken and not finally answered: one slot each, found by slot, by (session base,
// sequence) and by connection. Internal to router/core.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "schema/operation.h"

namespace dlm::router {

inline constexpr std::uint32_t kNone = UINT32_MAX;

enum class PendingState : std::uint8_t {
  free,
  waiting,    // in its group's queue
  in_flight,  // in a call
  queued,     // the group answered "queued": it has a place in the lock's line
  parked,     // nowhere to go now: no ring, or its arc is on its way, or its group put it off
};

// Names a slot at one time of its use: a slot that was freed and taken again has another arrival.
struct PendingRef {
  std::uint32_t slot = kNone;
  std::uint64_t arrival = 0;
};

struct Pending {
  Operation op;                // its strings lie in `bytes`: see view()
  std::string bytes;           // resource, owner tag, client id; keeps its capacity over the slot's uses
  std::uint64_t arrival = 0;   // order in which the router took them
  std::uint64_t hash = 0;      // of the resource
  std::uint64_t base = 0;      // of the client's session
  std::uint64_t deadline = 0;  // 0: none
  std::uint64_t call = 0;      // in_flight: the call it is in
  std::uint64_t retry_at = 0;  // parked: when it is asked again
  SessionId told_session;      // told_in: its session there
  std::uint32_t slot = kNone;  // its own
  std::uint32_t connection = kNone;
  std::uint32_t group = kNone;
  std::uint32_t told_in = kNone;   // the group in which the client knows that it is queued
  std::uint32_t moved_by = kNone;  // the group that said last that it does not own the resource
  std::uint32_t next = kNone;      // of the same connection
  std::uint32_t previous = kNone;
  std::uint16_t resource_bytes = 0;
  std::uint16_t tag_bytes = 0;
  std::uint16_t client_id_bytes = 0;
  PendingState state = PendingState::free;
  std::uint8_t moved = 0;    // how often in a row it was answered that its arc is elsewhere
  bool sent = false;         // its group may have executed it
  bool sent_again = false;   // likewise, before it was sent last: the answer to that is not the whole story
  bool sent_before = false;  // an earlier group may have, which can't be asked any more
  bool put_off = false;      // its group put it off the last time it was asked
  bool in_line = false;      // parked with others of its resource: see Line

  // Once it is told queued its group ends it.
  bool may_expire() const { return deadline != 0 && told_in == kNone; }
  bool maybe_done() const { return sent || sent_before; }

  // Borrows from this slot, until it is freed.
  Operation view() const {
    Operation out = op;
    const char* at = bytes.data();
    out.resource = {at, resource_bytes};
    out.owner_tag = {at + resource_bytes, tag_bytes};
    out.client_id = {at + resource_bytes + tag_bytes, client_id_bytes};
    return out;
  }
};

class PendingTable {
 public:
  // Null when (base, sequence) is there already. REQUIRES: the strings are within schema/limits.h.
  Pending* add(std::uint64_t base, const Operation& op, std::uint64_t hash);
  void remove(std::uint32_t slot);

  std::uint32_t find(std::uint64_t base, Sequence sequence) const;  // kNone: not there
  Pending& at(std::uint32_t slot) { return slots_[slot]; }
  // Null when that use of the slot is over.
  Pending* get(const PendingRef& ref) {
    Pending& pending = slots_[ref.slot];
    return pending.arrival == ref.arrival && pending.state != PendingState::free ? &pending : nullptr;
  }
  std::size_t size() const { return index_.size(); }
  // What the operations take in memory, about. Free slots keep little; there are no more than there once were
  // operations.
  std::size_t bytes() const { return index_.size() * kSlotBytes + string_bytes_; }
  // All slots, free ones too: for the rare walks over everything.
  std::deque<Pending>& slots() { return slots_; }

 private:
  struct Key {
    std::uint64_t base;
    std::uint64_t sequence;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    using is_avalanching = void;
    // The finalizer of MurmurHash3 (Appleby): each bit of the input reaches each bit of the output.
    static std::uint64_t mixed(std::uint64_t x) {
      x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdU;
      x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53U;
      return x ^ (x >> 33);
    }
    std::size_t operator()(const Key& key) const {
      return static_cast<std::size_t>(mixed(key.base + mixed(key.sequence)));
    }
  };

  static constexpr std::size_t kSlotBytes = sizeof(Pending) + 2 * (sizeof(Key) + sizeof(std::uint32_t));

  std::deque<Pending> slots_;
  std::size_t string_bytes_ = 0;
  std::vector<std::uint32_t> free_;
  boost::unordered_flat_map<Key, std::uint32_t, KeyHash> index_;
  std::uint64_t arrivals_ = 0;
};

}  // namespace dlm::router
