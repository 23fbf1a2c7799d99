#include "router/core/router_core.h"

#include <algorithm>
#include <utility>

#include "router/core/router_state.h"

namespace dlm::router {

void RouterOutput::clear() {
  links.clear();
  submits.clear();
  queries.clear();
  ring_writes.clear();
  group_writes.clear();
  welcomes.clear();
  batches.clear();
  reports.clear();
  closes.clear();
}

void RouterCore::State::turn(TimeMs now, RouterOutput& output) {
  output.clear();
  for (std::uint32_t slot : freeing_) free_slot(connections_[slot]);
  freeing_.clear();
  for (ConnectionId id : std::exchange(bulky_, {})) {
    Connection* connection = get(id);
    if (connection == nullptr || !connection->delivered) continue;
    connection->notices = {};
    connection->answers = {};
  }

  expire_clients(now);
  for (Group& group : groups_) time_out_calls(group, now, output);
  for (Group& group : groups_) expire_group(group, now);
  wake_parked(now);
  expire_queries(now);
  for (Group& group : groups_) send(group, now, output);
  for (Group& group : groups_) ask_backups(group, now, output);
  send_queries(now, output);
  output.ring_writes.swap(ring_writes_);
  output.group_writes.swap(group_writes_);
  output.links.insert(output.links.end(), std::make_move_iterator(links_.begin()),
                      std::make_move_iterator(links_.end()));
  links_.clear();
  deliver(output);
  freeing_.swap(retired_);
}

// What was told is let go in the next turn, unless it is little: thousands of connections would keep as much
// as each was ever told at once.
void RouterCore::State::deliver(RouterOutput& output) {
  for (ConnectionId id : dirty_) {
    Connection& connection = connections_[static_cast<std::uint32_t>(id.value)];
    // Also to one that is closed in this turn; not to one that went away by itself.
    if (connection.id() != id || connection.phase == Phase::free) continue;
    connection.dirty = false;
    connection.delivered = true;
    if (connection.answers.size() > kKeptAnswers) bulky_.push_back(id);
    output.batches.push_back({id, connection.notices, connection.answers});
  }
  dirty_.clear();
  output.welcomes.swap(welcomes_);
  output.reports.swap(reports_);
  output.closes.swap(closes_);
}

TimeMs RouterCore::State::next_turn(const Group& group) const {
  const TimeMs look = group.deadline == kNever ? kNever : std::max(group.deadline, group.looked_at + kLookMs);
  TimeMs next = std::min(look, ask_backups_at(group));
  for (const Call& call : group.calls) next = std::min(next, call.sent_at + options_.submit_timeout_ms);
  if (group.calls.size() >= options_.calls_per_group_max || !group.server) return next;
  auto server = servers_.find(group.server);
  if (server == servers_.end() || !server->second.up) return next;
  if (group.waits() != 0 || (!group.closes.empty() && group.calls.empty()))
    return std::min(next, group.retry_at);
  if (!group.beats.empty()) next = std::min(next, std::max(group.retry_at, group.beats_at));
  return next;
}

TimeMs RouterCore::State::next_turn() const {
  // Something to tell or to free needs a turn at once; time 0 is always past.
  if (!dirty_.empty() || !welcomes_.empty() || !reports_.empty() || !closes_.empty() || !links_.empty() ||
      !ring_writes_.empty() || !group_writes_.empty())
    return 0;
  TimeMs next = std::min(parked_.empty() ? kNever : parked_.front().at, queries_deadline_);
  for (const Group& group : groups_) next = std::min(next, next_turn(group));
  auto since = [&](ConnectionId id) { return connections_[static_cast<std::uint32_t>(id.value)].since; };
  if (!fresh_.empty()) next = std::min(next, since(fresh_.front()) + options_.hello_timeout_ms);
  for (ConnectionId id : hello_waiting_) next = std::min(next, since(id) + options_.ready_timeout_ms);
  for (ConnectionId id : leaving_) next = std::min(next, since(id) + options_.bye_timeout_ms);
  for (std::uint64_t key : queries_waiting_) {
    auto found = queries_.find(key);
    if (found == queries_.end() || found->second.retry_at == 0) continue;
    next = std::min(next, found->second.retry_at);
  }
  return next;
}

RouterCore::RouterCore(const RouterOptions& options) : state_(std::make_unique<State>(options)) {}
RouterCore::~RouterCore() = default;

ConnectionId RouterCore::connect(TimeMs now) {
  return state_->connect(now);
}
void RouterCore::hello(ConnectionId connection, const Hello& hello, TimeMs now) {
  state_->hello(connection, hello, now);
}
void RouterCore::operations(ConnectionId connection, Sequence acked_below, std::span<const Operation> list,
                            TimeMs now) {
  state_->operations(connection, acked_below, list, now);
}
void RouterCore::heartbeat(ConnectionId connection, std::uint64_t number,
                           std::span<const GroupListing> groups, TimeMs now) {
  state_->heartbeat(connection, number, groups, now);
}
void RouterCore::query(ConnectionId connection, std::uint64_t id, std::uint32_t deadline_ms, Query query,
                       TimeMs now) {
  state_->query(connection, id, deadline_ms, std::move(query), now);
}
void RouterCore::bye(ConnectionId connection, TimeMs now) {
  state_->bye(connection, now);
}
void RouterCore::refuse(ConnectionId connection, Status status, std::string message) {
  state_->refuse(connection, status, std::move(message));
}
void RouterCore::disconnect(ConnectionId connection) {
  state_->disconnect(connection);
}

void RouterCore::view(const coordinator::ClusterView& view, TimeMs now) {
  state_->view(view, now);
}
void RouterCore::link_up(ServerId server, TimeMs now) {
  state_->link_up(server, now);
}
void RouterCore::link_down(ServerId server, bool gone, const std::string& why, TimeMs now) {
  state_->link_down(server, gone, why, now);
}
void RouterCore::submitted(CallId call, std::vector<Answer>&& answers, TimeMs now) {
  state_->submitted(call, std::move(answers), now);
}
void RouterCore::submit_failed(CallId call, const std::string& why, TimeMs now) {
  state_->submit_failed(call, why, now);
}
void RouterCore::late_answers(ServerId server, GroupId group, std::vector<Answer>&& answers, TimeMs now) {
  state_->late_answers(server, group, std::move(answers), now);
}
void RouterCore::queried(CallId call, bool reached, QueryReport&& report, TimeMs now) {
  state_->queried(call, reached, std::move(report), now);
}
void RouterCore::ring_written(CallId call, coordinator::WriteResult result, TimeMs now) {
  state_->ring_written(call, result, now);
}
void RouterCore::group_written(CallId call, coordinator::WriteResult result) {
  state_->group_written(call, result);
}

void RouterCore::turn(TimeMs now, RouterOutput& output) {
  state_->turn(now, output);
}
TimeMs RouterCore::next_turn() const {
  return state_->next_turn();
}
bool RouterCore::ready() const {
  return state_->routes().ready();
}
std::string RouterCore::cluster() const {
  return state_->routes().view().cluster;
}
RouterStats RouterCore::stats() const {
  return state_->stats();
}

}  // namespace dlm::router
