// SessionCore: what answers, grants and the ends of sessions do.
#include <algorithm>
#include <utility>

#include "client/core/session_core.h"

namespace dlm::client {

namespace {

constexpr std::uint64_t kRetryMs = 500;
// Of the 2^16 generations, what refused openings may use up; the others are for sessions that end.
constexpr std::uint32_t kGenerationRefusedMax = 1u << 15;

// The way to the group failed; what was asked for may have been done or not.
bool no_way(Status status) {
  return status == Status::unavailable || status == Status::moved || status == Status::not_primary;
}

}  // namespace

void SessionCore::session_notice(const SessionNotice& notice, std::uint64_t now_ms, Output& out) {
  advance(now_ms, out);
  look_again();
  GroupSession& session = sessions_.of(notice.group);
  if (notice.generation != session.generation) return;  // of a session that is over
  switch (notice.kind) {
    case SessionNotice::Kind::opened: {
      session.open = true;
      session.heard_ms = now_ms;
      auto at = operations_.find(notice.cause);
      // From when it was sent first: it may have reached the group by an earlier way.
      if (at != operations_.end() && at->second->first_sent_ms != 0) {
        sessions_.confirm(session, at->second->first_sent_ms, notice.ttl_ms, now_ms);
        confirmed(notice.group, out);
      }
      break;
    }
    case SessionNotice::Kind::renewed:
      renewed(session, notice, now_ms, out);
      break;
    case SessionNotice::Kind::ended:
      heartbeat_unanswered_ = false;
      end_session(session, to_string(notice.group) + " ended the session", true, now_ms, out);
      out.ended.push_back(notice.group);
      break;
  }
  settle_grants(now_ms, out);
}

// The group would not open this generation of the session. What was refused may have reached a router or the
// group more than once, and a copy that comes when the client id is free again would open it and be executed,
// though its caller has been told otherwise. So this generation is used no more: what becomes of such a copy
// is nobody's, and ends with the session, which nobody renews.
void SessionCore::session_refused(const Answer& answer, std::uint64_t now_ms, Output& out) {
  if (answer.status != Status::client_id_in_use || !answer.group) return;
  GroupSession& session = sessions_.of(answer.group);
  if (session.open || answer.session != session_of(base_, session.generation)) return;
  if (session.generation >= kGenerationRefusedMax) return;
  end_session(session, to_string(answer.group) + " refused the session", false, now_ms, out);
}

void SessionCore::answer(const Answer& answer, std::uint64_t now_ms, Output& out) {
  advance(now_ms, out);
  auto at = operations_.find(answer.sequence.value);
  if (at == operations_.end()) return;
  if (answer.session && (answer.session.value & ~std::uint64_t{0xffff}) != base_)
    return;  // of an abandoned base
  Pending& op = *at->second;
  mark_answered(op);
  switch (op.kind) {
    case OperationKind::acquire:
      acquire_answered(op, answer, now_ms, out);
      break;
    case OperationKind::release:
      release_answered(op, answer, now_ms, out);
      break;
    case OperationKind::renew:
      renew_answered(op, answer, now_ms, out);
      break;
    case OperationKind::cancel:
      cancel_answered(op, answer, now_ms, out);
      break;
    default:
      break;  // never sent by clients
  }
  session_refused(answer, now_ms, out);
}

// Whether an answer was given under an earlier generation than the one its group is at now.
bool SessionCore::of_ended_session(const Answer& answer) const {
  const GroupSession* session = sessions_.find(answer.group);
  return answer.session && session && answer.session != session_of(base_, session->generation);
}

void SessionCore::mark_answered(Pending& op) {
  if (!op.unanswered) return;
  op.unanswered = false;
  --unanswered_;
}

void SessionCore::acquire_answered(Pending& op, const Answer& answer, std::uint64_t now_ms, Output& out) {
  if (op.stage == Stage::granted) return;  // said twice
  bool unwanted = op.stage == Stage::withdrawn;
  if (of_ended_session(answer) &&
      (answer.status == Status::queued || (answer.status == Status::ok && op.lease != LeaseKind::detached))) {
    // Said before the session ended, heard after: neither wait nor hold is there any more.
    complete_error(op, unwanted ? Status::cancelled : Status::session_expired,
                   to_string(answer.group) + " ended the session", op.lease == LeaseKind::detached, out);
    // Unless it has moved; a wait also to a group that was not heard of yet, as its router asks there for it.
    op.group = GroupId();
    if (answer.status == Status::queued)
      return unwanted ? cancel_unless_under_way(op, now_ms, out) : withdraw(op, now_ms, out);
    if (sessions_.any_open()) give_back(op.owned.view(), answer.token, GroupId(), now_ms, out);
    return finish(op.sequence);
  }
  if (answer.status == Status::queued) {
    window_.answered(op.sequence);
    bool moved = op.group && op.group != answer.group;
    op.group = answer.group;
    op.in_line_ms = now_ms;
    if (moved) renew_there(answer.group, now_ms, out);
    if (unwanted) return cancel_unless_under_way(op, now_ms, out);
    op.stage = Stage::queued;
    op.doubtful = false;
    op.give_up_at_ms = 0;
    if (op.queued_ms == 0) op.queued_ms = std::max<std::uint64_t>(1, now_ms);
    op.holder = answer.holder;
    arm(op);
    out.queued.push_back({op.name, answer.position, answer.group, answer.holder});
    return;
  }
  if (answer.status == Status::ok) {
    if (unwanted) {
      give_back(op.owned.view(), answer.token, answer.group, now_ms, out);
      complete_error(op, Status::cancelled, "", false, out);
      finish(op.sequence);
      return;
    }
    op.group = answer.group;
    if (!op.handle) {
      complete(op, answer, false, out);
      finish(op.sequence);
      return;
    }
    op.stage = Stage::granted;
    ++ungranted_;
    op.doubtful = false;
    op.grant = answer;
    op.give_up_at_ms = now_ms + op.timeout_ms;
    // A lease that began after a wait began at an unknown time; a renewal will give it a known one.
    std::uint32_t ttl_ms = answer.ttl_ms != 0 ? answer.ttl_ms : op.owned.view().lease_ms;
    if (op.queued_ms == 0 && local_deadline_ms(op.first_sent_ms, ttl_ms) > now_ms) {
      op.lease_sent_ms = op.first_sent_ms;
    }
    granted(op, now_ms, out);
    return;
  }
  if (no_way(answer.status)) {
    if (unwanted) return cancel_unless_under_way(op, now_ms, out);
    Answer told = answer;
    told.status = Status::unavailable;
    complete(op, std::move(told), true, out);
    withdraw(op, now_ms, out);
    return;
  }
  if (!unwanted && ask_again_later(op, answer, now_ms)) return;
  // A session that is over in the group that said so; but the wait may have gone to another one before.
  const bool elsewhere = answer.status == Status::session_expired && sessions_.any_open();
  if (unwanted) {
    // A refusal at a door says nothing of an earlier try, which may have been granted: the cancel decides.
    if (elsewhere || answer.status == Status::overloaded) return cancel_unless_under_way(op, now_ms, out);
    complete_error(op, Status::cancelled, "", false, out);
  } else {
    const bool unknown = answer.status == Status::stale ||
                         (answer.status == Status::overloaded && (op.doubted || op.doubtful));
    complete(op, answer, unknown, out);
    if (elsewhere || (unknown && answer.status == Status::overloaded)) return withdraw(op, now_ms, out);
  }
  finish(op.sequence);
}

// Completes a granted acquire once there is a local deadline that covers it.
void SessionCore::granted(Pending& op, std::uint64_t now_ms, Output& out) {
  const Answer& grant = *op.grant;
  Term term;
  if (op.lease != LeaseKind::detached) {
    if (!sessions_.confirmed(grant.group, now_ms)) {
      renew_there(grant.group, now_ms, out);
      arm(op);
      return;
    }
    term = sessions_.find(grant.group)->term;
  }
  bool unsure = op.lease != LeaseKind::session || place_unsure(op, term, now_ms);
  if (unsure && op.lease_sent_ms == 0) {
    if (!op.helper) {
      Operation view = op.owned.view();
      view.token = grant.token;
      Pending& renewal = make(OperationKind::renew, view, now_ms);
      renewal.subject = op.sequence;
      renewal.group = grant.group;
      op.helper = renewal.sequence;
      send(renewal, now_ms, out);
    }
    arm(op);
    return;
  }
  Completion completion;
  completion.sequence = op.name;
  completion.answer = grant;
  add_hold(op, grant, term, completion, out);
  op.caller = false;
  out.completions.push_back(std::move(completion));
  finish(op.sequence);
}

void SessionCore::settle_grants(std::uint64_t now_ms, Output& out) {
  if (ungranted_ == 0) return;
  for (Sequence sequence : sequences_sorted()) {
    auto at = operations_.find(sequence.value);
    if (at != operations_.end() && at->second->stage == Stage::granted) granted(*at->second, now_ms, out);
  }
}

void SessionCore::cancel_answered(Pending& op, const Answer& answer, std::uint64_t now_ms, Output& out) {
  if (retry_later(op, answer, now_ms)) return;
  // Refused at the door: its acquire may still be on its way.
  if (answer.status == Status::client_id_in_use) {
    op.retry_at_ms = now_ms + kRetryMs;
    return arm(op);
  }
  Sequence own = op.sequence;
  if (auto at = operations_.find(op.subject.value); op.subject && at != operations_.end()) {
    Pending& acquire = *at->second;
    if (answer.status == Status::session_expired && !op.again && sessions_.any_open()) {
      // Its wait may be in another group by now.
      send_cancel(acquire, now_ms, out).again = true;
      finish(own);
      return;
    }
    if (answer.status == Status::session_expired && acquire.unanswered) {
      // What is cancelled may be on its way to another group, where a session begins with it: what is said of
      // it decides.
      complete_error(acquire, Status::cancelled, "", false, out);
      finish(own);
      return;
    }
    if (answer.token) give_back(acquire.owned.view(), answer.token, answer.group, now_ms, out);
    complete_error(acquire, Status::cancelled, "", false, out);
    finish(acquire.sequence);
  }
  finish(own);
}

void SessionCore::release_answered(Pending& op, const Answer& answer, std::uint64_t now_ms, Output& out) {
  if (ask_again_later(op, answer, now_ms)) return;
  if (no_way(answer.status) || answer.status == Status::overloaded) {
    Answer told = answer;
    if (no_way(answer.status)) told.status = Status::unavailable;
    complete(op, std::move(told), true, out);
    retry_later(op, answer, now_ms);
    return;
  }
  complete(op, answer, answer.status == Status::stale, out);
  bool of_session = op.lease != LeaseKind::detached;
  if (answer.status == Status::session_expired && of_session && !op.again && sessions_.any_open()) {
    // What it is to give back may be in another group by now.
    give_back(op.owned.view(), op.owned.view().token, GroupId(), now_ms, out).again = true;
  }
  finish(op.sequence);
}

void SessionCore::renew_answered(Pending& op, const Answer& answer, std::uint64_t now_ms, Output& out) {
  if (op.subject) return renewed_for_grant(op, answer, now_ms, out);
  if (op.search) return search_answered(op, answer, now_ms, out);
  if (ask_again_later(op, answer, now_ms)) return;
  auto held = holds_.find(op.hold.value);
  if (op.hold && held != holds_.end()) {
    switch (answer.status) {
      case Status::ok: {
        std::uint32_t ttl_ms = answer.ttl_ms != 0 ? answer.ttl_ms : op.owned.view().lease_ms;
        held->second.lease_ms = op.owned.view().lease_ms;
        held->second.group = answer.group;
        held->second.seen_ms = op.first_sent_ms;
        confirm_leases(HoldRecord(held->second), op.sequence, op.first_sent_ms, ttl_ms, out);
        break;
      }
      case Status::not_held:
        lose(op.hold, answer.cause == EndCause::expired ? LostCause::lease_ended : LostCause::not_held,
             "its renewal was refused: " + std::string(to_string(answer.cause)), false, now_ms, out);
        break;
      case Status::invalid_argument:
      case Status::permission_denied:
      case Status::overloaded:
        restore_leases(op.hold, op.sequence, out);
        break;
      default:
        break;
    }
  }
  Answer told = answer;
  if (no_way(answer.status)) told.status = Status::unavailable;
  complete(op, std::move(told), no_way(answer.status), out);
  finish(op.sequence);
}

void SessionCore::renewed_for_grant(Pending& renewal, const Answer& answer, std::uint64_t now_ms,
                                    Output& out) {
  if (retry_later(renewal, answer, now_ms)) return;
  Sequence own = renewal.sequence;
  std::uint64_t sent_ms = renewal.first_sent_ms;
  auto at = operations_.find(renewal.subject.value);
  if (at != operations_.end() && at->second->stage == Stage::granted) {
    Pending& acquire = *at->second;
    acquire.helper = Sequence();
    std::uint32_t ttl_ms = answer.ttl_ms != 0 ? answer.ttl_ms : acquire.owned.view().lease_ms;
    if (acquire.lease == LeaseKind::session) ttl_ms = sessions_.ttl_ms_min(options_.ttl_ms);
    if (answer.status == Status::ok && local_deadline_ms(sent_ms, ttl_ms) > now_ms) {
      acquire.lease_sent_ms = sent_ms;
      acquire.grant->ttl_ms = answer.ttl_ms;
      acquire.grant->group = acquire.group = answer.group;
      granted(acquire, now_ms, out);
    } else if (answer.status == Status::ok) {
      granted(acquire, now_ms, out);  // too slow an answer: once more
    } else {
      Answer told = answer;
      told.message = "its lease ended before the grant arrived";
      complete(acquire, std::move(told), false, out);
      withdraw(acquire, now_ms, out);
    }
  }
  finish(own);
}

bool SessionCore::retry_later(Pending& op, const Answer& answer, std::uint64_t now_ms) {
  if (!no_way(answer.status) && answer.status != Status::overloaded) return false;
  const bool overloaded = answer.status == Status::overloaded;
  if (overloaded && op.kind != OperationKind::renew) is_through(op);
  op.retry_at_ms = now_ms + (overloaded ? pause_ms(op.refusals++, answer.retry_after_ms) : kRetryMs);
  arm(op);
  return true;
}

// Nobody wants this acquire any longer: whatever becomes of it, no grant stays. Ends the operation, or leaves
// it to a cancel in the background.
void SessionCore::withdraw(Pending& acquire, std::uint64_t now_ms, Output& out) {
  if (acquire.first_sent_ms == 0) {
    finish(acquire.sequence);
    return;
  }
  if (acquire.stage == Stage::granted) {
    give_back(acquire.owned.view(), acquire.grant->token, acquire.group, now_ms, out);
    finish(acquire.sequence);
    return;
  }
  if (acquire.stage == Stage::withdrawn) return;
  acquire.stage = Stage::withdrawn;
  acquire.doubtful = false;
  acquire.retry_at_ms = 0;
  send_cancel(acquire, now_ms, out);
}

// Also once more, should an earlier one have been sent in a session that has ended.
SessionCore::Pending& SessionCore::send_cancel(Pending& acquire, std::uint64_t now_ms, Output& out) {
  if (acquire.helper) finish(acquire.helper);
  Operation view = acquire.owned.view();
  view.target = acquire.sequence;
  view.lease_ms = 0;
  view.wait_ms = 0;
  Pending& cancel = make(OperationKind::cancel, view, now_ms);
  cancel.subject = acquire.sequence;
  cancel.group = acquire.group;
  acquire.helper = cancel.sequence;
  send(cancel, now_ms, out);
  return cancel;
}

// Of a withdrawn acquire.
void SessionCore::cancel_unless_under_way(Pending& acquire, std::uint64_t now_ms, Output& out) {
  if (!operations_.contains(acquire.helper.value)) send_cancel(acquire, now_ms, out);
}

SessionCore::Pending& SessionCore::give_back(const Operation& acquired, FencingToken token, GroupId group,
                                             std::uint64_t now_ms, Output& out) {
  Operation view;
  view.lease = acquired.lease;
  view.token = token;
  view.resource = acquired.resource;
  view.owner_tag = acquired.owner_tag;
  view.client_id = acquired.client_id;
  Pending& release = make(OperationKind::release, view, now_ms);
  release.group = group;
  send(release, now_ms, out);
  return release;
}

void SessionCore::complete(Pending& op, Answer answer, bool outcome_unknown, Output& out) {
  if (!op.caller) return;
  op.caller = false;
  Completion& completion = out.completions.emplace_back();
  completion.sequence = op.name;
  completion.answer = std::move(answer);
  completion.outcome_unknown = outcome_unknown;
}

void SessionCore::complete_error(Pending& op, Status status, const std::string& message, bool outcome_unknown,
                                 Output& out) {
  if (!op.caller) return;
  Answer answer;
  answer.sequence = op.name;
  answer.status = status;
  answer.group = op.group;
  answer.message = message;
  if (op.holder) answer.holder = *op.holder;
  complete(op, std::move(answer), outcome_unknown, out);
}

}  // namespace dlm::client
