// The state behind RouterCore, and its steps; each of the .cc files beside it is one concern of it. Internal
// to router/core.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "router/core/lane.h"
#include "router/core/pending.h"
#include "router/core/router_core.h"
#include "router/core/routes.h"
#include "schema/service_rate.h"

namespace dlm::router {

enum class SessionState : std::uint8_t {
  none,     // this connection has not opened it
  opening,  // open_session is in a call
  open,     // the client knows it is
  ended,    // the group ended it; the client will come with the next generation
};

// A connection's session in one group.
struct GroupSession {
  std::uint32_t generation = 0;
  SessionState state = SessionState::none;
  bool beat_waiting = false;      // it is in its group's `beats`
  std::uint64_t beat_number = 0;  // the newest heartbeat that asks for its renewal
};

enum class Phase : std::uint8_t {
  free,
  fresh,    // nothing heard yet
  waiting,  // said Hello; there is no view yet
  ready,
  leaving,  // said bye
  closed,   // to be told in the next turn
};

struct Connection {
  Phase phase = Phase::free;
  std::uint32_t life = 0;  // uses of this slot
  std::uint32_t slot = 0;
  std::string client_id;
  std::string asked_cluster;           // waiting
  std::vector<GroupListing> listings;  // waiting
  std::uint64_t base = 0;
  std::uint32_t ttl_ms = 0;
  Sequence acked_below;
  TimeMs since = 0;                    // of the phase
  std::vector<GroupSession> sessions;  // by index of the group; may be shorter than the groups
  std::uint32_t first_pending = kNone;
  std::size_t pending = 0;
  std::size_t queries = 0;
  std::uint32_t closes_left = 0;  // leaving
  // What the next turn tells the client. Kept after it until the next addition, so that frames may borrow
  // from it.
  std::vector<SessionNotice> notices;
  std::vector<Answer> answers;
  bool dirty = false;
  bool delivered = false;

  ConnectionId id() const { return ConnectionId(std::uint64_t{life} << 32 | slot); }
};

// An operation of the router's own in a submit. Sequence 0, so at most one of a session in each submit.
struct Internal {
  enum class Kind : std::uint8_t { open, beat, close };
  Kind kind = Kind::open;
  ConnectionId connection;
  SessionId session;
  std::uint32_t generation = 0;
  std::uint64_t cause = 0;
};

struct Call {
  CallId id;
  ServerId server;
  TimeMs sent_at = 0;
  std::vector<PendingRef> operations;
  std::vector<Internal> internals;
};

struct Group {
  GroupId id;
  std::uint32_t index = 0;
  ServerId server;  // of the configuration's primary; none: there is none
  Lane urgent;      // waits to be sent: what is no acquire
  Lane acquires;    // likewise; behind the other when they do not all fit into a submit
  ServiceRate rate;
  std::vector<ConnectionId> beats;
  std::vector<ConnectionId> closes;
  std::vector<Call> calls;
  TimeMs retry_at = 0;
  std::uint32_t pause_ms = 0;
  TimeMs deadline =
      kNever;            // when what waits or is in flight is to be looked at for deadlines that have passed
  TimeMs looked_at = 0;  // when that was done last
  TimeMs beats_at = 0;   // when heartbeats alone may leave
  TimeMs ask_backups_at = 0;  // not before
  bool troubled = false;
  TimeMs troubled_since = 0;
  std::string trouble;
  std::string put_off_why;  // the latest such refusal

