// What a router decides: where each operation goes, what leaves together, what is sent again and when, which
// sessions are opened, what each client is told. Pure: no socket, clock, thread or randomness. Inputs change
// the state; turn() then says what to do. The shell (router_process) and the simulator drive it the same way:
//
//     core.operations(…); core.submitted(…);        everything that came in this turn of the loop
//     core.turn(now, output);                       once
//     … do what `output` says, field by field …
//     call turn() again at core.next_turn() at the latest
//
// A router keeps nothing that its death could lose: each operation stays with the client, too, until its
// final answer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "coordinator/coordinator.h"
#include "schema/limits.h"
#include "schema/operation.h"
#include "schema/report.h"
#include "schema/types.h"

namespace dlm::router {

using TimeMs = std::uint64_t;  // monotonic, of the process that passes it in
inline constexpr TimeMs kNever = UINT64_MAX;

// A client's connection. Never given twice.
using ConnectionId = StrongInt<struct ConnectionTag, std::uint64_t>;
// A server process of one life (member name), from 1. Never given twice.
using ServerId = StrongInt<struct ServerTag, std::uint32_t>;
// A submit, a query or a write of a record that is out. Never given twice.
using CallId = StrongInt<struct CallTag, std::uint64_t>;

struct RouterOptions {
  std::size_t connections_max = 16'384;
  std::size_t pending_per_connection_max =
      131'072;                         // operations without a final answer, queued ones included
  std::size_t pending_max = 1u << 20;  // an eighth more for what is no acquire, in each of these
  std::size_t pending_bytes_max = 512u << 20;
  // Beyond this an acquire is not taken into the queue of its group: how long it would wait there, by how
  // fast the group has served.
  std::uint32_t queue_ms_max = 500;
  std::size_t queries_per_connection_max = 64;
  std::size_t queries_max = 1'024;
  std::uint32_t calls_per_group_max = 1;  // submits out at a time; more arrives collects meanwhile
  std::size_t submit_operations_max = 8'192;
  std::size_t submit_bytes_max = 4u << 20;  // of operations' strings
  std::uint32_t submit_timeout_ms = 5'000;  // then the link is dropped and the operations are sent again
  std::uint32_t heartbeat_tick_ms = 20;     // heartbeats alone: at most one submit per group and this
  std::uint32_t retry_first_ms = 1;         // a group that refuses is asked again after this, doubling,
  std::uint32_t retry_max_ms = 64;          // up to this; at once when its configuration changes
  std::uint32_t reroute_first_ms = 1;       // an operation whose arc is on its way is asked of both groups
  std::uint32_t reroute_max_ms = 32;        // again after this, doubling, up to this
  std::uint32_t put_off_max_ms = 250;  // operations that a group puts off: again after this at the latest
  std::uint32_t hello_timeout_ms = 10'000;   // a connection that says nothing
  std::uint32_t ready_timeout_ms = 5'000;    // a Hello that waits for the first view
  std::uint32_t bye_timeout_ms = 2'000;      // closing sessions on bye
  std::uint32_t query_timeout_ms = 5'000;    // of a query without a deadline
  std::uint32_t status_patience_ms = 1'000;  // per group, in the status of the cluster
  std::uint32_t list_limit_max = 1'000;      // locks in a page
};

// --- what clients say --------------------------------------------------------

struct GroupListing {
  GroupId group;
  std::uint32_t generation = 0;
  bool renew = false;  // the session is open there, as far as the client knows
};

struct Hello {
  std::uint16_t protocol_min = 0;
  std::uint16_t protocol_max = 0;
  std::string_view cluster;  // empty: any
  std::string_view client_id;
  std::uint64_t session_base = 0;
  std::uint32_t ttl_ms = 0;
  std::span<const GroupListing> groups;
};

struct Query {
  // Groups are asked the first four; the router answers the others.
  enum class Kind : std::uint8_t { inspect, list, status, step_down, ring, locate, change_ring, recover };
  Kind kind = Kind::status;
  std::string resource;  // inspect, locate; list: the prefix
  GroupId group;         // list, step_down, recover
  std::string primary;   // step_down: who is to give its place away; filled in by the core
  std::uint64_t cursor = 0;
  std::uint32_t limit = 0;
  RingChange change{};                 // change_ring
  std::uint64_t expected_version = 0;  // recover; 0: only looks
};

struct QueryReport {
  Status status = Status::ok;
  std::string message;
  std::variant<std::monostate, LockReport, LockPage, GroupReport, ClusterReport, RingReport, PlaceReport,
               RecoveryReport>
      content;
};

// --- what a turn gives -------------------------------------------------------

struct LinkChange {
  enum class Kind : std::uint8_t {
    connect,    // make a lasting link to the server
    drop,       // it is no member any more: forget it. No input about it is expected afterwards
    reconnect,  // it answers nothing or nonsense: a new connection
  };
  Kind kind = Kind::connect;
  ServerId server;
  coordinator::MemberName name;  // connect
  std::string address;           // connect
};

// One call of LockChannel.submit. The result goes to submitted() or submit_failed(), unless the link goes
// down first.
struct Submit {
  CallId call;
  ServerId server;
  GroupId group;
  std::vector<Operation> operations;  // strings are borrowed until the next input
};

// One call of LockChannel.query; the result goes to queried().
struct QueryCall {
  CallId call;
  ServerId server;
  GroupId group;
  Query query;
};

// One call of Coordinator::propose_ring, by the version that the record has; the result goes to
// ring_written().
struct RingWrite {
  CallId call;
  coordinator::RingRecord record;
};

// One call of Coordinator::propose; the shell makes the record's author of its id and `call`, see
// coordinator::operator_author. The result goes to group_written().
struct GroupWrite {
  CallId call;
  GroupId group;
  coordinator::VersionedConfig record;  // with the version that it is to replace
};

struct SessionNotice {
  enum class Kind : std::uint8_t { opened = 0, renewed = 1, ended = 2 };
  Kind kind = Kind::opened;
  GroupId group;
  std::uint32_t generation = 0;
  std::uint32_t ttl_ms = 0;
  std::uint64_t cause = 0;
  std::vector<GroupId> moved_to{};  // renewed: groups to which holds of the session went
};

// One frame for one client: sessions first, then answers. Borrowed until the next input.
struct ClientBatch {
  ConnectionId connection;
  std::span<const SessionNotice> sessions;
  std::span<const Answer> answers;
};

struct ClientReport {
  ConnectionId connection;
  std::uint64_t id = 0;
  QueryReport report;
};

struct ClientClose {
  ConnectionId connection;
  bool refused = false;  // send a Refusal with status and message, then close; else just close
  Status status = Status::ok;
  std::string message;
};

// Done in this order.
struct RouterOutput {
  std::vector<LinkChange> links;
  std::vector<Submit> submits;
  std::vector<QueryCall> queries;
  std::vector<RingWrite> ring_writes;
  std::vector<GroupWrite> group_writes;
  std::vector<ConnectionId> welcomes;
  std::vector<ClientBatch> batches;
  std::vector<ClientReport> reports;
  std::vector<ClientClose> closes;  // the connection is unknown to the core from now on

