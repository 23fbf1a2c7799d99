// A binary heap of (deadline, order) over slots that hold what the deadlines are about. A renewal only writes
// the new deadline into its slot: the heap's node stays where it is and goes back into the heap when its old
// time comes. So a session that is renewed three times per TTL costs one heap operation per TTL. Nodes of
// dropped slots stay until they come to the top, or until they are the majority and the heap is rebuilt.
#include "server/core/lease_clock.h"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <functional>
#include <limits>
#include <utility>

#include "schema/limits.h"
#include "server/core/lock_table_codec.h"

namespace dlm::server {
namespace {

using Kind = TimerEvent::Kind;

struct Key {
  Kind kind = Kind::session;
  std::uint64_t first = 0;   // session; of a hold: its token
  std::uint64_t second = 0;  // of a wait: the sequence of its acquire; of a hold: the hash of its name, as
                             // tokens of names that came from different groups may be equal
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  std::size_t operator()(const Key& key) const {
    std::uint64_t mixed =
        key.first * 0x9e3779b97f4a7c15ULL ^ (key.second + static_cast<std::uint64_t>(key.kind));
    return static_cast<std::size_t>(mixed ^ (mixed >> 32));
  }
};

Key key_of_hold(FencingToken token, std::string_view resource) {
  return {Kind::hold, token.value, hash_of_bytes(resource, 0)};
}

Key key_of(const TimerEvent& event) {
  switch (event.kind) {
    case Kind::hold:
      return key_of_hold(event.token, event.resource);
    case Kind::wait:
      return {event.kind, event.session.value, event.sequence.value};
    case Kind::session:
    case Kind::tombstone:
      break;
  }
  return {event.kind, event.session.value, 0};
}

struct Slot {
  Key key;
  TimeMs deadline = 0;
  std::uint64_t order = 0;       // of the last restart; unique; breaks ties between equal deadlines
  std::uint64_t node_order = 0;  // of the slot's one valid node in the heap; 0: the slot is free
  TimeMs node_deadline = 0;
  std::uint32_t duration_ms = 0;
  std::string resource;
};

struct Node {
  TimeMs deadline = 0;
  std::uint64_t order = 0;
  std::uint32_t slot = 0;
  // For a heap with the earliest on top.
  bool operator<(const Node& other) const {
    return std::pair(deadline, order) > std::pair(other.deadline, other.order);
  }
};

constexpr std::size_t kNodesBeforeRebuild = 1024;

}  // namespace

struct LeaseClock::Impl {
  boost::unordered_flat_map<Key, std::uint32_t, KeyHash> slot_of;
  std::vector<Slot> slots;
  std::vector<std::uint32_t> free_slots;
  std::vector<Node> heap;
  std::uint64_t last_order = 0;

  const Slot* find(const Key& key) const {
    auto it = slot_of.find(key);
    return it == slot_of.end() ? nullptr : &slots[it->second];
  }

  bool is_current(const Node& node) const { return slots[node.slot].node_order == node.order; }

  void push_node(std::uint32_t index) {
    Slot& slot = slots[index];
    slot.node_order = slot.order;
    slot.node_deadline = slot.deadline;
    heap.push_back({slot.deadline, slot.order, index});
    std::push_heap(heap.begin(), heap.end());
    rebuild_if_mostly_dead();
  }

  void pop_node() {
    std::pop_heap(heap.begin(), heap.end());
    heap.pop_back();
  }

  void restart(std::uint32_t index, TimeMs now) {
    Slot& slot = slots[index];
    slot.deadline = now + slot.duration_ms;
    slot.order = ++last_order;
    // Later than its node: found when the node comes up. Earlier (a shorter lease, a clock set back): the
    // node is no good.
    if (slot.node_order == 0 || slot.deadline < slot.node_deadline) push_node(index);
  }

  void start(const TimerEvent& event, TimeMs now) {
    auto [it, is_new] = slot_of.try_emplace(key_of(event), 0U);
    if (is_new) {
      if (free_slots.empty()) {
        free_slots.push_back(static_cast<std::uint32_t>(slots.size()));
        slots.emplace_back();
      }
      it->second = free_slots.back();
      free_slots.pop_back();
      slots[it->second].key = it->first;
    }
    Slot& slot = slots[it->second];
    slot.duration_ms = event.duration_ms;
    slot.resource = event.resource;
    restart(it->second, now);
  }

