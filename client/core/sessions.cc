#include "client/core/sessions.h"

#include <algorithm>

namespace dlm::client {

GroupSession& Sessions::of(GroupId group) {
  auto at = std::lower_bound(groups_.begin(), groups_.end(), group,
                             [](const GroupSession& session, GroupId id) { return session.group < id; });
  if (at == groups_.end() || at->group != group) {
    at = groups_.insert(at, GroupSession{});
    at->group = group;
  }
  return *at;
}

const GroupSession* Sessions::find(GroupId group) const {
  auto at = std::lower_bound(groups_.begin(), groups_.end(), group,
                             [](const GroupSession& session, GroupId id) { return session.group < id; });
  return at == groups_.end() || at->group != group ? nullptr : &*at;
}

std::uint64_t Sessions::effective_deadline_ms(const GroupSession& session) const {
  std::uint64_t deadline = session.deadline_ms;
  for (GroupId group : session.moved_to) {
    const GroupSession* other = find(group);
    if (other && other->term) deadline = std::min(deadline, other->deadline_ms);
  }
  return deadline;
}

std::uint64_t Sessions::effective_jeopardy_ms(const GroupSession& session) const {
  std::uint64_t at = session.jeopardy_ms;
  for (GroupId group : session.moved_to) {
    const GroupSession* other = find(group);
    if (other && other->term) at = std::min(at, other->jeopardy_ms);
  }
  return at;
}

bool Sessions::confirmed(GroupId group, std::uint64_t now_ms) const {
  const GroupSession* session = find(group);
  return session && session->open && session->term && effective_deadline_ms(*session) > now_ms;
}

void Sessions::confirm(GroupSession& session, std::uint64_t sent_ms, std::uint32_t ttl_ms,
                       std::uint64_t now_ms) {
  session.open = true;
  session.ttl_ms = ttl_ms;
  session.heard_ms = std::max(session.heard_ms, now_ms);
  std::uint64_t deadline = local_deadline_ms(sent_ms, ttl_ms);
  // The request sent last decides, also when its TTL is shorter: the group counts from its arrival.
  if (deadline <= now_ms || (session.term && sent_ms < session.sent_ms)) return;
  session.sent_ms = sent_ms;
  session.deadline_ms = deadline;
  session.jeopardy_ms = jeopardy_ms(sent_ms, ttl_ms);
  session.in_jeopardy = false;
  if (!session.term) session.term = Term(++last_term_);
}

void Sessions::moved(GroupSession& from, const std::vector<GroupId>& to, std::uint64_t deadline_before_ms) {
  GroupId source = from.group;
  for (GroupId group : to) {
    if (group == source) continue;
    GroupSession& other = of(group);
    if (other.open) continue;
    other.open = true;
    if (deadline_before_ms == 0) continue;
    other.term = Term(++last_term_);
    other.deadline_ms = deadline_before_ms;
    other.jeopardy_ms = deadline_before_ms;
  }
  of(source).moved_to = to;
}

void Sessions::end_term(GroupSession& session) {
  session.term = Term();
  session.deadline_ms = 0;
  session.jeopardy_ms = 0;
  session.in_jeopardy = false;
}

void Sessions::end(GroupSession& session) {
  end_term(session);
  session.open = false;
  session.moved_to.clear();
  ++session.generation;
}

std::vector<SessionInUse> Sessions::in_use() const {
  std::vector<SessionInUse> list;
  for (const GroupSession& session : groups_) {
    if (session.open || session.generation != 0)
      list.push_back({session.group, session.generation, session.open});
  }
  return list;
}

bool Sessions::any_open() const {
  return std::any_of(groups_.begin(), groups_.end(),
                     [](const GroupSession& session) { return session.open; });
}

std::uint32_t Sessions::ttl_ms_min(std::uint32_t otherwise) const {
  std::uint32_t least = 0;
  for (const GroupSession& session : groups_) {
    if (session.open && session.ttl_ms != 0 && (least == 0 || session.ttl_ms < least)) least = session.ttl_ms;
  }
  return least == 0 ? otherwise : least;
}

}  // namespace dlm::client