  std::size_t waits() const { return urgent.size() + acquires.size(); }
  std::size_t in_flight() const;
  Lane& lane_of(OperationKind kind);
};

// Goes before acquires: it gives back, keeps alive or withdraws something.
bool is_urgent(OperationKind kind);
inline Lane& Group::lane_of(OperationKind kind) {
  return is_urgent(kind) ? urgent : acquires;
}

// When something parked is to be looked at; it may have left by then.
struct Parked {
  TimeMs at = 0;
  PendingRef ref;
};

// The operations on one resource whose arc is on its way. They are asked again together, and what comes
// meanwhile stands behind them, so that none overtakes another.
struct Line {
  TimeMs retry_at = 0;
  std::uint32_t length = 0;
};

struct Server {
  ServerId id;
  coordinator::MemberName name;
  std::string address;
  bool up = false;
  std::string why;  // not up
};

struct PendingQuery {
  ConnectionId connection;
  std::uint64_t id = 0;  // the client's
  Query query;
  TimeMs deadline = 0;
  TimeMs retry_at = 0;
  std::uint32_t pause_ms = 0;
  CallId call;  // none: it waits
  ServerId server;
  std::uint64_t assembly = 0;  // part of a report on several groups
  std::string trouble;
  std::uint32_t moved_by = kNone;  // inspect: the group that said last that it does not own the resource
  unsigned moved = 0;              // inspect: how often it was told so
  coordinator::RingRecord ring;    // change_ring: what is being written
  RecoveryReport recovery;         // recover: what is told when it was written
};

// A report on several groups that is being put together.
struct Assembly {
  ConnectionId connection;
  std::uint64_t id = 0;
  std::variant<ClusterReport, RingReport> report;
  std::size_t parts_left = 0;
};

inline constexpr TimeMs kLookMs = 20;  // for deadlines that have passed, in a group: at least so far apart
inline constexpr std::size_t kKeptAnswers = 16;  // the memory of so many is kept for the next time
inline constexpr const char* kNoView = "this router has not reached the coordinator yet";
QueryReport refusal(Status status, std::string message);
// Of a write of a record that was not accepted: "the ring", "the ring was changed".
QueryReport refused_write(coordinator::WriteResult result, const std::string& record,
                          const std::string& what_was_asked);

class RouterCore::State {
 public:
  explicit State(const RouterOptions& options) : options_(options) {}

  // clients.cc
  ConnectionId connect(TimeMs now);
  void hello(ConnectionId id, const Hello& hello, TimeMs now);
  void operations(ConnectionId id, Sequence acked_below, std::span<const Operation> list, TimeMs now);
  void heartbeat(ConnectionId id, std::uint64_t number, std::span<const GroupListing> listings, TimeMs now);
  void bye(ConnectionId id, TimeMs now);
  void refuse(ConnectionId id, Status status, std::string message);
  void disconnect(ConnectionId id);

  // groups.cc
  void view(const coordinator::ClusterView& view, TimeMs now);
  void link_up(ServerId id, TimeMs now);
  void link_down(ServerId id, bool gone, const std::string& why, TimeMs now);
  void submit_failed(CallId id, const std::string& why, TimeMs now);

  // answers.cc
  void submitted(CallId id, std::vector<Answer>&& answers, TimeMs now);
  void late_answers(ServerId server, GroupId group, std::vector<Answer>&& answers, TimeMs now);

  // queries.cc
  void query(ConnectionId id, std::uint64_t number, std::uint32_t deadline_ms, Query query, TimeMs now);
  void queried(CallId id, bool reached, QueryReport&& report, TimeMs now);

  // ring_queries.cc
  void ring_written(CallId id, coordinator::WriteResult result, TimeMs now);
  // recovery_queries.cc
  void group_written(CallId id, coordinator::WriteResult result);

  // router_core.cc
  void turn(TimeMs now, RouterOutput& output);
  TimeMs next_turn() const;
  const Routes& routes() const { return routes_; }
  RouterStats stats() const {
    return {connections_.size() - free_connections_.size(), pending_.size(), pending_.bytes(),
            queries_.size(), refused_};
  }

 private:
  struct Verdict {
    TimeMs now = 0;
    std::vector<PendingRef> back;  // to be sent again
    // Sessions (by connection slot) whose opening was refused in this call, with the group's words.
    boost::unordered_flat_map<std::uint32_t, Answer> refused;
    // Likewise those whose opening was put off.
    boost::unordered_flat_map<std::uint32_t, Answer> put_off;
    std::string trouble;  // not empty: the group asks to be asked later
    bool served = false;
  };

  // --- clients.cc ---
  Connection* get(ConnectionId id);
  // The connection if operations, heartbeats and queries are expected of it; else it is refused where that is
  // due.
  Connection* speaking(ConnectionId id);
  GroupSession& session(Connection& connection, std::uint32_t group);
  void admit(Connection& connection, TimeMs now);
  void take_listings(Connection& connection, std::span<const GroupListing> listings, std::uint64_t beat);
  void close(Connection& connection, bool refused, Status status, std::string message);
  void forget(Connection& connection);
  void free_slot(Connection& connection);
  void mark(Connection& connection);
  void say(Connection& connection, SessionNotice notice);
  void say(Connection& connection, Answer&& answer);
  void refuse_operation(Connection& connection, const Operation& op, Status status, std::string message);
  bool check(Connection& connection, const Operation& op);
  void expire_clients(TimeMs now);