  void drop(const Key& key) {
    auto it = slot_of.find(key);
    if (it == slot_of.end()) return;
    slots[it->second] = Slot();
    free_slots.push_back(it->second);
    slot_of.erase(it);
    rebuild_if_mostly_dead();
  }

  void rebuild_if_mostly_dead() {
    if (heap.size() <= kNodesBeforeRebuild || heap.size() <= 2 * slot_of.size()) return;
    std::erase_if(heap, [this](const Node& node) { return !is_current(node); });
    std::make_heap(heap.begin(), heap.end());
  }

  bool renew(const Key& key, TimeMs now) {
    auto it = slot_of.find(key);
    if (it == slot_of.end()) return false;
    restart(it->second, now);
    return true;
  }

  std::uint32_t left_ms(const Key& key, TimeMs now) const {
    const Slot* slot = find(key);
    if (slot == nullptr || slot->deadline <= now) return 0;
    return static_cast<std::uint32_t>(slot->deadline - now);
  }
};

namespace {

OwnedOperation expiry_of(const Slot& slot) {
  Operation op;
  op.resource = slot.resource;
  switch (slot.key.kind) {
    case Kind::session:
      op.kind = OperationKind::expire_session;
      op.session = SessionId(slot.key.first);
      break;
    case Kind::hold:
      op.kind = OperationKind::expire_hold;
      op.token = FencingToken(slot.key.first);
      break;
    case Kind::wait:
      op.kind = OperationKind::expire_wait;
      op.session = SessionId(slot.key.first);
      op.target = Sequence(slot.key.second);
      break;
    case Kind::tombstone:
      op.kind = OperationKind::forget_session;
      op.session = SessionId(slot.key.first);
      break;
  }
  return OwnedOperation(op);
}

}  // namespace

LeaseClock::LeaseClock() : impl_(std::make_unique<Impl>()) {}
LeaseClock::~LeaseClock() = default;

void LeaseClock::on(const TimerEvent& event, TimeMs now) {
  bool endless = event.kind == Kind::wait && event.duration_ms == kWaitForeverMs;
  if (event.start && !endless) {
    impl_->start(event, now);
  } else {
    impl_->drop(key_of(event));
  }
}

bool LeaseClock::renew_session(SessionId session, TimeMs now) {
  return impl_->renew({Kind::session, session.value, 0}, now);
}

bool LeaseClock::renew_hold(FencingToken token, std::string_view resource, TimeMs now) {
  return impl_->renew(key_of_hold(token, resource), now);
}

void LeaseClock::expired(TimeMs now, std::size_t max, std::vector<OwnedOperation>& out) {
  Impl& clock = *impl_;
  for (std::size_t told = 0; told < max && !clock.heap.empty() && clock.heap.front().deadline <= now;) {
    const Node node = clock.heap.front();
    clock.pop_node();
    if (!clock.is_current(node)) continue;
    const Slot& slot = clock.slots[node.slot];
    if (slot.order != node.order) {
      clock.push_node(node.slot);  // renewed since; it takes its true place, which may be due as well
      continue;
    }
    out.push_back(expiry_of(slot));
    ++told;
    clock.drop(Key(slot.key));
  }
}

TimeMs LeaseClock::next_deadline() const {
  return impl_->heap.empty() ? std::numeric_limits<TimeMs>::max() : impl_->heap.front().deadline;
}

std::uint32_t LeaseClock::session_left_ms(SessionId session, TimeMs now) const {
  return impl_->left_ms({Kind::session, session.value, 0}, now);
}

std::uint32_t LeaseClock::hold_left_ms(FencingToken token, std::string_view resource, TimeMs now) const {
  return impl_->left_ms(key_of_hold(token, resource), now);
}

std::uint32_t LeaseClock::wait_left_ms(SessionId session, Sequence sequence, TimeMs now) const {
  return impl_->left_ms({Kind::wait, session.value, sequence.value}, now);
}

void LeaseClock::clear() {
  *impl_ = Impl();
}

std::size_t LeaseClock::size() const {
  return impl_->slot_of.size();
}

}  // namespace dlm::server
