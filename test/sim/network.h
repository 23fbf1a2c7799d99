// Connections between processes, as TCP gives them: ordered and whole while they last; a path that is cut
// holds back what was sent, and breaks the connection when that lasts too long; a process that died resets
// it, a host that died says nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/sim/messages.h"
#include "test/sim/process.h"

namespace dlm::sim {

// Never given twice. Zero: none.
using LinkId = StrongInt<struct LinkIdTag, std::uint64_t>;

// One end of connections. Called in its process's life and never while that stands still.
class Endpoint {
 public:
  virtual void on_message(LinkId link, Message&& message) = 0;
  // The other end, or the way, is gone. Nothing more comes of this link.
  virtual void on_closed(LinkId link) = 0;

 protected:
  ~Endpoint() = default;
};

class Network {
 public:
  struct Delays {
    TimeUs base_us = 100;
    TimeUs jitter_us = 100;
  };
  Network(World& world, const Delays& delays) : world_(world), delays_(delays) {}

  void add(Process& process);
  Process* find(const std::string& name);
  const std::vector<Process*>& processes() const { return processes_; }

  enum class Outcome { established, refused };
  using Connected = std::function<void(Outcome, LinkId)>;
  // No call of `done` at all when the way is cut: the caller has a deadline. Accepted by the host, not the
  // process, so also while that stands still.
  void connect(Process& from, Endpoint& origin, const std::string& to, Connected done);
  void send(LinkId link, const Process& from, Message message);
  void close(LinkId link, const Process& from);
  // The simulation is over: nothing is told to anybody any more.
  void end() { over_ = true; }

  // --- faults. Cuts of one direction count: each needs its mend(). ---
  void cut(const Process& from, const Process& to) { ++blocked(from.node(), to.node()); }
  void mend(const Process& from, const Process& to) { --blocked(from.node(), to.node()); }
  bool is_cut(const Process& from, const Process& to) { return blocked(from.node(), to.node()) > 0; }
  void slow_down(const Process& from, const Process& to, TimeUs delay) {
    extra(from.node(), to.node()) = delay;
  }
  // Both ends see the connection break; what was on its way is lost.
  void reset_connections_between(const Process& a, const Process& b);
  // Its kernel resets them all. Without power nobody is told, until it answers again.
  void process_died(const Process& process, bool power_lost);

  // Asked for each message just before it arrives; false: it does not, and its connection breaks.
  using Filter = std::function<bool(Process& from, Process& to, const Message&)>;
  void set_filter(Filter filter) { filter_ = std::move(filter); }

 private:
  struct End {
    Process* process = nullptr;
    std::uint64_t life = 0;
    Endpoint* endpoint = nullptr;  // null: its process does not know yet that the connection is there
    bool open = true;
    std::deque<std::pair<TimeUs, Message>> arriving;
    bool closing = false;  // the other end has closed: told after what arrives before
    TimeUs last_due = 0;
    TimeUs stalled_since = 0;  // 0: not
  };
  struct Connection {
    End ends[2];
  };

  TimeUs delay(const Process& from, const Process& to);
  int side_of(const Connection& connection, const Process& process) const;
  void pump(LinkId link, int to);
  bool held_back(LinkId link, Connection& connection, int to);
  void deliver(LinkId link, End& end, Message&& message);
  void shut(LinkId link, int side, TimeUs delay);
  std::int32_t& blocked(NodeId from, NodeId to) { return blocked_[from * kNodesMax + to]; }
  TimeUs& extra(NodeId from, NodeId to) { return extra_[from * kNodesMax + to]; }

  static constexpr std::size_t kNodesMax = 64;
  World& world_;
  Delays delays_;
  Filter filter_;
  std::vector<Process*> processes_;
  std::deque<Connection> connections_;  // by id - 1; addresses stay
  std::vector<std::int32_t> blocked_ = std::vector<std::int32_t>(kNodesMax * kNodesMax, 0);
  std::vector<TimeUs> extra_ = std::vector<TimeUs>(kNodesMax * kNodesMax, 0);
  bool over_ = false;
};

}  // namespace dlm::sim
