// A group of replicas with a network, a coordinator and a clock that a test moves by hand. Plays the shell of
// each replica: carries out its outputs, keeps what was applied as a list of batches, sends snapshots of it
// in chunks. After every step it checks what must hold whatever happens; the first violation is kept.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "server/core/replica.h"

namespace dlm::server::test {

struct Touch {
  TimeMs sent_ms = 0;
};
struct ProposalResult {
  bool accepted = false;
};
struct TouchResult {
  bool ok = false;
  TimeMs sent_ms = 0;
};
struct View {
  VersionedConfig record;
  std::vector<MemberName> alive;
};
struct LinkDown {
  MemberName member;
  bool gone = false;
};
struct Synced {
  std::uint64_t records = 0;
};

// Something under way. `from` empty: the coordinator; `to` empty: the coordinator.
struct Event {
  MemberName from;
  MemberName to;
  std::variant<Append, Install, AppendReply, Proposal, Touch, ProposalResult, TouchResult, View, LinkDown,
               Synced>
      what;
  TimeMs sent_ms = 0;
  std::uint64_t life = 0;  // of the process that it belongs to; 0: to whoever has the name
};

class Cluster {
 public:
  // Servers are "s1", "s2", ...; none runs yet.
  explicit Cluster(ReplicaOptions options = {});

  // --- processes
  // Registered at once; in a new incarnation, but for one that has a disk: that goes on with what is on it.
  MemberName start(const std::string& server);
  // Its registration stays until unregister(). Of what its disk has not been told to be safe, only the first
  // `kept` records stay.
  void kill(const std::string& server, std::size_t kept = 0);
  void wipe(const std::string& server) { disks_.erase(server); }  // REQUIRES: it does not run
  // Its disk tells of nothing that it has done, until it goes on.
  void stall_disk(const std::string& server) { stalled_.insert(server); }
  void resume_disk(const std::string& server) { stalled_.erase(server); }
  void unregister(const MemberName& member);
  void freeze(const std::string& server) { frozen_.insert(server); }
  void thaw(const std::string& server) { frozen_.erase(server); }
  bool runs(const std::string& server) const { return nodes_.count(server) != 0; }
  Replica& operator[](const std::string& server) { return *nodes_.at(server).replica; }
  MemberName name(const std::string& server) const { return nodes_.at(server).name; }

  // --- the network and the coordinator
  // Cut links lose what is sent, in one direction, telling nobody. "zk" is the coordinator: what goes to and
  // from it waits until the link is whole again, as its client library tries again until it knows the
  // outcome.
  void cut(const std::string& from, const std::string& to) { cuts_.insert({from, to}); }
  void cut_both(const std::string& a, const std::string& b);
  void heal() { cuts_.clear(); }
  std::vector<Event>& events() { return events_; }
  // Whether an event waits for a link to the coordinator or for a frozen server.
  bool held(const Event& event) const;
  // Delivers (and removes) one event that is not held.
  void deliver(std::size_t index);
  void drop(std::size_t index, bool tell_sender);
  // Delivers all there is, oldest first, until only held ones are left.
  void settle();
  // Settles and lets time pass, ticking each replica when it asks for it.
  void run_for(TimeMs ms);
  // Only lets time pass and ticks.
  void pass(TimeMs ms);
  void publish();  // sends everybody the coordinator's state
  // As `dlm admin recover`: writes the record that begins the group anew; why it is refused, or empty.
  std::string give_up_the_set();
  const VersionedConfig& record() const { return record_; }
  const std::vector<MemberName>& alive() const { return alive_; }
  TimeMs now() const { return now_ms_; }