  // --- admission.cc ---
  bool waits_too_long(const Group& group, const Connection& connection, const Operation& op) const;
  // Whether there is room for an operation from a client; else it is answered "overloaded".
  bool admit(Connection& connection, const Operation& op, std::uint64_t hash, TimeMs now);

  // --- groups.cc ---
  Group* group_of(GroupId id);  // null: not of this cluster
  Group& add_group(GroupId id, TimeMs now);
  Server* server_of(ServerId id);
  void follow_servers(const coordinator::ClusterView& view, TimeMs now);
  void follow_primary(Group& group, TimeMs now);
  void admit_waiting(TimeMs now);
  bool reachable(const Group& group);
  // Everything that was with the group's primary is to be sent again.
  void withdraw(Group& group);
  void withdraw_call(Group& group, Call& call, std::vector<PendingRef>& back);
  void pause(Group& group, TimeMs now);
  void trouble(Group& group, std::string why, TimeMs now);
  void well(Group& group);
  Call* find_call(CallId id, Group*& group);

  // --- placing.cc ---
  void follow_ring();
  // Who owns the hash, as far as is known; but not `moved_by`, who has said that it does not, when there is
  // another. Null: nobody.
  Group* whom_to_ask(std::uint64_t hash, std::uint32_t moved_by);
  Group* home_of(const Pending& pending);  // where it is to be asked now; null: nowhere
  // Gives it its group and session; null: there is no place now, so it is parked, or it was answered.
  Group* assign(Pending& pending);
  void place(Pending& pending);                     // in its group's queue, or parked; may answer at once
  void place_again(std::vector<PendingRef>& back);  // likewise, in the order in which they arrived
  void park(Pending& pending, TimeMs retry_at);
  void stand_in_line(Pending& pending, TimeMs retry_at);
  void leave_line(Pending& pending);
  void moved(Group& group, Pending& pending, Verdict& verdict);
  std::uint32_t reroute_pause(unsigned moved) const;  // after so many vain rounds
  void wake_parked(TimeMs now);
  std::string describe_way(std::uint64_t hash, const Group& group) const;

  // --- sending.cc ---
  void expire_group(Group& group, TimeMs now);
  void expire(Pending& pending, TimeMs now);
  void turn_away(Group& group, Pending& pending, TimeMs now);
  std::string describe(const Group& group, TimeMs now) const;
  std::string describe_loss(GroupId group) const;  // empty: some of its in-sync set lives
  void time_out_calls(Group& group, TimeMs now, RouterOutput& output);
  bool can_send(const Group& group, TimeMs now);
  TimeMs ask_backups_at(const Group& group) const;
  void ask_backups(Group& group, TimeMs now, RouterOutput& output);
  void send(Group& group, TimeMs now, RouterOutput& output);
  Lane* next_lane(Group& group, bool all_fit, TimeMs now);
  bool waits_in(const Group& group, const Pending* pending) const;
  void take_operations(Group& group, TimeMs now, Call& call, Submit& submit);
  void take_beats(Group& group, Call& call, Submit& submit);
  void take_closes(Group& group, Call& call, Submit& submit);

  // --- answers.cc ---
  void internal_answers(Group& group, const Call& call, std::vector<Answer>& answers, Verdict& verdict);
  void internal_answer(Group& group, const Internal& internal, Answer& answer, Verdict& verdict);
  void operation_answer(Group& group, Pending& pending, Answer&& answer, Verdict& verdict);
  void put_off(Group& group, Pending& pending, const Answer& refusal, std::uint32_t retry_ms, TimeMs now);
  void session_unknown(Group& group, Pending& pending, Answer&& answer, Verdict& verdict);
  void end_session(Group& group, Connection& connection, std::uint32_t generation, std::uint64_t cause,
                   std::vector<PendingRef>& back);
  void undo(Group& group, const Internal& internal);
  void finish(Pending& pending, Answer&& answer);
  void finish(Pending& pending, Status status, std::string message);
  void unlink(Pending& pending);

