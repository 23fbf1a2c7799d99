// What leaves: submits of operations, session openings, heartbeats and closings; and what ends because its
// time has passed.
#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include "router/core/router_state.h"

namespace dlm::router {
namespace {

constexpr TimeMs kPrimaryPatienceMs = 300;  // then its backups are asked, too
constexpr TimeMs kAskBackupsMs = 100;       // so often

}  // namespace

// --- deadlines ---------------------------------------------------------------

std::string RouterCore::State::describe(const Group& group, TimeMs now) const {
  if (!group.troubled) return to_string(group.id) + ": no answer in time";
  const TimeMs since = now > group.troubled_since ? now - group.troubled_since : 0;
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%.1f", static_cast<double>(since) / 1000);
  const std::string loss = describe_loss(group.id);
  return to_string(group.id) + ": no primary reachable since " + seconds + " s (" +
         (loss.empty() ? group.trouble : loss) + ")";
}

std::string RouterCore::State::describe_loss(GroupId id) const {
  const coordinator::ClusterView& view = routes_.view();
  auto record = view.groups.find(id);
  if (record == view.groups.end()) return {};
  std::vector<coordinator::MemberName> alive;
  for (const auto& [name, member] : view.servers) {
    if (std::find(member.groups.begin(), member.groups.end(), id) != member.groups.end())
      alive.push_back(member.name);
  }
  const coordinator::GroupConfig& config = record->second.config;
  return coordinator::describe(coordinator::total_loss(config, alive), config);
}

// Its group is well and has so much to do that it did not come to it.
void RouterCore::State::turn_away(Group& group, Pending& pending, TimeMs now) {
  Answer answer;
  answer.session = pending.op.session;
  answer.sequence = pending.op.sequence;
  answer.status = Status::overloaded;
  answer.group = group.id;
  answer.message = to_string(group.id) + " did not come to it in time; nothing was done";
  answer.retry_after_ms = group.rate.turn_away(group.waits(), now);
  ++refused_;
  finish(pending, std::move(answer));
}

void RouterCore::State::expire(Pending& pending, TimeMs now) {
  std::string message;
  if (pending.group != kNone) {
    Group& group = groups_[pending.group];
    const bool never_sent = pending.state == PendingState::waiting && !pending.maybe_done();
    const bool answers =
        !group.troubled && (group.calls.empty() || now < group.calls.front().sent_at + kPrimaryPatienceMs);
    if (never_sent && answers && !pending.put_off && pending.moved == 0)
      return turn_away(group, pending, now);
    if (pending.put_off && !group.troubled) {
      message = group.put_off_why;
    } else if (pending.moved != 0 && !group.troubled) {
      message = describe_way(pending.hash, group);
    } else {
      message = describe(group, now);
    }
  } else {
    message = routes_.ready() ? "no ring: the cluster has no groups yet"
                              : "no ring: this router has not reached the coordinator yet";
  }
  message += pending.maybe_done() ? "; whether it was executed is not known" : "; nothing was done";
  finish(pending, Status::unavailable, std::move(message));
}

// Not more often than each kLookMs, as it looks at everything; what is about to be sent is looked at again.
void RouterCore::State::expire_group(Group& group, TimeMs now) {
  if (now < std::max(group.deadline, group.looked_at + kLookMs)) return;
  group.deadline = kNever;
  group.looked_at = now;
  auto look = [&](const PendingRef& ref) {
    Pending* pending = pending_.get(ref);
    if (pending == nullptr || !pending->may_expire() || pending->group != group.index) return;
    if (pending->state != PendingState::waiting && pending->state != PendingState::in_flight) return;
    if (pending->deadline <= now) {
      expire(*pending, now);
    } else {
      group.deadline = std::min(group.deadline, pending->deadline);
    }
  };
  std::for_each(group.urgent.begin(), group.urgent.end(), look);
  std::for_each(group.acquires.begin(), group.acquires.end(), look);
  for (const Call& call : group.calls) std::for_each(call.operations.begin(), call.operations.end(), look);
}

void RouterCore::State::time_out_calls(Group& group, TimeMs now, RouterOutput& output) {
  for (const Call& call : group.calls) {
    if (call.sent_at + options_.submit_timeout_ms > now) continue;
    LinkChange change;
    change.kind = LinkChange::Kind::reconnect;
    change.server = call.server;
    output.links.push_back(std::move(change));
    link_down(call.server, false, "no answer to a submit in time", now);
    return;  // the calls are withdrawn, with those of the server's other groups
  }
}

// --- sending -----------------------------------------------------------------

bool RouterCore::State::can_send(const Group& group, TimeMs now) {
  if (!group.server || group.calls.size() >= options_.calls_per_group_max || now < group.retry_at)
    return false;
  return reachable(group);
}

void RouterCore::State::send(Group& group, TimeMs now, RouterOutput& output) {
  while (can_send(group, now)) {
    const bool beats_due = !group.beats.empty() && now >= group.beats_at;
    if (group.waits() == 0 && !beats_due && group.closes.empty()) break;
    Call call;
    call.id = next_call(group.index);
    call.server = group.server;
    call.sent_at = now;
    Submit submit;
    submit.call = call.id;
    submit.server = group.server;
    submit.group = group.id;
    take_operations(group, now, call, submit);
    if (!group.beats.empty() && (!submit.operations.empty() || now >= group.beats_at)) {
      take_beats(group, call, submit);
      group.beats_at = now + options_.heartbeat_tick_ms;
    }
    if (group.waits() == 0) take_closes(group, call, submit);
    if (submit.operations.empty()) break;
    group.calls.push_back(std::move(call));
    output.submits.push_back(std::move(submit));
  }
}

// --- a primary out of reach ------------------------------------------------------------------------------

// When its backups are to be asked next, as the primary gives no answer; kNever while nothing waits for one.
TimeMs RouterCore::State::ask_backups_at(const Group& group) const {
  const auto primary = servers_.find(group.server);
  const bool up = primary != servers_.end() && primary->second.up;
  const bool waits = group.waits() != 0 || !group.beats.empty();
  if (!group.calls.empty())
    return std::max(group.calls.front().sent_at + kPrimaryPatienceMs, group.ask_backups_at);
  return waits && !up ? std::max(group.troubled_since + kAskBackupsMs, group.ask_backups_at) : kNever;
}

// An empty submit: its answer says nothing, but a primary that hears of it, and from no router, knows that it
// is out of reach.
void RouterCore::State::ask_backups(Group& group, TimeMs now, RouterOutput& output) {
  if (now < ask_backups_at(group)) return;
  group.ask_backups_at = now + kAskBackupsMs;
  const auto record = routes_.view().groups.find(group.id);
  if (record == routes_.view().groups.end()) return;
  for (const coordinator::MemberName& member : record->second.config.in_sync) {
    const auto found = server_index_.find(member);
    if (found == server_index_.end() || found->second == group.server || !servers_.at(found->second).up)
      continue;
    output.submits.push_back({next_call(group.index), found->second, group.id, {}});
  }
}

// Whether it is still in its place in one of the group's lanes.
bool RouterCore::State::waits_in(const Group& group, const Pending* pending) const {
  return pending != nullptr && pending->state == PendingState::waiting && pending->group == group.index;
}

// From which lane to send next: as they arrived when all fits into a submit, else what is urgent first. What
// is over is removed in front of them. Null: nothing waits.
Lane* RouterCore::State::next_lane(Group& group, bool all_fit, TimeMs now) {
  for (Lane* lane : {&group.urgent, &group.acquires}) {
    for (; !lane->empty(); lane->pop()) {
      Pending* pending = pending_.get(lane->front());
      if (!waits_in(group, pending)) continue;
      if (!pending->may_expire() || pending->deadline > now) break;
      expire(*pending, now);
    }
  }
  if (group.urgent.empty()) return group.acquires.empty() ? nullptr : &group.acquires;
  const bool acquire_first =
      all_fit && !group.acquires.empty() && group.acquires.front().arrival < group.urgent.front().arrival;
  return acquire_first ? &group.acquires : &group.urgent;
}

void RouterCore::State::take_operations(Group& group, TimeMs now, Call& call, Submit& submit) {
  const std::size_t count = std::min(group.waits(), options_.submit_operations_max);
  const bool all_fit = group.waits() <= options_.submit_operations_max;
  submit.operations.reserve(count + count / 8 + 2);
  call.operations.reserve(count);
  std::size_t bytes = 0;
  while (submit.operations.size() < options_.submit_operations_max && bytes < options_.submit_bytes_max) {
    Lane* lane = next_lane(group, all_fit, now);
    if (lane == nullptr) break;
    const PendingRef ref = lane->front();
    lane->pop();
    Pending* pending = pending_.get(ref);
    Connection& connection = connections_[pending->connection];
    GroupSession& session = this->session(connection, group.index);
    const SessionId current = session_of(connection.base, session.generation);
    if (session.state == SessionState::none && pending->op.session == current) {
      Operation open;
      open.kind = OperationKind::open_session;
      open.session = current;
      open.acked_below = connection.acked_below;
      open.lease_ms = connection.ttl_ms;
      open.client_id = connection.client_id;
      submit.operations.push_back(open);
      call.internals.push_back(
          {Internal::Kind::open, connection.id(), current, session.generation, pending->op.sequence.value});
      session.state = SessionState::opening;
      bytes += connection.client_id.size();
    }
    Operation op = pending->view();
    op.acked_below = connection.acked_below;
    if (pending->may_expire()) op.deadline_ms = static_cast<std::uint32_t>(pending->deadline - now);
    submit.operations.push_back(op);
    call.operations.push_back(ref);
    bytes += pending->bytes.size();
    pending->state = PendingState::in_flight;
    pending->call = call.id.value;
    pending->sent_again = pending->sent;
    pending->sent = true;
  }
}

void RouterCore::State::take_beats(Group& group, Call& call, Submit& submit) {
  std::vector<ConnectionId> later;
  for (std::size_t i = 0; i < group.beats.size(); ++i) {
    if (submit.operations.size() >= 2 * options_.submit_operations_max) {
      later.insert(later.end(), group.beats.begin() + static_cast<std::ptrdiff_t>(i), group.beats.end());
      break;
    }
    Connection* connection = get(group.beats[i]);
    if (connection == nullptr) continue;
    GroupSession& session = this->session(*connection, group.index);
    if (session.state == SessionState::opening) {  // never two of sequence 0 for a session in a submit
      later.push_back(group.beats[i]);
      continue;
    }
    session.beat_waiting = false;
    if (session.state != SessionState::open || session.beat_number == 0) continue;
    Operation beat;
    beat.kind = OperationKind::heartbeat;
    beat.session = session_of(connection->base, session.generation);
    beat.acked_below = connection->acked_below;
    submit.operations.push_back(beat);
    call.internals.push_back(
        {Internal::Kind::beat, connection->id(), beat.session, session.generation, session.beat_number});
    session.beat_number = 0;
  }
  group.beats.swap(later);
}

void RouterCore::State::take_closes(Group& group, Call& call, Submit& submit) {
  std::vector<ConnectionId> later;
  for (ConnectionId id : group.closes) {
    Connection* connection = get(id);
    if (connection == nullptr) continue;
    GroupSession& session = this->session(*connection, group.index);
    if (session.state == SessionState::opening) {
      later.push_back(id);
      continue;
    }
    Operation close;
    close.kind = OperationKind::close_session;
    close.session = session_of(connection->base, session.generation);
    close.acked_below = connection->acked_below;
    submit.operations.push_back(close);
    call.internals.push_back({Internal::Kind::close, id, close.session, session.generation, 0});
  }
  group.closes.swap(later);
}

}  // namespace dlm::router