  // --- clients
  // False when the replica takes none now.
  bool append(const std::string& server, const std::string& text);
  std::uint64_t barrier(const std::string& server);
  bool step_down(const std::string& server, StepDown how = StepDown::stay_in_set);
  void want_lease(const std::string& server, std::uint32_t lease_ms);
  void end_recovery(const std::string& server);
  // Committed by the primary that appended it, so a client was told.
  bool acknowledged(const std::string& text) const { return acknowledged_.count(text) != 0; }
  bool passed(const std::string& server, std::uint64_t barrier) const;
  std::string serving() const;  // the server that serves; empty when none does
  std::vector<std::string> applied(const std::string& server) const;  // without the first entries of epochs
  std::size_t snapshots() const { return snapshots_installed_; }
  // The first thing that went wrong; empty: nothing did.
  const std::string& violation() const { return violation_; }
  std::string describe() const;

  bool frozen(const std::string& server) const { return frozen_.count(server) != 0; }
  bool connected(const std::string& from, const std::string& to) const {
    return cuts_.count({from, to}) == 0;
  }

 private:
  struct Snapshot {
    MemberName to;
    std::uint64_t base = 0;
    std::vector<Batch> table;
    std::size_t at = 0;
  };
  struct Node {
    MemberName name;
    std::unique_ptr<Replica> replica;
    std::uint64_t base = 0;                   // the index before the first of `table`
    std::vector<Batch> table;                 // what was applied
    std::vector<Batch> incoming;              // of a snapshot
    std::vector<Snapshot> snapshots;          // at most one
    std::map<std::uint64_t, Epoch> barriers;  // asked → the highest epoch that had committed then
    std::uint64_t barrier_passed = 0;
    std::map<LogIndex, std::string> own;  // appended in this reign
    std::uint64_t life = 0;
    std::deque<Event> held_replies;  // until the disk has what they acknowledge
  };
  // Of a server that has one: what was written, with the state that stood behind a reset.
  struct Disk {
    struct Written {
      LogRecord record;
      std::vector<Batch> table;
      std::uint64_t base = 0;
    };
    MemberName name;
    std::vector<Written> written;
    std::size_t before = 0;  // of these, from earlier lives
    std::size_t synced = 0;
  };

  RecoveredLog recover(const Disk& disk, Node& node) const;
  void write(Node& node, ReplicaOutput& out);
  void synced(Node& node, std::uint64_t records);
  void release_replies(Node& node);
  void carry_out(const std::string& server, ReplicaOutput& out);
  void act(const std::string& server, ReplicaOutput& out);
  void apply(Node& node, const Batch& batch);
  void on_role(Node& node, ReplicaOutput& again);
  void send_chunks(Node& node);
  void to_coordinator(const Event& event);
  void receive(Node& node, Event& event);
  void check(Node& node);
  void begin_anew();
  void fail(const std::string& what);
  std::string server_of(const MemberName& member) const { return member ? member.server : "zk"; }

  ReplicaOptions options_;
  TimeMs now_ms_ = 1'000;
  std::map<std::string, Node> nodes_;
  std::map<std::string, std::uint64_t> incarnations_;
  std::map<std::string, Disk> disks_;
  std::set<std::string> stalled_;
  std::uint64_t lives_ = 0;
  std::set<std::string> frozen_;
  std::set<std::pair<std::string, std::string>> cuts_;
  std::vector<Event> events_;

  VersionedConfig record_;
  std::vector<MemberName> alive_;
  std::map<MemberName, TimeMs> last_touch_ms_;  // when the last touch that arrived was sent

  std::map<LogIndex, Batch> committed_;  // by anybody
  std::map<Epoch, MemberName> epoch_owners_;
  std::set<std::string> acknowledged_;
  LogIndex acknowledged_index_;
  std::map<Epoch, LogIndex> acknowledged_in_;  // the highest acknowledged in each epoch
  Epoch committing_epoch_;                     // the highest in which a primary committed
  std::size_t snapshots_installed_ = 0;
  std::string violation_;
};

// s1 as primary with the others of s1, s2, ... in sync.
Cluster started(std::size_t servers, ReplicaOptions options = {});

}  // namespace dlm::server::test
