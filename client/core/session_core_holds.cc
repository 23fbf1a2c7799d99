// SessionCore: what is held, and for how long it may be relied upon.
#include <algorithm>
#include <functional>

#include "client/core/session_core.h"

namespace dlm::client {

namespace {

// Only groups holds that may be of one owner; equality decides.
std::uint64_t owner_hash(std::string_view resource, std::string_view owner_tag) {
  std::uint64_t hash = std::hash<std::string_view>{}(resource);
  return hash ^
         (std::hash<std::string_view>{}(owner_tag) + 0x9e3779b97f4a7c15ULL + (hash << 6) + (hash >> 2));
}

}  // namespace

void SessionCore::add_hold(const Pending& op, const Answer& answer, Term term, Completion& completion,
                           Output& out) {
  Operation asked = op.owned.view();
  // An upgrade raises the token of what the owner has already.
  if (answer.count > 1) {
    for (HoldId id : siblings(asked.resource, asked.owner_tag)) {
      HoldRecord& other = holds_.at(id.value);
      if (other.token >= answer.token) continue;
      other.token = answer.token;
      HoldEvent& event = out.holds.emplace_back();
      event.kind = HoldEvent::Kind::token;
      event.hold = id;
      event.token = answer.token;
    }
  }
  HoldId id(op.sequence.value);
  HoldRecord hold;
  hold.resource = asked.resource;
  hold.owner_tag = asked.owner_tag;
  hold.token = answer.token;
  hold.group = answer.group;
  hold.seen_ms = std::max(op.first_sent_ms, op.lease_sent_ms);
  hold.lease = op.lease;
  hold.term = term;
  HoldId& newest = siblings_[owner_hash(asked.resource, asked.owner_tag)];
  hold.sibling = newest;
  newest = id;
  if (op.lease != LeaseKind::session) {
    hold.lease_ms = asked.lease_ms;
    hold.lease_request = op.sequence;
  }
  HoldRecord& kept = holds_.emplace(id.value, std::move(hold)).first->second;
  completion.hold = id;
  completion.term = term;
  if (LiveTerm* live = sessions_.find(term); live && !live->proofs.empty()) {
    look_again();
    sessions_.entered(*live, kept.group, kept.seen_ms);
    tell(*live, out);
  }
  if (op.lease == LeaseKind::session) return;
  std::uint32_t ttl_ms = answer.ttl_ms != 0 ? answer.ttl_ms : asked.lease_ms;
  confirm_leases(kept, op.sequence, op.lease_sent_ms, ttl_ms, out);
  completion.lease_deadline_ms = kept.deadline_ms;
  completion.lease_jeopardy_ms = kept.jeopardy_ms;
}

void SessionCore::remove_hold(HoldId id) {
  auto at = holds_.find(id.value);
  if (at == holds_.end()) return;
  auto chain = siblings_.find(owner_hash(at->second.resource, at->second.owner_tag));
  if (chain != siblings_.end()) {
    if (chain->second == id) {
      chain->second = at->second.sibling;
      if (!chain->second) siblings_.erase(chain);
    } else {
      for (HoldId newer = chain->second; newer;) {
        HoldRecord& record = holds_.at(newer.value);
        if (record.sibling == id) {
          record.sibling = at->second.sibling;
          break;
        }
        newer = record.sibling;
      }
    }
  }
  Sequence search = at->second.search;
  holds_.erase(id.value);
  if (search) finish(search);
}

std::vector<HoldId> SessionCore::siblings(std::string_view resource, std::string_view owner_tag) const {
  std::vector<HoldId> list;
  auto chain = siblings_.find(owner_hash(resource, owner_tag));
  if (chain == siblings_.end()) return list;
  for (HoldId id = chain->second; id;) {
    const HoldRecord& hold = holds_.at(id.value);
    if (hold.resource == resource && hold.owner_tag == owner_tag) list.push_back(id);
    id = hold.sibling;
  }
  return list;
}

std::vector<HoldId> SessionCore::holds_of(Term term) const {
  std::vector<HoldId> list;
  for (const auto& [id, hold] : holds_) {
    if (hold.term == term) list.emplace_back(id);
  }
  std::sort(list.begin(), list.end());
  return list;
}

void SessionCore::lose(HoldId id, LostCause cause, const std::string& message, bool give_it_back,
                       std::uint64_t now_ms, Output& out) {
  auto at = holds_.find(id.value);
  if (at == holds_.end()) return;
  HoldRecord hold = at->second;
  remove_hold(id);
  HoldEvent& event = out.holds.emplace_back();
  event.kind = HoldEvent::Kind::lost;
  event.hold = id;
  event.cause = cause;
  event.message = message;
  if (!give_it_back) return;
  Operation view;
  view.lease = hold.lease;
  view.resource = hold.resource;
  view.owner_tag = hold.owner_tag;
  give_back(view, hold.token, hold.group, now_ms, out);
}

void SessionCore::lose_term(Term term, LostCause cause, const std::string& message, bool give_them_back,
                            std::uint64_t now_ms, Output& out) {
  if (!term) return;
  for (HoldId id : holds_of(term)) lose(id, cause, message, give_them_back, now_ms, out);
}

void SessionCore::set_lease(HoldId id, HoldRecord& hold, std::uint64_t deadline_ms,
                            std::uint64_t jeopardy_at_ms, Output& out) {
  hold.deadline_ms = deadline_ms;
  hold.jeopardy_ms = jeopardy_at_ms;
  hold.in_jeopardy = false;
  leases_.push(std::min(deadline_ms, jeopardy_at_ms), id.value);
  wake_by(std::min(deadline_ms, jeopardy_at_ms));
  leases_.prune(holds_.size(), [this](const DeadlineQueue::Entry& entry) {
    auto at = holds_.find(entry.id);
    return at == holds_.end() ||
           (entry.at_ms != at->second.deadline_ms && entry.at_ms != at->second.jeopardy_ms);
  });
  HoldEvent& event = out.holds.emplace_back();
  event.kind = HoldEvent::Kind::lease;
  event.hold = id;
  event.deadline_ms = deadline_ms;
  event.jeopardy_ms = jeopardy_at_ms;
}

void SessionCore::confirm_leases(const HoldRecord& of, Sequence request, std::uint64_t sent_ms,
                                 std::uint32_t ttl_ms, Output& out) {
  std::uint64_t deadline = local_deadline_ms(sent_ms, ttl_ms);
  std::uint64_t jeopardy_at = jeopardy_ms(sent_ms, ttl_ms);
  for (HoldId id : siblings(of.resource, of.owner_tag)) {
    HoldRecord& hold = holds_.at(id.value);
    if (hold.lease == LeaseKind::session) continue;
    // A later request that may be done already decides; this one may only take away.
    if (request < hold.lease_request && hold.deadline_ms != 0 && deadline >= hold.deadline_ms) continue;
    hold.confirmed_deadline_ms = deadline;
    hold.confirmed_jeopardy_ms = jeopardy_at;
    set_lease(id, hold, deadline, jeopardy_at, out);
  }
}

void SessionCore::restore_leases(HoldId of, Sequence request, Output& out) {
  auto at = holds_.find(of.value);
  if (at == holds_.end()) return;
  for (HoldId id : siblings(at->second.resource, at->second.owner_tag)) {
    HoldRecord& hold = holds_.at(id.value);
    if (hold.lease_request != request || hold.confirmed_deadline_ms <= hold.deadline_ms) continue;
    set_lease(id, hold, hold.confirmed_deadline_ms, hold.confirmed_jeopardy_ms, out);
  }
}

void SessionCore::shorten_leases(const Operation& asked, std::uint64_t now_ms, Output& out) {
  std::uint64_t deadline = local_deadline_ms(now_ms, asked.lease_ms);
  for (HoldId id : siblings(asked.resource, asked.owner_tag)) {
    HoldRecord& hold = holds_.at(id.value);
    if (hold.lease == LeaseKind::session) continue;
    hold.lease_request = asked.sequence;
    if (deadline < hold.deadline_ms) set_lease(id, hold, deadline, jeopardy_ms(now_ms, asked.lease_ms), out);
  }
}

void SessionCore::expire_leases(std::uint64_t now_ms, Output& out) {
  while (!leases_.empty() && leases_.top().at_ms <= now_ms) {
    HoldId id(leases_.top().id);
    leases_.pop();
    auto at = holds_.find(id.value);
    if (at == holds_.end() || at->second.deadline_ms == 0) continue;
    HoldRecord& hold = at->second;
    if (hold.deadline_ms <= now_ms) {
      lose(id, LostCause::lease_ended, "its lease ended and was not renewed in time", true, now_ms, out);
    } else if (hold.jeopardy_ms <= now_ms && !hold.in_jeopardy) {
      hold.in_jeopardy = true;
      leases_.push(hold.deadline_ms, id.value);
      HoldEvent& event = out.holds.emplace_back();
      event.kind = HoldEvent::Kind::jeopardy;
      event.hold = id;
    }
  }
}

void SessionCore::end_lease(HoldId id, std::uint64_t now_ms, Output& out) {
  advance(now_ms, out);
  lose(id, LostCause::lease_ended, "its lease ended and was not renewed in time", true, now_ms, out);
}

}  // namespace dlm::client
