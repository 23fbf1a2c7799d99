// Connections of clients: Hello, what they ask, their sessions' generations, and their end.
#include <algorithm>
#include <string>
#include <utility>

#include "coordinator/core/ring.h"
#include "router/core/router_state.h"

namespace dlm::router {

ConnectionId RouterCore::State::connect(TimeMs now) {
  if (free_connections_.empty()) {
    connections_.emplace_back();
    connections_.back().slot = static_cast<std::uint32_t>(connections_.size() - 1);
    free_connections_.push_back(connections_.back().slot);
  }
  Connection& connection = connections_[free_connections_.back()];
  free_connections_.pop_back();
  const std::uint32_t slot = connection.slot;
  const std::uint32_t life = connection.life + 1;
  connection = Connection{};
  connection.slot = slot;
  connection.life = life;
  connection.phase = Phase::fresh;
  connection.since = now;
  if (connections_.size() - free_connections_.size() > options_.connections_max) {
    close(connection, true, Status::overloaded,
          "this router has its limit of " + std::to_string(options_.connections_max) +
              " client connections: try another router");
  } else {
    fresh_.push_back(connection.id());
  }
  return connection.id();
}

Connection* RouterCore::State::get(ConnectionId id) {
  const auto slot = static_cast<std::uint32_t>(id.value);
  if (slot >= connections_.size()) return nullptr;
  Connection& connection = connections_[slot];
  if (connection.id() != id || connection.phase == Phase::free || connection.phase == Phase::closed)
    return nullptr;
  return &connection;
}

Connection* RouterCore::State::speaking(ConnectionId id) {
  Connection* connection = get(id);
  if (connection == nullptr || connection->phase == Phase::leaving) return nullptr;
  if (connection->phase == Phase::fresh) {
    close(*connection, true, Status::invalid_argument, "a connection begins with Hello");
    return nullptr;
  }
  return connection;
}

GroupSession& RouterCore::State::session(Connection& connection, std::uint32_t group) {
  if (connection.sessions.size() <= group) connection.sessions.resize(group + 1);
  return connection.sessions[group];
}

void RouterCore::State::hello(ConnectionId id, const Hello& hello, TimeMs now) {
  Connection* connection = get(id);
  if (connection == nullptr) return;
  auto refused = [&](std::string message) {
    close(*connection, true, Status::invalid_argument, std::move(message));
  };
  if (connection->phase != Phase::fresh) return refused("Hello comes once in a connection");
  if (hello.protocol_min > kClientProtocolVersion || hello.protocol_max < kClientProtocolVersion) {
    std::string spoken = std::to_string(hello.protocol_min);
    if (hello.protocol_max != hello.protocol_min) spoken += " to " + std::to_string(hello.protocol_max);
    return refused("this router speaks client protocol " + std::to_string(kClientProtocolVersion) +
                   ", the client speaks " + spoken + ": use a client and a router of one release");
  }
  if (hello.client_id.empty() || hello.client_id.size() > kClientIdBytesMax) {
    return refused("a client id has 1 to " + std::to_string(kClientIdBytesMax) + " bytes, not " +
                   std::to_string(hello.client_id.size()));
  }
  if (hello.session_base == 0 || (hello.session_base & 0xffffU) != 0) {
    return refused("a session base is a random number other than 0 whose low 16 bits are zero");
  }
  connection->client_id = hello.client_id;
  connection->asked_cluster = hello.cluster;
  connection->base = hello.session_base;
  connection->ttl_ms = hello.ttl_ms;
  connection->listings.assign(hello.groups.begin(), hello.groups.end());
  connection->phase = Phase::waiting;
  connection->since = now;

  if (auto [found, added] = by_base_.try_emplace(connection->base, id); !added) {
    // The same client over a newer connection, most likely because its old one is dead and has not told us
    // yet.
    if (Connection* older = get(found->second)) {
      if (older->client_id != connection->client_id) {
        connection->base = 0;
        return refused("another client uses this session base: pick a new one");
      }
      close(*older, true, Status::unavailable, "the client came back over another connection");
    }
    by_base_[connection->base] = id;
  }
  if (routes_.ready()) {
    admit(*connection, now);
  } else {
    hello_waiting_.push_back(id);
  }
}

void RouterCore::State::admit(Connection& connection, TimeMs now) {
  const std::string& cluster = routes_.view().cluster;
  if (!connection.asked_cluster.empty() && connection.asked_cluster != cluster) {
    return close(connection, true, Status::invalid_argument,
                 "this router belongs to cluster " + cluster + ", not " + connection.asked_cluster);
  }
  connection.phase = Phase::ready;
  connection.since = now;
  take_listings(connection, connection.listings, 0);
  connection.listings = {};
  connection.asked_cluster = {};
  welcomes_.push_back(connection.id());
}

void RouterCore::State::take_listings(Connection& connection, std::span<const GroupListing> listings,
                                      std::uint64_t beat) {
  for (const GroupListing& listing : listings) {
    Group* group = group_of(listing.group);
    if (group == nullptr) continue;  // of a newer view than ours: the client's own deadline decides
    GroupSession& session = this->session(connection, group->index);
    const std::uint32_t generation = listing.generation & 0xffffU;
    if (generation < session.generation) continue;
    if (generation > session.generation) {
      const bool in_beats = session.beat_waiting;
      session = GroupSession{};
      session.generation = generation;
      session.beat_waiting = in_beats;
    }
    if (!listing.renew || session.state == SessionState::ended) continue;
    if (session.state == SessionState::none) session.state = SessionState::open;
    if (beat == 0) continue;
    session.beat_number = beat;
    if (!session.beat_waiting) {
      session.beat_waiting = true;
      if (group->beats.size() > 2 * connections_.size()) {
        std::erase_if(group->beats, [&](ConnectionId id) { return get(id) == nullptr; });
      }
      group->beats.push_back(connection.id());
    }
  }
}

void RouterCore::State::operations(ConnectionId id, Sequence acked_below, std::span<const Operation> list,
                                   TimeMs now) {
  Connection* connection = speaking(id);
  if (connection == nullptr) return;
  connection->acked_below = std::max(connection->acked_below, acked_below);
  for (const Operation& op : list) {
    if (!check(*connection, op)) continue;
    const std::uint64_t hash = coordinator::hash_of(op.resource);
    if (!admit(*connection, op, hash, now)) continue;
    Pending* pending = pending_.add(connection->base, op, hash);
    if (pending == nullptr) continue;
    pending->connection = connection->slot;
    pending->next = connection->first_pending;
    if (pending->next != kNone) pending_.at(pending->next).previous = pending->slot;
    connection->first_pending = pending->slot;
    ++connection->pending;
    if (op.deadline_ms != 0) pending->deadline = now + op.deadline_ms;
    place(*pending);
  }
}

bool RouterCore::State::check(Connection& connection, const Operation& op) {
  auto refused = [&](std::string message) {
    refuse_operation(connection, op, Status::invalid_argument, std::move(message));
    return false;
  };
  switch (op.kind) {
    case OperationKind::acquire:
    case OperationKind::release:
    case OperationKind::renew:
    case OperationKind::cancel:
      break;
    default:
      return refused("clients send acquire, release, renew and cancel, not operation " +
                     std::to_string(static_cast<int>(op.kind)));
  }
  if (!op.sequence) return refused("sequence numbers begin at 1");
  if (op.mode > LockMode::shared || op.lease > LeaseKind::capped)
    return refused("there is no such mode or lease");
  if (op.resource.size() > kResourceBytesMax) {
    return refused("a resource name has at most " + std::to_string(kResourceBytesMax) + " bytes, not " +
                   std::to_string(op.resource.size()));
  }
  if (op.owner_tag.size() > kOwnerTagBytesMax) {
    return refused("an owner tag has at most " + std::to_string(kOwnerTagBytesMax) + " bytes, not " +
                   std::to_string(op.owner_tag.size()));
  }
  if (op.client_id.size() > kClientIdBytesMax) {
    return refused("a client id has at most " + std::to_string(kClientIdBytesMax) + " bytes, not " +
                   std::to_string(op.client_id.size()));
  }
  return true;
}

void RouterCore::State::refuse_operation(Connection& connection, const Operation& op, Status status,
                                         std::string message) {
  Answer answer;
  answer.session = SessionId(connection.base);
  answer.sequence = op.sequence;
  answer.status = status;
  answer.message = std::move(message);
  say(connection, std::move(answer));
}

void RouterCore::State::heartbeat(ConnectionId id, std::uint64_t number,
                                  std::span<const GroupListing> listings, TimeMs now) {
  Connection* connection = speaking(id);
  if (connection == nullptr) return;
  if (connection->phase == Phase::waiting) {
    // There are no groups yet to renew at; what it tells about generations is newer than the Hello.
    connection->listings.assign(listings.begin(), listings.end());
    return;
  }
  (void)now;
  take_listings(*connection, listings, number);
}

void RouterCore::State::bye(ConnectionId id, TimeMs now) {
  Connection* connection = speaking(id);
  if (connection == nullptr) return;
  if (connection->phase == Phase::waiting) return close(*connection, false, Status::ok, "bye");
  connection->phase = Phase::leaving;
  connection->since = now;
  for (std::uint32_t index = 0; index < connection->sessions.size(); ++index) {
    GroupSession& session = connection->sessions[index];
    if (session.state != SessionState::open && session.state != SessionState::opening) continue;
    session.beat_number = 0;
    groups_[index].closes.push_back(id);
    ++connection->closes_left;
  }
  if (connection->closes_left == 0) return close(*connection, false, Status::ok, "bye");
  leaving_.push_back(id);
}

void RouterCore::State::refuse(ConnectionId id, Status status, std::string message) {
  if (Connection* connection = get(id)) close(*connection, true, status, std::move(message));
}

void RouterCore::State::disconnect(ConnectionId id) {
  Connection* connection = get(id);
  if (connection == nullptr) return;
  forget(*connection);
  connection->phase = Phase::closed;
  retired_.push_back(connection->slot);
}

void RouterCore::State::close(Connection& connection, bool refused, Status status, std::string message) {
  ClientClose close;
  close.connection = connection.id();
  close.refused = refused;
  close.status = status;
  close.message = std::move(message);
  closes_.push_back(std::move(close));
  forget(connection);
  connection.phase = Phase::closed;
  retired_.push_back(connection.slot);
}

void RouterCore::State::forget(Connection& connection) {
  while (connection.first_pending != kNone) {
    Pending& pending = pending_.at(connection.first_pending);
    unlink(pending);
    pending_.remove(pending.slot);
  }
  if (connection.queries != 0) forget_queries(connection.id());
  auto found = by_base_.find(connection.base);
  if (found != by_base_.end() && found->second == connection.id()) by_base_.erase(found);
}

void RouterCore::State::free_slot(Connection& connection) {
  const std::uint32_t slot = connection.slot;
  const std::uint32_t life = connection.life;
  connection = Connection{};
  connection.slot = slot;
  connection.life = life;
  free_connections_.push_back(slot);
}

void RouterCore::State::mark(Connection& connection) {
  if (connection.delivered) {
    connection.notices.clear();
    connection.answers.clear();
    connection.delivered = false;
  }
  if (connection.dirty) return;
  connection.dirty = true;
  dirty_.push_back(connection.id());
}

void RouterCore::State::say(Connection& connection, SessionNotice notice) {
  mark(connection);
  connection.notices.push_back(std::move(notice));
}

void RouterCore::State::say(Connection& connection, Answer&& answer) {
  mark(connection);
  connection.answers.push_back(std::move(answer));
}

void RouterCore::State::expire_clients(TimeMs now) {
  while (!fresh_.empty()) {
    Connection* connection = get(fresh_.front());
    if (connection != nullptr && connection->phase == Phase::fresh) {
      if (connection->since + options_.hello_timeout_ms > now) break;
      close(*connection, true, Status::invalid_argument, "a connection begins with Hello; none came in time");
    }
    fresh_.pop_front();
  }
  std::erase_if(hello_waiting_, [&](ConnectionId id) {
    Connection* connection = get(id);
    if (connection == nullptr || connection->phase != Phase::waiting) return true;
    if (connection->since + options_.ready_timeout_ms > now) return false;
    close(*connection, true, Status::unavailable,
          "this router has not reached the coordinator yet: try another router");
    return true;
  });
  std::erase_if(leaving_, [&](ConnectionId id) {
    Connection* connection = get(id);
    if (connection == nullptr) return true;
    if (connection->closes_left != 0 && connection->since + options_.bye_timeout_ms > now) return false;
    close(*connection, false, Status::ok, "bye");
    return true;
  });
}

}  // namespace dlm::router
