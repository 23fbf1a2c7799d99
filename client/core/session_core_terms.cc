// SessionCore: what holds live by, where they are when they moved, and what the end of a session takes with
// it.
#include <algorithm>
#include <utility>

#include "client/core/session_core.h"

namespace dlm::client {

namespace {

// More holds than this are not searched for one by one: they live while all groups confirm.
constexpr std::size_t kSearchedMax = 10'000;
constexpr std::uint64_t kDoubtMs = 2'000;  // for the answer to what was sent in a session that ended

}  // namespace

void SessionCore::expire_terms(std::uint64_t now_ms, Output& out) {
  std::vector<Term> passed;
  std::vector<Term> endangered;
  for (const LiveTerm& live : sessions_.terms()) {
    if (sessions_.deadline_ms(live) <= now_ms) {
      passed.push_back(live.term);
    } else if (!live.in_jeopardy && sessions_.jeopardy_ms(live) <= now_ms) {
      endangered.push_back(live.term);
    }
  }
  for (Term term : endangered) {
    sessions_.find(term)->in_jeopardy = true;
    for (HoldId id : holds_of(term)) {
      HoldEvent& event = out.holds.emplace_back();
      event.kind = HoldEvent::Kind::jeopardy;
      event.hold = id;
    }
  }
  for (Term term : passed) sessions_.end_term(term);
  for (Term term : passed) {
    lose_term(term, LostCause::deadline_passed, "no renewal was confirmed before the local deadline", true,
              now_ms, out);
  }
}

void SessionCore::end_term(Term term, std::uint64_t now_ms, Output& out) {
  advance(now_ms, out);
  if (sessions_.find(term) == nullptr) return;
  look_again();
  sessions_.end_term(term);
  lose_term(term, LostCause::deadline_passed, "no renewal was confirmed before the local deadline", true,
            now_ms, out);
}

// --- renewals

void SessionCore::renewed(GroupSession& session, const SessionNotice& notice, std::uint64_t now_ms,
                          Output& out) {
  auto sent = std::find_if(heartbeats_.begin(), heartbeats_.end(),
                           [&](const auto& entry) { return entry.first == notice.cause; });
  if (sent == heartbeats_.end()) return;
  heartbeat_unanswered_ = false;
  std::uint64_t before_ms = session.deadline_ms > now_ms ? session.deadline_ms : 0;
  bool ask = sessions_.moved(notice.group, notice.moved_to, before_ms, now_ms);
  sessions_.confirm(sessions_.of(notice.group), sent->second, notice.ttl_ms, now_ms);
  confirmed(notice.group, out);
  if (ask && connected_) beat(now_ms, out);
}

// Tells the new deadline of everything whose life hangs on the group.
void SessionCore::confirmed(GroupId group, Output& out) {
  for (Term term : sessions_.terms_on(group)) tell(*sessions_.find(term), out);
}

void SessionCore::tell(const LiveTerm& live, Output& out) {
  out.terms.push_back({live.term, sessions_.deadline_ms(live), sessions_.jeopardy_ms(live)});
}

// Something of this client's is there, and nothing has told that the session is.
void SessionCore::renew_there(GroupId group, std::uint64_t now_ms, Output& out) {
  look_again();
  GroupSession& session = sessions_.of(group);
  bool listed = session.open;
  session.open = true;
  if (connected_ && (!listed || !heartbeat_unanswered_)) beat(now_ms, out);
}

// A grant that is old news: the hold may have gone by now to a group for which there is only proof that
// nothing of the term was there. (A fresh one shortens the proof by nothing worth speaking of.)
bool SessionCore::place_unsure(const Pending& op, Term term, std::uint64_t now_ms) const {
  const LiveTerm* live = sessions_.find(term);
  if (live == nullptr || live->proofs.empty()) return false;
  std::uint32_t ttl_ms = sessions_.ttl_ms_min(options_.ttl_ms);
  return local_deadline_ms(op.first_sent_ms, ttl_ms) <= now_ms + ttl_ms / 2;
}

// --- the end of a session

void SessionCore::end_session(GroupSession& session, const std::string& message, bool may_have_moved,
                              std::uint64_t now_ms, Output& out) {
  look_again();
  GroupId group = session.group;
  bool elsewhere =
      may_have_moved && std::any_of(sessions_.all().begin(), sessions_.all().end(),
                                    [&](const auto& other) { return other.open && other.group != group; });
  Term own = session.term;
  std::vector<Term> lost = terms_lost_with(session, now_ms);
  sessions_.end(session);
  for (Term term : lost) sessions_.end_term(term);
  for (Sequence sequence : sequences_sorted()) {
    auto at = operations_.find(sequence.value);
    if (at == operations_.end()) continue;
    Pending& op = *at->second;
    // A detached hold, and what is done with it, outlives the session. But a second time in the next session
    // a release would take another acquisition off.
    bool detached_hold =
        op.lease == LeaseKind::detached && (op.kind != OperationKind::acquire || op.stage == Stage::granted);
    if (op.group == group && !detached_hold) {
      // The router may have asked for a wait, or be about to, in a group that was not heard of yet. There may
      // also be what is being released: it would be kept there by the session that this client may begin.
      bool unheard_of = may_have_moved && (op.kind == OperationKind::acquire ||
                                           op.kind == OperationKind::release || op.subject);
      end_operation(op, message, elsewhere || unheard_of, now_ms, out);
    } else if ((!op.group || op.group == group) &&
               (op.caller || (detached_hold && op.kind == OperationKind::release)) && op.first_sent_ms != 0 &&
               op.stage == Stage::pending && op.kind != OperationKind::renew &&
               (op.doubted || !is_put_off(op))) {
      // It may have been for this group, and done under the session that is over: never to be sent again
      // under the next. Over this connection its answer may still come.
      op.doubtful = true;
      op.retry_at_ms = 0;
      op.give_up_at_ms = now_ms + kDoubtMs;
      arm(op);
    }
  }
  // What else such a term hung on may go on, and keep the holds, so these are given back. So are all others:
  // a group ends a session before its holds are over here only when it has lost everything, and what had
  // moved out of it before then lives on, perhaps where this client has not heard of yet.
  for (Term term : lost)
    lose_term(term, LostCause::session_expired, message, term != own || may_have_moved, now_ms, out);
  if (connected_) beat(now_ms, out);  // tells the router the next generation
}

// Everything that hangs on the session, but for what is known not to have been there. A group that has never
// confirmed it may not have got yet what was on its way to it.
std::vector<Term> SessionCore::terms_lost_with(const GroupSession& session, std::uint64_t now_ms) {
  std::vector<Term> lost;
  if (session.awaited) return lost;
  for (Term term : sessions_.terms_on(session.group)) {
    std::uint64_t deadline = sessions_.deadline_ms(*sessions_.find(term), session.group);
    if (deadline <= std::max(session.deadline_ms, now_ms)) lost.push_back(term);
  }
  return lost;
}

// An operation of a session that has ended. If it may have moved before, it is undone where it is now.
void SessionCore::end_operation(Pending& op, const std::string& message, bool elsewhere, std::uint64_t now_ms,
                                Output& out) {
  complete_error(op, Status::session_expired, message, op.lease == LeaseKind::detached, out);
  auto subject = operations_.find(op.subject.value);
  bool of_acquire = op.subject && subject != operations_.end();
  if (!elsewhere || op.kind == OperationKind::renew || (op.kind == OperationKind::cancel && !of_acquire)) {
    finish(op.sequence);
  } else if (op.kind == OperationKind::release) {
    // The same operation, not another one: what was sent may be on its way to where the hold is by now, and
    // two of them would take two acquisitions off.
    op.group = GroupId();
    op.doubtful = false;
    op.give_up_at_ms = 0;
    op.retry_at_ms = 0;
    arm(op);
    send(op, now_ms, out);
  } else {
    Pending& acquire = op.kind == OperationKind::cancel ? *subject->second : op;
    acquire.group = GroupId();
    if (acquire.stage == Stage::withdrawn) {
      send_cancel(acquire, now_ms, out);
    } else {
      withdraw(acquire, now_ms, out);
    }
  }
}

// --- where the holds are

// A group on which a term hangs has fallen silent: it may be gone for good, given up after its arcs went to
// others. If the holds are found elsewhere they need it no longer.
void SessionCore::search_where_due(std::uint64_t now_ms, Output& out) {
  std::vector<Term> due;
  for (const LiveTerm& live : sessions_.terms()) {
    if (search_due_ms(live) <= now_ms) due.push_back(live.term);
  }
  for (Term term : due) search(term, now_ms, out);
}

std::uint64_t SessionCore::search_due_ms(const LiveTerm& live) const {
  if (live.reached.size() < 2) return kNever;  // nothing of it has moved
  std::uint64_t ttl_ms = sessions_.ttl_ms_min(options_.ttl_ms);
  std::uint64_t due = kNever;
  for (GroupId group : live.reached) {
    std::uint64_t deadline = sessions_.deadline_ms(live, group);
    const GroupSession* session = sessions_.find(group);
    bool denied = session && session->awaited && !session->open && deadline == session->deadline_ms;
    due = std::min(due, denied || deadline < ttl_ms / 2 ? 0 : deadline - ttl_ms / 2);
  }
  return std::max(due, live.searched_ms + std::max<std::uint64_t>(1, ttl_ms / 3));
}

void SessionCore::search(Term term, std::uint64_t now_ms, Output& out) {
  sessions_.find(term)->searched_ms = now_ms;
  std::vector<HoldId> ids = holds_of(term);
  if (ids.size() > kSearchedMax) return;
  for (HoldId id : ids) {
    HoldRecord& hold = holds_.at(id.value);
    if (hold.search) continue;
    Operation view;
    view.lease = hold.lease;
    view.token = hold.token;
    view.resource = hold.resource;
    view.owner_tag = hold.owner_tag;
    Pending& op = make(OperationKind::renew, view, now_ms);
    op.search = true;
    op.hold = id;
    holds_.at(id.value).search = op.sequence;
    send(op, now_ms, out);
  }
  settle_search(term, now_ms, out);
}

void SessionCore::search_answered(Pending& op, const Answer& answer, std::uint64_t now_ms, Output& out) {
  if (retry_later(op, answer, now_ms)) return;
  HoldId id = op.hold;
  std::uint64_t sent_ms = op.first_sent_ms;
  finish(op.sequence);
  auto held = holds_.find(id.value);
  if (held == holds_.end()) return;
  held->second.search = Sequence();
  Term term = held->second.term;
  if (answer.status == Status::ok) {
    held->second.group = answer.group;
    held->second.seen_ms = sent_ms;
    if (!sessions_.confirmed(answer.group, now_ms)) renew_there(answer.group, now_ms, out);
  } else if (answer.status == Status::not_held) {
    lose(id, LostCause::not_held, "no group has it any more: " + std::string(to_string(answer.cause)), false,
         now_ms, out);
  } else {
    return;  // the next search asks again
  }
  settle_search(term, now_ms, out);
}

// The group has answered to one of the last two heartbeats.
bool SessionCore::confirms(GroupId group, std::uint64_t now_ms) const {
  const GroupSession* session = sessions_.find(group);
  std::uint64_t ttl_ms = sessions_.ttl_ms_min(options_.ttl_ms);
  return session && session->open && !session->awaited && session->deadline_ms > now_ms + ttl_ms / 2;
}

void SessionCore::settle_search(Term term, std::uint64_t now_ms, Output& out) {
  LiveTerm* live = sessions_.find(term);
  if (live == nullptr) return;
  look_again();
  std::vector<GroupId> groups;
  std::uint64_t since_ms = now_ms;
  for (HoldId id : holds_of(term)) {
    const HoldRecord& hold = holds_.at(id.value);
    if (hold.search) return;
    since_ms = std::min(since_ms, hold.seen_ms);
    if (std::find(groups.begin(), groups.end(), hold.group) == groups.end()) groups.push_back(hold.group);
  }
  std::vector<GroupId> found = groups;
  for (const GroupSession& session : sessions_.all()) {
    // What is granted there next is to live in the term, too.
    if (session.term == term && confirms(session.group, now_ms) &&
        std::find(groups.begin(), groups.end(), session.group) == groups.end())
      groups.push_back(session.group);
  }
  if (groups.empty()) return sessions_.end_term(term);
  sessions_.found_in(*live, groups);
  for (GroupId group : std::vector<GroupId>(live->reached)) {
    bool is_there = std::find(found.begin(), found.end(), group) != found.end();
    if (!is_there && !confirms(group, now_ms)) sessions_.prove(*live, group, since_ms);
  }
  if (sessions_.jeopardy_ms(*live) > now_ms) live->in_jeopardy = false;
  tell(*live, out);
}

}  // namespace dlm::client
