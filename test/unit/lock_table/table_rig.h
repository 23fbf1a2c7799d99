// A lock table under test: operations in short form, numbered by themselves, and their answers.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "schema/limits.h"
#include "server/core/lock_table.h"

namespace dlm {

inline bool operator==(const HolderInfo& a, const HolderInfo& b) {
  return std::tie(a.client_id, a.owner_tag, a.since_unix_ms) ==
         std::tie(b.client_id, b.owner_tag, b.since_unix_ms);
}

inline bool operator==(const Answer& a, const Answer& b) {
  return std::tie(a.session, a.sequence, a.status, a.cause, a.token, a.count, a.ttl_ms, a.position, a.holder,
                  a.message) == std::tie(b.session, b.sequence, b.status, b.cause, b.token, b.count, b.ttl_ms,
                                         b.position, b.holder, b.message);
}

inline std::ostream& operator<<(std::ostream& out, const Answer& a) {
  return out << "{session " << a.session.value << " #" << a.sequence.value << " " << to_string(a.status)
             << " cause " << to_string(a.cause) << " token " << a.token.value << " count " << a.count
             << " ttl " << a.ttl_ms << " position " << a.position << " holder '" << a.holder.client_id
             << "'/'" << a.holder.owner_tag << "' since " << a.holder.since_unix_ms << " '" << a.message
             << "'}";
}

namespace server {

inline bool operator==(const TimerEvent& a, const TimerEvent& b) {
  return std::tie(a.kind, a.start, a.duration_ms, a.session, a.sequence, a.token, a.resource) ==
         std::tie(b.kind, b.start, b.duration_ms, b.session, b.sequence, b.token, b.resource);
}

inline constexpr std::uint64_t kEra = std::uint64_t{1} << 40;

inline Operation start_epoch(std::uint64_t era, std::string_view arcs) {
  Operation op;
  op.kind = OperationKind::start_epoch;
  op.token = FencingToken(era << 40);
  op.resource = arcs;
  return op;
}

inline std::string all_arcs() {
  OwnedArc all{0, UINT64_MAX};
  return encode_arcs({&all, 1});
}

class TableRig {
 public:
  explicit TableRig(const LockTableLimits& limits = {}) : table(std::make_unique<LockTable>()) {
    std::string arcs = all_arcs();
    std::string encoded = encode_limits(limits);
    Operation start = start_epoch(1, arcs);
    start.owner_tag = encoded;
    apply(start);
  }

  // Applies an entry at the next millisecond; answers and timers of the entry alone are kept.
  const Effects& apply(const Operation& op) {
    effects.clear();
    table->apply(op, ++now_ms, effects);
    return effects;
  }

  // Applies an operation of a session, with the session's next number unless it has one. Its answer.
  Answer run(Operation op) {
    if (!op.sequence) op.sequence = Sequence(++last_sequence[op.session]);
    apply(op);
    return answer_to(op.session, op.sequence);
  }

  // What the last entry answered to that operation; status not_primary, which a table never answers:
  // nothing.
  Answer answer_to(SessionId session, Sequence sequence) const {
    for (const Answer& answer : effects.answers)
      if (answer.session == session && answer.sequence == sequence) return answer;
    Answer none;
    none.status = Status::not_primary;
    return none;
  }
  Answer answer_to(SessionId session, std::uint64_t sequence) const {
    return answer_to(session, Sequence(sequence));
  }

  Answer open(SessionId session, std::string_view client, std::uint32_t ttl_ms = 10'000) {
    Operation op;
    op.kind = OperationKind::open_session;
    op.session = session;
    op.client_id = client;
    op.lease_ms = ttl_ms;
    return run(op);
  }

  Answer close(SessionId session) { return run(simple(OperationKind::close_session, session, {})); }

  void expire_session(SessionId session) { apply(simple(OperationKind::expire_session, session, {})); }

  void expire_hold(FencingToken token, std::string_view resource) {
    Operation op = simple(OperationKind::expire_hold, SessionId(), resource);
    op.token = token;
    apply(op);
  }

  void expire_wait(SessionId session, Sequence target, std::string_view resource) {
    Operation op = simple(OperationKind::expire_wait, session, resource);
    op.target = target;
    apply(op);
  }

  static Operation simple(OperationKind kind, SessionId session, std::string_view resource,
                          std::string_view tag = {}) {
    Operation op;
    op.kind = kind;
    op.session = session;
    op.resource = resource;
    op.owner_tag = tag;
    return op;
  }
  static Operation acquire(SessionId session, std::string_view resource, std::string_view tag = {}) {
    return simple(OperationKind::acquire, session, resource, tag);
  }
  static Operation waiting(Operation op, std::uint32_t wait_ms = 5'000) {
    op.wait_ms = wait_ms;
    return op;
  }
  static Operation shared(Operation op) {
    op.mode = LockMode::shared;
    return op;
  }
  static Operation leased(Operation op, LeaseKind lease, std::uint32_t lease_ms = 30'000) {
    op.lease = lease;
    op.lease_ms = lease_ms;
    return op;
  }
  static Operation release(SessionId session, std::string_view resource, FencingToken token = {},
                           std::string_view tag = {}) {
    Operation op = simple(OperationKind::release, session, resource, tag);
    op.token = token;
    return op;
  }
  static Operation renew(SessionId session, std::string_view resource, FencingToken token = {},
                         std::uint32_t lease_ms = 0) {
    Operation op = simple(OperationKind::renew, session, resource);
    op.token = token;
    op.lease_ms = lease_ms;
    return op;
  }
  static Operation cancel(SessionId session, std::uint64_t target, std::string_view resource) {
    Operation op = simple(OperationKind::cancel, session, resource);
    op.target = Sequence(target);
    return op;
  }

  bool held(std::string_view resource) const { return !table->inspect(resource, 0).holders.empty(); }

  std::unique_ptr<LockTable> table;
  Effects effects;  // of the last entry
  std::map<SessionId, std::uint64_t> last_sequence;
  std::uint64_t now_ms = 1'000'000;
};

inline constexpr SessionId kA{0x10000};
inline constexpr SessionId kB{0x20000};
inline constexpr SessionId kC{0x30000};

// The table with sessions A, B and C of clients "a", "b" and "c".
class LockTableTest : public ::testing::Test, public TableRig {
 protected:
  LockTableTest() {
    open(kA, "a");
    open(kB, "b");
    open(kC, "c");
    last_sequence.clear();
  }
};

// All chunks of a snapshot.
inline std::vector<std::string> chunks_of(LockTable::SnapshotWriter& writer, std::size_t chunk_bytes) {
  std::vector<std::string> chunks;
  for (bool more = true; more;) more = writer.next(chunk_bytes, chunks.emplace_back());
  return chunks;
}

inline std::unique_ptr<LockTable> restored(const std::vector<std::string>& chunks) {
  auto reader = LockTable::restore();
  for (const std::string& chunk : chunks)
    if (!reader->feed(chunk)) return nullptr;
  return reader->finish();
}

}  // namespace server
}  // namespace dlm
