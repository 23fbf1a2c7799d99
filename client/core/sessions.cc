#include "client/core/sessions.h"

#include <algorithm>
#include <utility>

namespace dlm::client {

namespace {

bool contains(const std::vector<GroupId>& groups, GroupId group) {
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

}  // namespace

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

// --- terms

LiveTerm* Sessions::find(Term term) {
  return const_cast<LiveTerm*>(std::as_const(*this).find(term));
}

const LiveTerm* Sessions::find(Term term) const {
  auto at =
      std::find_if(terms_.begin(), terms_.end(), [&](const LiveTerm& live) { return live.term == term; });
  return at == terms_.end() ? nullptr : &*at;
}

std::vector<Term> Sessions::terms_on(GroupId group) const {
  std::vector<Term> list;
  for (const LiveTerm& live : terms_) {
    if (contains(live.reached, group)) list.push_back(live.term);
  }
  return list;
}

const LiveTerm::Proof* Sessions::proof_of(const LiveTerm& term, GroupId group) const {
  auto at = std::find_if(term.proofs.begin(), term.proofs.end(),
                         [&](const LiveTerm::Proof& proof) { return proof.group == group; });
  return at == term.proofs.end() ? nullptr : &*at;
}

std::uint64_t Sessions::deadline_ms(const LiveTerm& term, GroupId group) const {
  const GroupSession* session = find(group);
  std::uint64_t deadline = session ? session->deadline_ms : 0;
  const LiveTerm::Proof* proof = proof_of(term, group);
  return proof ? std::max(deadline, local_deadline_ms(proof->since_ms, proof->ttl_ms)) : deadline;
}

std::uint64_t Sessions::jeopardy_ms(const LiveTerm& term, GroupId group) const {
  const GroupSession* session = find(group);
  std::uint64_t at = session ? session->jeopardy_ms : 0;
  const LiveTerm::Proof* proof = proof_of(term, group);
  return proof ? std::max(at, client::jeopardy_ms(proof->since_ms, proof->ttl_ms)) : at;
}

std::uint64_t Sessions::deadline_ms(const LiveTerm& term) const {
  std::uint64_t deadline = kNever;
  for (GroupId group : term.reached) deadline = std::min(deadline, deadline_ms(term, group));
  return deadline;
}

std::uint64_t Sessions::jeopardy_ms(const LiveTerm& term) const {
  std::uint64_t at = kNever;
  for (GroupId group : term.reached) at = std::min(at, jeopardy_ms(term, group));
  return at;
}

std::uint64_t Sessions::deadline_ms(Term term) const {
  const LiveTerm* live = find(term);
  return live ? deadline_ms(*live) : 0;
}

bool Sessions::confirmed(GroupId group, std::uint64_t now_ms) const {
  const GroupSession* session = find(group);
  return session && session->open && session->deadline_ms > now_ms && deadline_ms(session->term) > now_ms;
}

void Sessions::reach(LiveTerm& term) const {
  term.reached = term.groups;
  for (std::size_t i = 0; i < term.reached.size(); ++i) {
    const GroupSession* session = find(term.reached[i]);
    if (!session) continue;
    for (GroupId next : session->moved_to) {
      if (!contains(term.reached, next)) term.reached.push_back(next);
    }
  }
  std::sort(term.reached.begin(), term.reached.end());
}

// Nothing has been granted in it yet, which is proof enough that nothing of it went to groups that do not
// confirm.
void Sessions::begin_term(GroupSession& session, std::uint64_t now_ms) {
  session.term = Term(++last_term_);
  LiveTerm& live = terms_.emplace_back();
  live.term = session.term;
  live.groups = {session.group};
  reach(live);
  for (GroupId group : std::vector<GroupId>(live.reached)) {
    if (group != session.group && deadline_ms(live, group) <= now_ms) prove(live, group, now_ms);
  }
}

void Sessions::prove(LiveTerm& term, GroupId group, std::uint64_t since_ms) {
  std::erase_if(term.proofs, [&](const LiveTerm::Proof& proof) { return proof.group == group; });
  term.proofs.push_back({group, since_ms, ttl_ms_min(0)});
}

void Sessions::entered(LiveTerm& term, GroupId group, std::uint64_t since_ms) {
  std::erase_if(term.proofs, [&](const LiveTerm::Proof& proof) { return proof.group == group; });
  for (LiveTerm::Proof& proof : term.proofs) proof.since_ms = std::min(proof.since_ms, since_ms);
}

void Sessions::found_in(LiveTerm& term, std::vector<GroupId> groups) {
  for (GroupSession& session : groups_) {
    if (session.term == term.term && !contains(groups, session.group)) session.term = Term();
  }
  term.groups = std::move(groups);
  reach(term);
  std::erase_if(term.proofs,
                [&](const LiveTerm::Proof& proof) { return !contains(term.reached, proof.group); });
}

void Sessions::end_term(Term term) {
  std::erase_if(terms_, [&](const LiveTerm& live) { return live.term == term; });
  for (GroupSession& session : groups_) {
    if (session.term == term) session.term = Term();
  }
}

// --- sessions

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
  session.jeopardy_ms = client::jeopardy_ms(sent_ms, ttl_ms);
  session.awaited = false;
  if (!session.term) begin_term(session, now_ms);
  for (LiveTerm& live : terms_) {
    if (contains(live.reached, session.group) && jeopardy_ms(live) > now_ms) live.in_jeopardy = false;
  }
}

bool Sessions::moved(GroupId from, const std::vector<GroupId>& to, std::uint64_t deadline_before_ms,
                     std::uint64_t now_ms) {
  if (to == of(from).moved_to) return false;
  bool any_new = false;
  for (GroupId group : to) {
    GroupSession& other = of(group);
    // Named before: what it said of the session then, or did not say, stands.
    if (group == from || contains(of(from).moved_to, group)) continue;
    any_new = any_new || !other.open || other.deadline_ms <= now_ms;
    other.open = true;
    if (other.deadline_ms > now_ms) continue;
    other.awaited = true;
    other.deadline_ms = deadline_before_ms;
    other.jeopardy_ms = deadline_before_ms;
  }
  of(from).moved_to = to;
  Term own = of(from).term;
  for (LiveTerm& live : terms_) {
    // What went there stays there, should the group cease to be named.
    if (live.term == own || contains(live.groups, from)) {
      for (GroupId group : to) {
        if (!contains(live.groups, group)) live.groups.push_back(group);
      }
    }
    reach(live);
  }
  return any_new;
}

void Sessions::end(GroupSession& session) {
  session.term = Term();
  // What is on its way to a group that has not seen the session yet is as safe as it was.
  if (!session.awaited) {
    session.deadline_ms = 0;
    session.jeopardy_ms = 0;
  }
  session.open = false;
  session.moved_to.clear();
  ++session.generation;
}

void Sessions::clear() {
  groups_.clear();
  terms_.clear();
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
