// What processes send each other: the contents of the wire protocols (schema/*.capnp) and of the
// coordinator's, as plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "client/core/session_core.h"
#include "coordinator/coordinator.h"
#include "router/core/router_core.h"
#include "schema/operation.h"
#include "server/core/group_core.h"

namespace dlm::sim {

// --- clients and routers (client.capnp) -----------------------------------------------------------------

struct Hello {
  std::string client_id;
  client::HelloData data;
};
struct Welcome {};
struct Refusal {
  Status status = Status::ok;
  std::string message;
};
struct Operations {
  Sequence acked_below;
  std::vector<OwnedOperation> list;
};
struct Beat {
  std::uint64_t number = 0;
  std::vector<client::SessionInUse> groups;
};
struct ClientQuery {
  std::uint64_t id = 0;
  std::uint32_t deadline_ms = 0;
  router::Query query;
};
struct Bye {};
struct ToClient {
  std::vector<router::SessionNotice> sessions;
  std::vector<Answer> answers;
};
struct ReportToClient {
  std::uint64_t id = 0;
  router::QueryReport report;
};

// --- routers, servers (shard.capnp) ---------------------------------------------------------------------

struct Greet {
  std::string from;  // router id, or member name
};
struct Greeted {
  std::string name;
  bool ready = false;  // false: it has not heard from the coordinator yet
};
struct Submit {
  std::uint64_t call = 0;
  GroupId group;
  std::vector<OwnedOperation> operations;
};
struct Query {
  std::uint64_t call = 0;
  GroupId group;
  server::GroupQuery query;
};
struct Submitted {
  std::uint64_t call = 0;
  std::vector<Answer> answers;
};
struct Queried {
  std::uint64_t call = 0;
  server::GroupOutput::Reported report;
};
struct LateAnswers {
  GroupId group;
  std::vector<Answer> answers;
};
struct LateTaken {
  GroupId group;
};
// An append or an install, and what comes back. `replied` false: the message was damaged.
struct Replicate {
  std::uint64_t call = 0;
  GroupId group;
  std::variant<server::Append, server::Install> message;
};
struct Replicated {
  std::uint64_t call = 0;
  GroupId group;
  bool replied = true;
  server::AppendReply reply;
};
// An arc from the primary of another group, and what comes back.
struct MoveIn {
  std::uint64_t call = 0;
  server::Transfer transfer;
};
struct MovedIn {
  std::uint64_t call = 0;
  server::TransferReply reply;
};
// A call that the other end refuses to carry out.
struct CallFailed {
  std::uint64_t call = 0;
  GroupId group;
  bool refused_channel = false;  // it does not serve that group at all
};

// --- the coordinator ------------------------------------------------------------------------------------

// The parts of the view that are read and watched one by one.
struct Part {
  enum class Kind : std::uint8_t { ring, servers, routers, group };
  Kind kind = Kind::ring;
  GroupId group;
  auto operator<=>(const Part&) const = default;
};

struct CoordinatorRequest {
  enum class Kind : std::uint8_t { attach, ping, read, write, read_note, fence, enlist, touch };
  Kind kind = Kind::ping;
  std::uint64_t request = 0;
  std::uint64_t session = 0;  // attach: 0 for a new one
  Part part;                  // read
  // write: compare-and-set of a group's record, and of the note that tells its outcome
  GroupId group;  // none: the ring's record
  std::int64_t expected = 0;
  coordinator::GroupConfig config;
  coordinator::RingRecord ring;
  std::uint64_t number = 0;
  std::int64_t note_version = -1;
  // enlist
  std::variant<std::monostate, coordinator::ServerMember, coordinator::RouterMember> member;
};

struct CoordinatorReply {
  enum class Code : std::uint8_t { ok, expired, bad_version, bad_note, taken, lost };
  std::uint64_t request = 0;
  Code code = Code::ok;
  std::uint64_t session = 0;      // attach
  Part part;                      // read
  coordinator::ClusterView view;  // read: its part of it
  std::uint64_t number = 0;       // read_note
  std::int64_t note_version = -1;
};

struct Changed {  // a watch fires
  Part part;
};

using Message =
    std::variant<Hello, Welcome, Refusal, Operations, Beat, ClientQuery, Bye, ToClient, ReportToClient, Greet,
                 Greeted, Submit, Query, Submitted, Queried, LateAnswers, LateTaken, Replicate, Replicated,
                 MoveIn, MovedIn, CallFailed, CoordinatorRequest, CoordinatorReply, Changed>;

// One line for the transcript.
std::string describe(const Message& message);
std::string describe(const Operation& operation);
std::string describe(const Answer& answer);

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace dlm::sim
