// Groups: who their primaries are, what waits for them, what is sent again.
#include <algorithm>
#include <string>
#include <utility>

#include "coordinator/core/ring_change.h"
#include "router/core/router_state.h"

namespace dlm::router {

// --- what the coordinator says -----------------------------------------------

Group* RouterCore::State::group_of(GroupId id) {
  auto found = group_index_.find(id);
  return found == group_index_.end() ? nullptr : &groups_[found->second];
}

Group& RouterCore::State::add_group(GroupId id, TimeMs now) {
  if (Group* known = group_of(id)) return *known;
  Group& group = groups_.emplace_back();
  group.id = id;
  group.index = static_cast<std::uint32_t>(groups_.size() - 1);
  group_index_[id] = group.index;
  trouble(group, "it has no primary yet", now);
  return group;
}

Server* RouterCore::State::server_of(ServerId id) {
  auto found = servers_.find(id);
  return found == servers_.end() ? nullptr : &found->second;
}

void RouterCore::State::view(const coordinator::ClusterView& view, TimeMs now) {
  const Routes::Changes changes = routes_.update(view);
  follow_servers(routes_.view(), now);
  for (const auto& [id, config] : routes_.view().groups) add_group(id, now);
  for (GroupId id : coordinator::groups_of(routes_.view().ring)) add_group(id, now);
  for (GroupId id : changes.groups) {
    Group& group = *group_of(id);
    group.retry_at = 0;
    group.pause_ms = 0;
  }
  for (Group& group : groups_) follow_primary(group, now);
  admit_waiting(now);
  if (changes.ring) follow_ring();
  for (std::uint64_t key : queries_waiting_) {
    auto found = queries_.find(key);
    if (found != queries_.end()) found->second.retry_at = 0;
  }
}

bool RouterCore::State::reachable(const Group& group) {
  const Server* server = server_of(group.server);
  return server != nullptr && server->up;
}

void RouterCore::State::follow_servers(const coordinator::ClusterView& view, TimeMs now) {
  auto needed = [&](const coordinator::MemberName& name) {
    auto member = view.servers.find(name.server);
    if (member != view.servers.end() && member->second.name == name) return true;
    // A primary whose registration ended goes on serving until another takes over.
    return std::any_of(view.groups.begin(), view.groups.end(),
                       [&](const auto& entry) { return entry.second.config.primary == name; });
  };
  for (auto entry = server_index_.begin(); entry != server_index_.end();) {
    auto member = view.servers.find(entry->first.server);
    const bool moved = member != view.servers.end() && member->second.name == entry->first &&
                       member->second.address != servers_[entry->second].address;
    if (needed(entry->first) && !moved) {
      ++entry;
      continue;
    }
    link_down(entry->second, true, "it left the cluster", now);
    LinkChange change;
    change.kind = LinkChange::Kind::drop;
    change.server = entry->second;
    links_.push_back(std::move(change));
    servers_.erase(entry->second);
    entry = server_index_.erase(entry);
  }
  for (const auto& [id, member] : view.servers) {
    if (server_index_.contains(member.name)) continue;
    Server server;
    server.id = ServerId(++last_server_);
    server.name = member.name;
    server.address = member.address;
    server.why = "not connected yet";
    server_index_[member.name] = server.id;
    LinkChange change;
    change.server = server.id;
    change.name = server.name;
    change.address = server.address;
    links_.push_back(std::move(change));
    servers_[server.id] = std::move(server);
  }
}

void RouterCore::State::follow_primary(Group& group, TimeMs now) {
  const coordinator::MemberName& primary = routes_.primary_of(group.id);
  auto found = server_index_.find(primary);
  const ServerId server = found == server_index_.end() ? ServerId() : found->second;
  if (server == group.server && server) return;
  if (group.server) withdraw(group);
  group.server = server;
  const Server* known = server_of(server);
  if (!primary) {
    trouble(group, "it has no primary yet", now);
  } else if (known == nullptr) {
    trouble(group, "its primary " + to_string(primary) + " is not registered", now);
  } else if (!known->up) {
    trouble(group, to_string(primary) + ": " + known->why, now);
  }
}

void RouterCore::State::admit_waiting(TimeMs now) {
  for (ConnectionId id : hello_waiting_) {
    Connection* connection = get(id);
    if (connection != nullptr && connection->phase == Phase::waiting) admit(*connection, now);
  }
  hello_waiting_.clear();
}

// --- what is to be sent again ------------------------------------------------

void RouterCore::State::withdraw(Group& group) {
  std::vector<PendingRef> back;
  for (Call& call : group.calls) withdraw_call(group, call, back);
  group.calls.clear();
  // Queued ones too: only who sends them again is told of the grant.
  for (Pending& pending : pending_.slots()) {
    if (pending.state == PendingState::queued && pending.group == group.index) {
      back.push_back({pending.slot, pending.arrival});
    }
  }
  place_again(back);
}

void RouterCore::State::withdraw_call(Group& group, Call& call, std::vector<PendingRef>& back) {
  for (const PendingRef& ref : call.operations) {
    Pending* pending = pending_.get(ref);
    if (pending != nullptr && pending->state == PendingState::in_flight && pending->call == call.id.value) {
      back.push_back(ref);
    }
  }
  for (const Internal& internal : call.internals) undo(group, internal);
}

// --- links -------------------------------------------------------------------

void RouterCore::State::link_up(ServerId id, TimeMs now) {
  Server* server = server_of(id);
  if (server == nullptr) return;
  if (server->up) link_down(id, false, "it was connected anew", now);
  server->up = true;
  server->why.clear();
  for (Group& group : groups_) {
    if (group.server == id) well(group);
  }
}

void RouterCore::State::link_down(ServerId id, bool gone, const std::string& why, TimeMs now) {
  Server* server = server_of(id);
  if (server == nullptr) return;
  const bool was_up = server->up;
  server->up = false;
  server->why = gone ? "it is dead: " + why : why;
  for (Group& group : groups_) {
    if (group.server != id) continue;
    if (was_up) withdraw(group);
    trouble(group, to_string(server->name) + ": " + server->why, now);
  }
  if (was_up) fail_queries(id, server->why, now);
}

Call* RouterCore::State::find_call(CallId id, Group*& group) {
  const std::size_t index = id.value & 0xffffU;
  if (index >= groups_.size()) return nullptr;
  group = &groups_[index];
  auto found =
      std::find_if(group->calls.begin(), group->calls.end(), [&](const Call& call) { return call.id == id; });
  return found == group->calls.end() ? nullptr : &*found;
}

void RouterCore::State::submit_failed(CallId id, const std::string& why, TimeMs now) {
  Group* group = nullptr;
  Call* call = find_call(id, group);
  if (call == nullptr) return;
  const Server* server = server_of(call->server);
  trouble(*group, (server != nullptr ? to_string(server->name) + ": " : "") + why, now);
  std::vector<PendingRef> back;
  withdraw_call(*group, *call, back);
  group->calls.erase(group->calls.begin() + (call - group->calls.data()));
  place_again(back);
  pause(*group, now);
}

void RouterCore::State::pause(Group& group, TimeMs now) {
  group.pause_ms =
      group.pause_ms == 0 ? options_.retry_first_ms : std::min(group.pause_ms * 2, options_.retry_max_ms);
  group.retry_at = now + group.pause_ms;
}

void RouterCore::State::trouble(Group& group, std::string why, TimeMs now) {
  if (!group.troubled) {
    group.troubled = true;
    group.troubled_since = now;
  }
  group.trouble = std::move(why);
}

void RouterCore::State::well(Group& group) {
  group.troubled = false;
  group.pause_ms = 0;
  group.retry_at = 0;
}

}  // namespace dlm::router