  // --- queries.cc ---
  GroupReport report_of(GroupId group) const;  // by the view
  void begin_status(Connection& connection, std::uint64_t number, TimeMs deadline, TimeMs now);
  std::uint64_t begin_query(Connection& connection, std::uint64_t number, TimeMs deadline, Query&& query);
  // Asks each group for its part. Without groups it is complete.
  void assemble(Connection& connection, Assembly&& assembly, const std::vector<GroupId>& groups,
                TimeMs deadline, TimeMs now);
  const Group* target_of(const PendingQuery& query);
  void send_query(std::uint64_t key, PendingQuery& query, TimeMs now, RouterOutput& output);
  void send_queries(TimeMs now, RouterOutput& output);
  void retry_query(std::uint64_t key, PendingQuery& query, std::string why, TimeMs now);
  void ask_again(std::uint64_t key, PendingQuery& query, std::string why, TimeMs at);
  void finish_query(std::uint64_t key, QueryReport&& report);
  void query_moved(std::uint64_t key, PendingQuery& query, std::string why, TimeMs now);
  void finish_part(const PendingQuery& query, QueryReport&& report);
  void finish_assembly(Assembly& assembly);
  std::string describe_delay(const PendingQuery& query, TimeMs now);
  void fail_queries(ServerId server, const std::string& why, TimeMs now);
  void expire_queries(TimeMs now);
  void forget_queries(ConnectionId connection);

  // --- ring_queries.cc ---
  void ring_query(Connection& connection, std::uint64_t number, TimeMs deadline, Query& query, TimeMs now);
  QueryReport place_of(const std::string& resource) const;
  void begin_ring(Connection& connection, std::uint64_t number, TimeMs deadline,
                  const coordinator::RingRecord& ring, TimeMs now);
  void begin_change(Connection& connection, std::uint64_t number, TimeMs deadline, Query& query, TimeMs now);
  static void estimate(RingReport& report);  // of its flows: locks and waiters

  // --- recovery_queries.cc ---
  void begin_recovery(Connection& connection, std::uint64_t number, TimeMs deadline, Query& query);

  // --- router_core.cc ---
  void deliver(RouterOutput& output);
  TimeMs next_turn(const Group& group) const;
  CallId next_call(std::uint32_t group) { return CallId(++calls_ << 16 | group); }

  RouterOptions options_;
  Routes routes_;

  std::deque<Connection> connections_;
  std::vector<std::uint32_t> free_connections_;
  boost::unordered_flat_map<std::uint64_t, ConnectionId> by_base_;
  std::deque<ConnectionId> fresh_;  // in order of acceptance; may name connections that spoke or went
  std::vector<ConnectionId> hello_waiting_;
  std::vector<ConnectionId> leaving_;
  std::vector<ConnectionId> dirty_;
  std::vector<ConnectionId> welcomes_;
  std::vector<ClientClose> closes_;
  // Slots of closed connections. The frames of the next turn still borrow from them, so they are free the
  // turn after.
  std::vector<std::uint32_t> retired_;
  std::vector<std::uint32_t> freeing_;
  std::vector<ConnectionId> bulky_;  // were told much in the last turn

  PendingTable pending_;
  std::uint64_t refused_ = 0;                             // operations, as overloaded
  std::vector<Parked> parked_;                            // a heap, the earliest in front
  boost::unordered_flat_map<std::uint64_t, Line> lines_;  // by the hash of the resource

  std::deque<Group> groups_;
  std::map<GroupId, std::uint32_t> group_index_;
  std::map<ServerId, Server> servers_;
  std::map<coordinator::MemberName, ServerId> server_index_;
  std::uint32_t last_server_ = 0;
  std::vector<LinkChange> links_;
  std::uint64_t calls_ = 0;

  std::map<std::uint64_t, PendingQuery> queries_;
  std::map<CallId, std::uint64_t> query_calls_;
  std::map<std::uint64_t, Assembly> assemblies_;
  std::vector<std::uint64_t> queries_waiting_;
  std::vector<RingWrite> ring_writes_;
  std::vector<GroupWrite> group_writes_;
  std::vector<ClientReport> reports_;
  TimeMs queries_deadline_ = kNever;
  std::uint64_t last_query_ = 0;
};

}  // namespace dlm::router
