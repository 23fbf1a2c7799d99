// Where operations go: to the group of their resource, to the other one while their arc is on its way
// between two, or nowhere for a while.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "router/core/router_state.h"

namespace dlm::router {
namespace {

constexpr std::size_t kSlack = 1'024;  // of a list beyond twice what can be alive in it, before it is cleaned

constexpr std::uint8_t kMovedMax = 100;  // counted

constexpr auto kLater = [](const Parked& a, const Parked& b) { return a.at > b.at; };

// When something parked is to be looked at: it is asked again then, or its time is over.
TimeMs look_at(const Pending& pending) {
  return pending.may_expire() ? std::min(pending.retry_at, pending.deadline) : pending.retry_at;
}

}  // namespace

// --- to which group ----------------------------------------------------------

Group* RouterCore::State::whom_to_ask(std::uint64_t hash, std::uint32_t moved_by) {
  const Candidates candidates = routes_.candidates(hash);
  Group* first = group_of(candidates.group);
  if (!candidates.other || first == nullptr) return first;
  Group* other = group_of(candidates.other);
  if (other == nullptr || other->index == moved_by) return first;
  // Not of the first one while nobody serves there: the other may have the arc by now, and says if not.
  if (first->index == moved_by || (!reachable(*first) && reachable(*other))) return other;
  return first;
}

Group* RouterCore::State::home_of(const Pending& pending) {
  if (pending.sent) {
    // What was sent and not answered may have been done, which that group alone can tell.
    const GroupId asked = groups_[pending.group].id;
    const Candidates candidates = routes_.candidates(pending.hash);
    if (candidates.group == asked || candidates.other == asked) return &groups_[pending.group];
  }
  return whom_to_ask(pending.hash, pending.moved_by);
}

Group* RouterCore::State::assign(Pending& pending) {
  Group* group = home_of(pending);
  if (group == nullptr) {
    park(pending, kNever);
    return nullptr;
  }
  if (!lines_.empty()) {
    if (auto line = lines_.find(pending.hash); line != lines_.end()) {
      stand_in_line(pending, line->second.retry_at);
      return nullptr;
    }
  }
  const GroupSession& session = this->session(connections_[pending.connection], group->index);
  if (pending.sent && pending.group != group->index) {
    pending.sent = false;
    pending.sent_before = true;
  }
  // What was sent may have been done, or been given up by the client, in the session that it was sent in:
  // never under the next one.
  if (pending.told_in == group->index) {
    pending.op.session = pending.told_session;
  } else if (!pending.sent) {
    pending.op.session = session_of(pending.base, session.generation);
  }
  if (pending.group != group->index) pending.put_off = false;
  pending.group = group->index;
  if (session.state == SessionState::ended && !pending.maybe_done()) {
    finish(pending, Status::session_expired, "the session in " + to_string(group->id) + " has ended");
    return nullptr;
  }
  pending.state = PendingState::waiting;
  if (pending.may_expire()) group->deadline = std::min(group->deadline, pending.deadline);
  return group;
}

void RouterCore::State::place(Pending& pending) {
  Group* group = assign(pending);
  if (group == nullptr) return;
  Lane& lane = group->lane_of(pending.op.kind);
  if (lane.size() > 2 * pending_.size() + kSlack) {
    // Nothing leaves, and what waited ended: only its places are left.
    lane.clean([&](const PendingRef& ref) { return !waits_in(*group, pending_.get(ref)); });
  }
  lane.push({pending.slot, pending.arrival});
}

void RouterCore::State::place_again(std::vector<PendingRef>& back) {
  if (back.empty()) return;
  struct Lanes {
    std::vector<PendingRef> urgent;
    std::vector<PendingRef> acquires;
  };
  std::map<std::uint32_t, Lanes> of_group;
  for (const PendingRef& ref : back) {
    Pending* pending = pending_.get(ref);
    if (pending == nullptr) continue;
    pending->state = PendingState::parked;
    const Group* group = assign(*pending);
    if (group == nullptr) continue;
    Lanes& lanes = of_group[group->index];
    (is_urgent(pending->op.kind) ? lanes.urgent : lanes.acquires).push_back(ref);
  }
  for (auto& [index, lanes] : of_group) {
    if (!lanes.urgent.empty()) groups_[index].urgent.merge(lanes.urgent);
    if (!lanes.acquires.empty()) groups_[index].acquires.merge(lanes.acquires);
  }
  back.clear();
}

void RouterCore::State::follow_ring() {
  // Rare, so a walk over everything. What is in a call or in a lock's line is left: its group says when it is
  // to go elsewhere.
  std::vector<PendingRef> back;
  for (Pending& pending : pending_.slots()) {
    if (pending.state != PendingState::waiting && pending.state != PendingState::parked) continue;
    pending.moved = 0;
    pending.moved_by = kNone;
    const Group* home = home_of(pending);
    const bool stays = pending.state == PendingState::waiting || pending.put_off;
    if (stays && home != nullptr && home->index == pending.group) continue;
    leave_line(pending);
    back.push_back({pending.slot, pending.arrival});
  }
  place_again(back);
}

// --- nowhere for a while -----------------------------------------------------

void RouterCore::State::park(Pending& pending, TimeMs retry_at) {
  pending.state = PendingState::parked;
  pending.retry_at = retry_at;
  if (parked_.size() > 2 * pending_.size() + kSlack) {
    std::erase_if(parked_, [&](const Parked& entry) {
      const Pending* parked = pending_.get(entry.ref);
      return parked == nullptr || parked->state != PendingState::parked || look_at(*parked) != entry.at;
    });
    std::make_heap(parked_.begin(), parked_.end(), kLater);
  }
  const TimeMs at = look_at(pending);
  if (at == kNever) return;  // a ring will find it
  parked_.push_back({at, {pending.slot, pending.arrival}});
  std::push_heap(parked_.begin(), parked_.end(), kLater);
}

void RouterCore::State::stand_in_line(Pending& pending, TimeMs retry_at) {
  Line& line = lines_[pending.hash];
  if (line.length == 0) line.retry_at = retry_at;
  if (!std::exchange(pending.in_line, true)) ++line.length;
  park(pending, line.retry_at);
}

void RouterCore::State::leave_line(Pending& pending) {
  if (!std::exchange(pending.in_line, false)) return;
  auto line = lines_.find(pending.hash);
  if (--line->second.length == 0) lines_.erase(line);
}

void RouterCore::State::wake_parked(TimeMs now) {
  std::vector<PendingRef> back;
  while (!parked_.empty() && parked_.front().at <= now) {
    const PendingRef ref = parked_.front().ref;
    std::pop_heap(parked_.begin(), parked_.end(), kLater);
    parked_.pop_back();
    Pending* pending = pending_.get(ref);
    if (pending == nullptr || pending->state != PendingState::parked) continue;
    if (pending->may_expire() && pending->deadline <= now) {
      expire(*pending, now);
    } else if (pending->retry_at <= now) {
      pending->retry_at = kNever;  // an older entry may name it, too
      leave_line(*pending);
      back.push_back(ref);
    }
  }
  place_again(back);
}

// --- arcs on their way -------------------------------------------------------

// Neither did its group execute it, nor will it. The other of the two groups is asked at once; when both said
// no, the arc has left the one and not reached the other, which takes milliseconds: both again, in rounds.
void RouterCore::State::moved(Group& group, Pending& pending, Verdict& verdict) {
  routes_.moved(pending.hash, group.id);
  pending.sent = pending.put_off = false;
  pending.moved_by = group.index;
  pending.moved = pending.moved < kMovedMax ? pending.moved + 1 : kMovedMax - 1;  // even and odd alternate
  pending.state = PendingState::parked;
  const Group* next = home_of(pending);
  const bool elsewhere = next != nullptr && next->index != group.index;
  if (elsewhere && pending.moved % 2 == 1) return verdict.back.push_back({pending.slot, pending.arrival});
  const unsigned rounds = elsewhere ? pending.moved / 2u : pending.moved;
  stand_in_line(pending, verdict.now + reroute_pause(rounds));
}

std::uint32_t RouterCore::State::reroute_pause(unsigned rounds) const {
  std::uint32_t pause = options_.reroute_first_ms;
  while (--rounds > 0 && pause < options_.reroute_max_ms) pause *= 2;
  return std::min(pause, options_.reroute_max_ms);
}

std::string RouterCore::State::describe_way(std::uint64_t hash, const Group& group) const {
  if (const coordinator::ArcMove* move = routes_.ring().move_of(hash))
    return "the resource is on its way from " + to_string(move->from) + " to " + to_string(move->to);
  return to_string(group.id) + " does not own the resource, and no newer ring has come";
}

}  // namespace dlm::router
