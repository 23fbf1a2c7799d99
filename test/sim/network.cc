#include "test/sim/network.h"

#include <algorithm>
#include <utility>

namespace dlm::sim {
namespace {

constexpr TimeUs kRetransmit = 200 * kMs;     // how soon after a mend the held back comes through, at most
constexpr TimeUs kTcpPatience = 8 * kSecond;  // then the sender's kernel gives up
constexpr TimeUs kConnectTime = 50;

}  // namespace

void Network::add(Process& process) {
  process.set_node(static_cast<NodeId>(processes_.size()));
  processes_.push_back(&process);
  if (processes_.size() > kNodesMax) world_.violated("more processes than the network has room for");
}

Process* Network::find(const std::string& name) {
  for (Process* process : processes_)
    if (process->name() == name) return process;
  return nullptr;
}

TimeUs Network::delay(const Process& from, const Process& to) {
  return delays_.base_us + world_.random.below(delays_.jitter_us + 1) + extra(from.node(), to.node());
}

int Network::side_of(const Connection& connection, const Process& process) const {
  return connection.ends[0].process == &process ? 0 : 1;
}

void Network::connect(Process& from, Endpoint& origin, const std::string& to, Connected done) {
  Process* target = find(to);
  if (target == nullptr || is_cut(from, *target)) return;
  const std::uint64_t life = from.life();
  world_.after(
      delay(from, *target) + kConnectTime, [this, &from, &origin, target, life, done = std::move(done)] {
        if (is_cut(*target, from) || !from.alive() || from.life() != life) return;
        Endpoint* acceptor = target->alive() ? target->acceptor() : nullptr;
        const TimeUs back = delay(*target, from);
        if (acceptor == nullptr) {
          world_.after(
              back, [&from, life, done] { from.enter(life, [done] { done(Outcome::refused, LinkId()); }); });
          return;
        }
        Connection& connection = connections_.emplace_back();
        const LinkId link(connections_.size());
        connection.ends[0].process = &from;
        connection.ends[0].life = life;
        connection.ends[1].process = target;
        connection.ends[1].life = target->life();
        connection.ends[1].endpoint = acceptor;
        // Until it is told, whoever connects may give up and be gone.
        End& end = connection.ends[0];
        world_.after(back, [&from, &origin, &end, life, done, link] {
          from.enter(life, [&origin, &end, done, link] {
            end.endpoint = &origin;
            done(Outcome::established, link);
          });
        });
      });
}

void Network::send(LinkId link, const Process& from, Message message) {
  Connection& connection = connections_[link.value - 1];
  const int side = side_of(connection, from);
  if (!connection.ends[side].open) return;
  End& to = connection.ends[1 - side];
  to.last_due = std::max(to.last_due, world_.now() + delay(from, *to.process));
  if (world_.trace.wanted()) world_.tell(from.name(), "→ " + to.process->name() + "  " + describe(message));
  to.arriving.emplace_back(to.last_due, std::move(message));
  world_.at(to.last_due, [this, link, side] { pump(link, 1 - side); });
}

void Network::close(LinkId link, const Process& from) {
  if (over_) return;
  Connection& connection = connections_[link.value - 1];
  const int side = side_of(connection, from);
  if (!connection.ends[side].open) return;
  connection.ends[side].open = false;
  connection.ends[side].arriving.clear();
  End& to = connection.ends[1 - side];
  to.closing = true;
  to.last_due = std::max(to.last_due, world_.now() + delay(from, *to.process));
  world_.at(to.last_due, [this, link, side] { pump(link, 1 - side); });
}

// Whether the way to this end is cut now. Then it is looked at again later, until the sender gives up.
bool Network::held_back(LinkId link, Connection& connection, int to) {
  End& end = connection.ends[to];
  const Process& from = *connection.ends[1 - to].process;
  if (!is_cut(from, *end.process)) {
    end.stalled_since = 0;
    return false;
  }
  if (end.stalled_since == 0) {
    end.stalled_since = world_.now();
  } else if (world_.now() - end.stalled_since > kTcpPatience) {
    end.stalled_since = 0;
    end.arriving.clear();
    shut(link, 1 - to, 0);
    shut(link, to, kTcpPatience);  // by its own keep-alive probes
    return true;
  }
  world_.after(kRetransmit / 2 + world_.random.below(kRetransmit / 2), [this, link, to] { pump(link, to); });
  return true;
}

// Brings an end what has come for it by now.
void Network::pump(LinkId link, int to) {
  Connection& connection = connections_[link.value - 1];
  End& end = connection.ends[to];
  if (end.stalled_since != 0 && is_cut(*connection.ends[1 - to].process, *end.process) &&
      world_.now() - end.stalled_since <= kRetransmit / 4)
    return;  // the look that is due soon does it
  while (end.open && !end.arriving.empty() && end.arriving.front().first <= world_.now()) {
    if (held_back(link, connection, to)) return;
    Process& from = *connection.ends[1 - to].process;
    if (!end.process->alive() || end.process->life() != end.life) {
      end.open = false;
      end.arriving.clear();
      shut(link, 1 - to, delay(*end.process, from));  // a reset
      return;
    }
    Message message = std::move(end.arriving.front().second);
    end.arriving.pop_front();
    if (filter_ && !filter_(from, *end.process, message)) {
      reset_connections_between(from, *end.process);
      return;
    }
    deliver(link, end, std::move(message));
  }
  if (end.open && end.closing && end.arriving.empty() && world_.now() >= end.last_due) {
    if (!held_back(link, connection, to)) shut(link, to, 0);
  }
}

void Network::deliver(LinkId link, End& end, Message&& message) {
  world_.trace.mix(world_.now() ^ (link.value << 40) ^ (std::uint64_t{message.index()} << 32));
  if (!end.process->frozen()) return end.endpoint->on_message(link, std::move(message));
  auto kept = std::make_shared<Message>(std::move(message));
  end.process->hold([this, link, &end, kept] {
    if (end.open) end.endpoint->on_message(link, std::move(*kept));
  });
}

// This end learns that the connection is over.
void Network::shut(LinkId link, int side, TimeUs delay) {
  End& end = connections_[link.value - 1].ends[side];
  if (!end.open) return;
  world_.after(delay, [this, link, side, &end] {
    if (!end.open) return;
    const bool is_over = !end.process->alive() || end.process->life() != end.life;
    if (end.endpoint == nullptr && !is_over) return shut(link, side, kMs);  // it does not know of it yet
    end.process->enter(end.life, [link, &end] {
      if (!end.open) return;
      end.open = false;
      end.arriving.clear();
      end.endpoint->on_closed(link);
    });
  });
}

void Network::reset_connections_between(const Process& a, const Process& b) {
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    End* ends = connections_[i].ends;
    const bool theirs =
        (ends[0].process == &a && ends[1].process == &b) || (ends[0].process == &b && ends[1].process == &a);
    if (!theirs || (!ends[0].open && !ends[1].open)) continue;
    for (int side = 0; side < 2; ++side) {
      ends[side].arriving.clear();
      shut(LinkId(i + 1), side, world_.random.below(2 * kMs));
    }
  }
}

void Network::process_died(const Process& process, bool power_lost) {
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    for (int side = 0; side < 2; ++side) {
      End& end = connections_[i].ends[side];
      if (end.process != &process || !end.open) continue;
      end.open = false;
      end.arriving.clear();
      End& other = connections_[i].ends[1 - side];
      if (power_lost) {
        other.arriving.clear();
        shut(LinkId(i + 1), 1 - side, kTcpPatience);  // nobody answers its keep-alive probes
        continue;
      }
      other.closing = true;
      other.last_due = std::max(other.last_due, world_.now() + delay(process, *other.process));
      world_.at(other.last_due, [this, link = LinkId(i + 1), side] { pump(link, 1 - side); });
    }
  }
}

}  // namespace dlm::sim