  void clear();
};

struct RouterStats {
  std::size_t connections = 0;
  std::size_t pending = 0;
  std::size_t pending_bytes = 0;
  std::size_t queries = 0;
  std::uint64_t refused = 0;  // operations, as overloaded, since the start
};

class RouterCore {
 public:
  explicit RouterCore(const RouterOptions& options);
  ~RouterCore();
  RouterCore(const RouterCore&) = delete;
  RouterCore& operator=(const RouterCore&) = delete;

  // --- clients. Calls for a connection that was closed (by either side) are ignored. ---
  // A connection was accepted. With too many of them it is refused in the next turn.
  ConnectionId connect(TimeMs now);
  void hello(ConnectionId connection, const Hello& hello, TimeMs now);
  // Strings are copied. An operation that is with the router already is ignored: its answer is on its way.
  void operations(ConnectionId connection, Sequence acked_below, std::span<const Operation> list, TimeMs now);
  void heartbeat(ConnectionId connection, std::uint64_t number, std::span<const GroupListing> groups,
                 TimeMs now);
  void query(ConnectionId connection, std::uint64_t id, std::uint32_t deadline_ms, Query query, TimeMs now);
  // Closes the client's sessions at the groups where they are open, then the connection.
  void bye(ConnectionId connection, TimeMs now);
  // The client sent what is no message: it is told so and the connection is closed.
  void refuse(ConnectionId connection, Status status, std::string message);
  // The connection is gone: everything of it is forgotten; its sessions live on at the groups.
  void disconnect(ConnectionId connection);

  // --- the cluster ---
  void view(const coordinator::ClusterView& view, TimeMs now);
  void link_up(ServerId server, TimeMs now);
  // The connection is lost or could not be made; calls that were out to it have failed.
  void link_down(ServerId server, bool gone, const std::string& why, TimeMs now);
  void submitted(CallId call, std::vector<Answer>&& answers, TimeMs now);
  void submit_failed(CallId call, const std::string& why, TimeMs now);
  void late_answers(ServerId server, GroupId group, std::vector<Answer>&& answers, TimeMs now);
  // `reached` false: the call failed, report.message says why.
  void queried(CallId call, bool reached, QueryReport&& report, TimeMs now);
  // May never come: the client is told then that the outcome is not known.
  void ring_written(CallId call, coordinator::WriteResult result, TimeMs now);
  void group_written(CallId call, coordinator::WriteResult result);  // likewise

  // Everything to do now. Call it after each run of inputs, and at next_turn().
  void turn(TimeMs now, RouterOutput& output);
  TimeMs next_turn() const;

  bool ready() const;  // a view has come
  std::string cluster() const;
  RouterStats stats() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace dlm::router
