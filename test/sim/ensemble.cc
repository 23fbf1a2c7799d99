#include "test/sim/ensemble.h"

#include <algorithm>
#include <utility>

namespace dlm::sim {

using Code = CoordinatorReply::Code;
using Kind = CoordinatorRequest::Kind;

Ensemble::Ensemble(World& world, Network& network, const coordinator::RingRecord& ring)
    : Process(world, "zk", Clock(Clock::Kind::monotonic, 0, 0)), network_(network) {
  view_.cluster = "sim";
  view_.ring = ring;
}

// --- faults ----------------------------------------------------------------------------------------------

void Ensemble::go_away() {
  if (std::exchange(away_, true)) return;
  world_.note(name(), "goes away");
  for (const auto& [link, id] : std::exchange(links_, {})) network_.close(link, *this);
  for (auto& [id, session] : sessions_) session.link = LinkId();
}

// A new leader gives each session its whole time again.
void Ensemble::come_back() {
  if (!std::exchange(away_, false)) return;
  world_.note(name(), "comes back");
  for (auto& [id, session] : sessions_) session.heard_at = world_.now();
}

void Ensemble::expire_session_of(const std::string& process) {
  for (const auto& [id, session] : sessions_) {
    if (session.process == process) return end_session(id);
  }
}

bool Ensemble::loses_answer(const CoordinatorRequest& request, bool before) {
  if (request.kind != Kind::write || lost_percent_ == 0 || !world_.random.percent(lost_percent_))
    return false;
  world_.note(name(), before ? "drops a write" : "drops the answer to a write");
  return true;
}

// --- sessions --------------------------------------------------------------------------------------------

Ensemble::Session* Ensemble::session_of(LinkId link) {
  auto found = links_.find(link);
  return found == links_.end() ? nullptr : &sessions_.at(found->second);
}

void Ensemble::attach(LinkId link, const CoordinatorRequest& request, CoordinatorReply& reply) {
  if (request.session != 0 && !sessions_.contains(request.session)) {
    reply.code = Code::expired;
    return;
  }
  const bool is_new = request.session == 0;
  const std::uint64_t id = is_new ? ++last_session_ : request.session;
  Session& session = sessions_[id];
  if (session.link) {
    links_.erase(session.link);
    network_.close(session.link, *this);
  }
  session.id = id;
  session.link = link;
  session.watches.clear();
  session.heard_at = world_.now();
  links_[link] = id;
  reply.session = id;
  if (!is_new) return;
  // Whose session it is, and its time-out, come along with the first attach.
  session.timeout = request.number * kMs;
  if (const auto* server = std::get_if<coordinator::ServerMember>(&request.member)) {
    session.process = server->address;
  } else if (const auto* router = std::get_if<coordinator::RouterMember>(&request.member)) {
    session.process = router->id;
  }
  watch_for_silence(id);
}

void Ensemble::watch_for_silence(std::uint64_t id) {
  const Session& session = sessions_.at(id);
  const TimeUs due = session.heard_at + session.timeout;
  world_.at(std::max(due, world_.now() + 10 * kMs), [this, id] {
    auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    const bool silent = world_.now() >= found->second.heard_at + found->second.timeout;
    if (silent && !away_) return end_session(id);
    watch_for_silence(id);
  });
}

void Ensemble::end_session(std::uint64_t id) {
  Session session = std::move(sessions_.at(id));
  world_.note(name(), "the session of " + session.process + " ends");
  sessions_.erase(id);
  if (session.link) {
    links_.erase(session.link);
    network_.close(session.link, *this);
  }
  for (const std::string& server : session.servers) {
    view_.servers.erase(server);
    server_sessions_.erase(server);
  }
  for (const std::string& router : session.routers) {
    view_.routers.erase(router);
    router_sessions_.erase(router);
  }
  if (!session.servers.empty()) changed({Part::Kind::servers, {}});
  if (!session.routers.empty()) changed({Part::Kind::routers, {}});
}

void Ensemble::on_closed(LinkId link) {
  Session* session = session_of(link);
  if (session == nullptr) return;
  session->link = LinkId();
  links_.erase(link);
}

// --- requests --------------------------------------------------------------------------------------------

void Ensemble::on_message(LinkId link, Message&& message) {
  const auto* request = std::get_if<CoordinatorRequest>(&message);
  if (request == nullptr || away_) return;
  CoordinatorReply reply;
  reply.request = request->request;
  if (request->kind == Kind::attach) {
    attach(link, *request, reply);
    return network_.send(link, *this, std::move(reply));
  }
  Session* session = session_of(link);
  if (session == nullptr) return network_.close(link, *this);
  session->heard_at = world_.now();
  const auto drop = [&] {
    session->link = LinkId();
    links_.erase(link);
    network_.close(link, *this);
  };
  if (loses_answer(*request, true)) return drop();
  switch (request->kind) {
    case Kind::read:
      read(*session, request->part, reply);
      break;
    case Kind::write:
      write(*session, *request, reply);
      break;
    case Kind::read_note:
      reply.number = session->notes[request->group].number;
      reply.note_version = session->notes[request->group].version;
      break;
    case Kind::fence:
      fence(*session, *request, reply);
      break;
    case Kind::enlist:
      enlist(*session, *request, reply);
      break;
    default:
      break;  // a ping or a touch: that it was heard is all
  }
  if (loses_answer(*request, false)) return drop();
  network_.send(link, *this, std::move(reply));
}

void Ensemble::read(Session& session, const Part& part, CoordinatorReply& reply) {
  session.watches.insert(part);
  reply.part = part;
  reply.view.cluster = view_.cluster;
  switch (part.kind) {
    case Part::Kind::ring:
      reply.view.ring = view_.ring;
      break;
    case Part::Kind::servers:
      reply.view.servers = view_.servers;
      break;
    case Part::Kind::routers:
      reply.view.routers = view_.routers;
      break;
    case Part::Kind::group: {
      auto found = view_.groups.find(part.group);
      if (found != view_.groups.end()) reply.view.groups.insert(*found);
      break;
    }
  }
}

// The record and the note of the session in one transaction, as coordinator/zookeeper_writer.cc writes them.
void Ensemble::write(Session& session, const CoordinatorRequest& request, CoordinatorReply& reply) {
  auto found = view_.groups.find(request.group);
  std::int64_t version = found == view_.groups.end() ? 0 : found->second.version;
  if (!request.group) version = static_cast<std::int64_t>(view_.ring.version);
  Note& note = session.notes[request.group];
  if (version != request.expected) {
    reply.code = Code::bad_version;
  } else if (note.version != request.note_version) {
    reply.code = Code::bad_note;
  } else {
    note = {request.number, note.version + 1};
    request.group ? write_group(request) : write_ring(request);
  }
}

void Ensemble::write_group(const CoordinatorRequest& request) {
  coordinator::VersionedConfig& record = view_.groups[request.group];
  const coordinator::VersionedConfig before = record;
  record = {before.version + 1, request.config};
  world_.note(name(), to_string(request.group) + " " + to_json(record.config));
  if (observer_) observer_(request.group, before, record);
  changed({Part::Kind::group, request.group});
}

void Ensemble::write_ring(const CoordinatorRequest& request) {
  const std::uint64_t before = view_.ring.version;
  view_.ring = request.ring;
  view_.ring.version = before + 1;
  world_.note(name(), "ring " + std::to_string(before + 1) + " " + to_json(view_.ring));
  changed({Part::Kind::ring, {}});
}

// Makes sure that a write that may still be on its way will not be done.
void Ensemble::fence(Session& session, const CoordinatorRequest& request, CoordinatorReply& reply) {
  Note& note = session.notes[request.group];
  if (note.version != request.note_version) {
    reply.code = Code::bad_note;
  } else {
    note = {0, note.version + 1};
  }
}

void Ensemble::enlist(Session& session, const CoordinatorRequest& request, CoordinatorReply& reply) {
  if (const auto* server = std::get_if<coordinator::ServerMember>(&request.member)) {
    auto [owner, added] = server_sessions_.try_emplace(server->name.server, session.id);
    if (!added && owner->second != session.id) {
      reply.code = Code::taken;
      return;
    }
    session.servers.insert(server->name.server);
    view_.servers[server->name.server] = *server;
    changed({Part::Kind::servers, {}});
  } else if (const auto* router = std::get_if<coordinator::RouterMember>(&request.member)) {
    auto [owner, added] = router_sessions_.try_emplace(router->id, session.id);
    if (!added && owner->second != session.id) {
      reply.code = Code::taken;
      return;
    }
    session.routers.insert(router->id);
    view_.routers[router->id] = *router;
    changed({Part::Kind::routers, {}});
  }
}

void Ensemble::changed(const Part& part) {
  for (auto& [id, session] : sessions_) {
    if (!session.link || session.watches.erase(part) == 0) continue;
    world_.after(world_.random.below(watch_delay_ + 1), [this, id = id, part, link = session.link] {
      auto found = sessions_.find(id);
      if (found != sessions_.end() && found->second.link == link) network_.send(link, *this, Changed{part});
    });
  }
}

}  // namespace dlm::sim
