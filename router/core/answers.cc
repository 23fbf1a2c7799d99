// What a group answered: to whom it goes, what is sent again, which sessions began and ended.
#include <algorithm>
#include <string>
#include <utility>

#include "router/core/router_state.h"

namespace dlm::router {
namespace {

constexpr std::uint64_t base_of(SessionId session) {
  return session.value & ~std::uint64_t{0xffff};
}

std::string words_of(const Answer& answer) {
  std::string words(to_string(answer.status));
  if (!answer.message.empty()) words += ": " + answer.message;
  return words;
}

}  // namespace

void RouterCore::State::submitted(CallId id, std::vector<Answer>&& answers, TimeMs now) {
  Group* group = nullptr;
  Call* found = find_call(id, group);
  if (found == nullptr) return;  // withdrawn: its operations went elsewhere, where they get the same answers
  Call call = std::move(*found);
  group->rate.served(call.operations.size() + call.internals.size(), now - call.sent_at);
  group->calls.erase(group->calls.begin() + (found - group->calls.data()));
  Verdict verdict;
  verdict.now = now;

  // Sessions first: what became of an opening decides what its operations' answers mean.
  internal_answers(*group, call, answers, verdict);
  std::size_t cursor = 0;
  std::size_t settled = 0;
  for (Answer& answer : answers) {
    if (!answer.sequence) continue;
    // Answers mostly come in the order of the operations, so most are found without the index.
    Pending* pending = nullptr;
    while (cursor < call.operations.size() && pending_.get(call.operations[cursor]) == nullptr) ++cursor;
    if (cursor < call.operations.size()) pending = pending_.get(call.operations[cursor]);
    if (pending != nullptr && pending->op.sequence == answer.sequence &&
        pending->op.session == answer.session) {
      ++cursor;
    } else {
      const std::uint32_t slot = pending_.find(base_of(answer.session), answer.sequence);
      if (slot == kNone) continue;
      pending = &pending_.at(slot);
      if (pending->op.session != answer.session) continue;
    }
    const bool of_this_call = pending->state == PendingState::in_flight && pending->call == id.value;
    if (of_this_call) ++settled;
    // One of another call (the client came back and asked again): only what is final holds for it too.
    if (of_this_call || reaction_to(answer) == Reaction::answer) {
      operation_answer(*group, *pending, std::move(answer), verdict);
    }
  }
  if (settled < call.operations.size()) {
    for (const PendingRef& ref : call.operations) {
      const Pending* pending = pending_.get(ref);
      if (pending == nullptr || pending->state != PendingState::in_flight || pending->call != id.value)
        continue;
      verdict.back.push_back(ref);
      verdict.trouble = "an operation got no answer";
    }
  }
  if (verdict.trouble.empty()) {
    well(*group);
  } else {
    const Server* server = server_of(call.server);
    trouble(*group, (server != nullptr ? to_string(server->name) + ": " : "") + verdict.trouble, now);
    pause(*group, now);
  }
  place_again(verdict.back);
}

void RouterCore::State::internal_answers(Group& group, const Call& call, std::vector<Answer>& answers,
                                         Verdict& verdict) {
  if (call.internals.empty()) return;
  std::vector<bool> answered(call.internals.size());
  boost::unordered_flat_map<std::uint64_t, std::size_t> by_session;  // only if they are not in order
  std::size_t cursor = 0;
  for (Answer& answer : answers) {
    if (answer.sequence) continue;
    std::size_t at = cursor;
    if (at >= call.internals.size() || call.internals[at].session != answer.session) {
      if (by_session.empty()) {
        for (std::size_t i = 0; i < call.internals.size(); ++i)
          by_session[call.internals[i].session.value] = i;
      }
      auto found = by_session.find(answer.session.value);
      if (found == by_session.end()) continue;
      at = found->second;
    }
    cursor = at + 1;
    if (answered[at]) continue;
    answered[at] = true;
    internal_answer(group, call.internals[at], answer, verdict);
  }
  for (std::size_t i = 0; i < answered.size(); ++i) {
    if (answered[i]) continue;
    undo(group, call.internals[i]);
    verdict.trouble = "a session got no answer";
  }
}

void RouterCore::State::internal_answer(Group& group, const Internal& internal, Answer& answer,
                                        Verdict& verdict) {
  Connection* connection = get(internal.connection);
  if (connection == nullptr) return;
  GroupSession& session = this->session(*connection, group.index);
  const Reaction reaction = reaction_to(answer);
  if (reaction == Reaction::put_off) {
    undo(group, internal);
    verdict.put_off.emplace(connection->slot, std::move(answer));
    return;
  }
  if (reaction == Reaction::retry || reaction == Reaction::reroute || reaction == Reaction::wait) {
    undo(group, internal);
    verdict.trouble = words_of(answer);
    return;
  }
  if (internal.kind == Internal::Kind::close) {
    if (connection->closes_left > 0) --connection->closes_left;
    return;
  }
  if (session.generation != internal.generation) return;
  const bool ok = answer.status == Status::ok;
  if (answer.status == Status::session_expired ||
      (internal.kind == Internal::Kind::beat && answer.status == Status::session_unknown)) {
    end_session(group, *connection, internal.generation, internal.cause, verdict.back);
  } else if (internal.kind == Internal::Kind::beat) {
    if (ok) {
      say(*connection, SessionNotice{SessionNotice::Kind::renewed, group.id, internal.generation,
                                     answer.ttl_ms, internal.cause, std::move(answer.moved_to)});
    } else {
      undo(group, internal);  // overloaded, most likely: with the next tick
    }
  } else if (ok) {
    session.state = SessionState::open;
    say(*connection, SessionNotice{SessionNotice::Kind::opened, group.id, internal.generation, answer.ttl_ms,
                                   internal.cause});
  } else {
    session.state = SessionState::none;
    if (answer.status == Status::session_unknown) {
      verdict.trouble = words_of(answer);
    } else {
      verdict.refused.emplace(connection->slot, std::move(answer));
    }
  }
}

void RouterCore::State::undo(Group& group, const Internal& internal) {
  Connection* connection = get(internal.connection);
  if (connection == nullptr) return;
  GroupSession& session = this->session(*connection, group.index);
  switch (internal.kind) {
    case Internal::Kind::open:
      if (session.generation == internal.generation && session.state == SessionState::opening) {
        session.state = SessionState::none;
      }
      break;
    case Internal::Kind::beat:
      if (session.generation != internal.generation || connection->phase == Phase::leaving) break;
      session.beat_number = std::max(session.beat_number, internal.cause);
      if (!session.beat_waiting) {
        session.beat_waiting = true;
        group.beats.push_back(internal.connection);
      }
      break;
    case Internal::Kind::close:
      group.closes.push_back(internal.connection);
      break;
  }
}

void RouterCore::State::operation_answer(Group& group, Pending& pending, Answer&& answer, Verdict& verdict) {
  if (!answer.group) answer.group = group.id;
  // It may have been executed when it was sent before, which a refusal at the door does not tell.
  const bool unsure = answer.status == Status::overloaded && (pending.sent_again || pending.sent_before);
  if (unsure) return put_off(group, pending, answer, std::max(answer.retry_after_ms, 1U), verdict.now);
  switch (reaction_to(answer)) {
    case Reaction::answer:
      if (answer.status == Status::session_expired) {
        Connection& connection = connections_[pending.connection];
        const GroupSession& session = this->session(connection, group.index);
        if (session_of(connection.base, session.generation) == pending.op.session) {
          end_session(group, connection, session.generation, pending.op.sequence.value, verdict.back);
        }
      }
      return finish(pending, std::move(answer));
    case Reaction::wait:
      pending.state = PendingState::queued;
      pending.moved = 0;
      pending.moved_by = kNone;
      pending.told_session = pending.op.session;
      // The client keeps the group of its wait by this, so that it is told of another one, too.
      if (std::exchange(pending.told_in, group.index) != group.index)
        say(connections_[pending.connection], std::move(answer));
      return;
    case Reaction::retry:
      verdict.back.push_back({pending.slot, pending.arrival});
      verdict.trouble = words_of(answer);
      return;
    case Reaction::put_off:
      return put_off(group, pending, answer, answer.ttl_ms, verdict.now);
    case Reaction::reroute:
      return moved(group, pending, verdict);
    case Reaction::open_session:
      return session_unknown(group, pending, std::move(answer), verdict);
  }
}

// Its group is well and says when it is worth asking again. Asked a little more often than that, as its next
// primary may think otherwise.
void RouterCore::State::put_off(Group& group, Pending& pending, const Answer& refusal, std::uint32_t retry_ms,
                                TimeMs now) {
  group.put_off_why = refusal.message;
  pending.put_off = true;
  pending.moved = 0;
  pending.moved_by = kNone;
  park(pending, now + std::min(retry_ms, options_.put_off_max_ms));
}

void RouterCore::State::session_unknown(Group& group, Pending& pending, Answer&& answer, Verdict& verdict) {
  Connection& connection = connections_[pending.connection];
  GroupSession& session = this->session(connection, group.index);
  if (auto refused = verdict.refused.find(connection.slot); refused != verdict.refused.end()) {
    answer.status = refused->second.status;
    answer.holder = refused->second.holder;
    answer.message = refused->second.message;
    answer.retry_after_ms = refused->second.retry_after_ms;
    return finish(pending, std::move(answer));
  }
  if (auto later = verdict.put_off.find(connection.slot); later != verdict.put_off.end())
    return put_off(group, pending, later->second, later->second.ttl_ms, verdict.now);
  const bool current = session_of(connection.base, session.generation) == pending.op.session;
  if (current && (session.state == SessionState::none || session.state == SessionState::opening)) {
    // Not opened yet, as far as this connection knows.
    session.state = SessionState::none;
    verdict.back.push_back({pending.slot, pending.arrival});
    return;
  }
  // The client was told that it is open, and may count on holds in it. A group that has never seen it has
  // lost them, so to open it again would keep alive, for the client, what is not there.
  if (current) end_session(group, connection, session.generation, pending.op.sequence.value, verdict.back);
  answer.status = Status::session_expired;
  answer.message = to_string(group.id) + " does not know the session any more";
  finish(pending, std::move(answer));
}

void RouterCore::State::end_session(Group& group, Connection& connection, std::uint32_t generation,
                                    std::uint64_t cause, std::vector<PendingRef>& back) {
  GroupSession& session = this->session(connection, group.index);
  if (session.state == SessionState::ended) return;
  session.state = SessionState::ended;
  session.beat_number = 0;
  say(connection, SessionNotice{SessionNotice::Kind::ended, group.id, generation, 0, cause});
  // Its waits are gone there. The group says what became of each.
  const SessionId id = session_of(connection.base, generation);
  for (std::uint32_t slot = connection.first_pending; slot != kNone; slot = pending_.at(slot).next) {
    const Pending& pending = pending_.at(slot);
    if (pending.state == PendingState::queued && pending.group == group.index && pending.op.session == id) {
      back.push_back({pending.slot, pending.arrival});
    }
  }
}

void RouterCore::State::late_answers(ServerId server, GroupId id, std::vector<Answer>&& answers, TimeMs now) {
  Group* group = group_of(id);
  if (group == nullptr) return;
  Verdict verdict;
  verdict.now = now;
  for (Answer& answer : answers) {
    const std::uint32_t slot = pending_.find(base_of(answer.session), answer.sequence);
    if (slot == kNone) continue;
    Pending& pending = pending_.at(slot);
    if (pending.op.session != answer.session || pending.group != group->index) continue;
    const Reaction reaction = reaction_to(answer);
    if (reaction == Reaction::wait) continue;
    // What is final is so whoever says it: it was committed. A refusal counts only from where the operation
    // waits; that its arc moved may overtake the answer that it waits.
    const bool waits = pending.state == PendingState::queued ||
                       (pending.state == PendingState::in_flight && reaction == Reaction::reroute);
    if (reaction != Reaction::answer && (!waits || group->server != server)) continue;
    operation_answer(*group, pending, std::move(answer), verdict);
  }
  place_again(verdict.back);
}

void RouterCore::State::finish(Pending& pending, Answer&& answer) {
  say(connections_[pending.connection], std::move(answer));
  unlink(pending);
  pending_.remove(pending.slot);
}

void RouterCore::State::finish(Pending& pending, Status status, std::string message) {
  Answer answer;
  answer.session = pending.op.session ? pending.op.session : SessionId(pending.base);
  answer.sequence = pending.op.sequence;
  answer.status = status;
  if (pending.group != kNone) answer.group = groups_[pending.group].id;
  answer.message = std::move(message);
  finish(pending, std::move(answer));
}

void RouterCore::State::unlink(Pending& pending) {
  leave_line(pending);
  Connection& connection = connections_[pending.connection];
  if (pending.previous != kNone) {
    pending_.at(pending.previous).next = pending.next;
  } else {
    connection.first_pending = pending.next;
  }
  if (pending.next != kNone) pending_.at(pending.next).previous = pending.previous;
  --connection.pending;
}

}  // namespace dlm::router
