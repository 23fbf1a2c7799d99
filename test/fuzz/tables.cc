#include "test/fuzz/tables.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "schema/limits.h"
#include "server/core/entry_codec.h"
#include "test/fuzz/fuzz.h"

namespace dlm::fuzz {
namespace {

using server::BatchReader;
using server::BatchWriter;
using server::Effects;
using server::LockTable;
using server::LockTableLimits;
using server::OwnedArc;
using server::TimerEvent;

// Small ones, so that inputs reach them.
LockTableLimits small_limits() {
  LockTableLimits limits;
  limits.answers_per_session_max = 16;
  limits.waits_per_client_max = 8;
  return limits;
}

auto key_of(const Answer& answer) {
  return std::tie(answer.session, answer.sequence, answer.status, answer.cause, answer.token, answer.count,
                  answer.ttl_ms, answer.position, answer.holder.client_id, answer.holder.owner_tag,
                  answer.holder.since_unix_ms, answer.message);
}

auto key_of(const TimerEvent& event) {
  return std::tie(event.kind, event.start, event.session, event.sequence, event.token, event.resource,
                  event.duration_ms);
}

auto key_of(const HoldReport& hold) {
  return std::tie(hold.client_id, hold.owner_tag, hold.mode, hold.lease, hold.token, hold.count,
                  hold.since_unix_ms);
}

auto key_of(const WaitReport& wait) {
  return std::tie(wait.client_id, wait.owner_tag, wait.mode, wait.since_unix_ms);
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const T& x, const T& y) { return key_of(x) == key_of(y); });
}

// Answers in their order; deadlines may begin and end in any.
bool same(Effects a, Effects b) {
  const auto sort = [](std::vector<TimerEvent>& timers) {
    std::sort(timers.begin(), timers.end(),
              [](const TimerEvent& x, const TimerEvent& y) { return key_of(x) < key_of(y); });
  };
  sort(a.timers);
  sort(b.timers);
  return same(a.answers, b.answers) && same(a.timers, b.timers);
}

std::vector<LockReport> locks_of(const LockTable& table) {
  std::vector<LockReport> locks;
  std::uint64_t cursor = 0;
  do {
    LockPage page = table.list({}, cursor, SIZE_MAX);
    cursor = page.next_cursor;
    for (const LockReport& lock : page.locks) locks.push_back(table.inspect(lock.resource, SIZE_MAX));
  } while (cursor != 0);
  return locks;
}

void check_holders(const LockTable& table, const LockReport& lock) {
  require(!lock.holders.empty(), "a lock has a holder");
  require(lock.waiters.size() == lock.waiter_count, "waiters are counted");
  std::set<std::pair<std::string, std::string>> owners;
  for (const HoldReport& hold : lock.holders) {
    require(hold.mode == LockMode::shared || lock.holders.size() == 1, "who holds exclusive holds alone");
    require(owners.emplace(hold.client_id, hold.owner_tag).second, "an owner holds a lock once");
    require(hold.token && hold.token <= table.stats().last_token, "no token is above the last one");
    require(hold.count != 0, "a hold was acquired");
  }
}

void check_same(const LockTable& a, const LockTable& b) {
  require(a.fingerprint() == b.fingerprint(), "a copy has the fingerprint of the original");
  const std::vector<LockReport> of_a = locks_of(a);
  const std::vector<LockReport> of_b = locks_of(b);
  require(of_a.size() == of_b.size(), "a copy has the locks of the original");
  for (std::size_t i = 0; i < of_a.size(); ++i) {
    require(of_a[i].resource == of_b[i].resource && same(of_a[i].holders, of_b[i].holders) &&
                same(of_a[i].waiters, of_b[i].waiters),
            "a copy has the holders and waiters of the original");
  }
}

Operation op_of(OperationKind kind, SessionId session, std::uint64_t sequence, std::string_view resource) {
  Operation op;
  op.kind = kind;
  op.session = session;
  op.sequence = Sequence(sequence);
  op.resource = resource;
  return op;
}

Operation opening(SessionId session, std::string_view client) {
  Operation op = op_of(OperationKind::open_session, session, 1, {});
  op.client_id = client;
  op.lease_ms = kSessionTtlMsDefault;
  return op;
}

Operation acquire(SessionId session, std::uint64_t sequence, std::string_view resource, LockMode mode,
                  std::uint32_t wait_ms = 0, LeaseKind lease = LeaseKind::session) {
  Operation op = op_of(OperationKind::acquire, session, sequence, resource);
  op.mode = mode;
  op.wait_ms = wait_ms;
  op.lease = lease;
  if (lease != LeaseKind::session) op.lease_ms = 30'000;
  return op;
}

Operation with_tag(Operation op, std::string_view tag) {
  op.owner_tag = tag;
  return op;
}

Operation with_target(Operation op, std::uint64_t target) {
  op.target = Sequence(target);
  return op;
}

}  // namespace

void apply_batch(LockTable& table, std::string_view batch) {
  BatchReader reader(batch);
  Effects effects;
  Operation op;
  while (reader.next(op)) {
    effects.clear();
    table.apply(op, reader.stamp_unix_ms(), effects);
  }
}

std::string snapshot_of(LockTable& table) {
  std::string bytes;
  const auto writer = table.snapshot();
  while (writer->next(1'000, bytes)) {
  }
  return bytes;
}

std::unique_ptr<LockTable> restored(std::string_view snapshot) {
  const auto reader = LockTable::restore();
  while (!snapshot.empty()) {
    const std::string_view piece = snapshot.substr(0, 700);
    if (!reader->feed(piece)) return nullptr;
    snapshot.remove_prefix(piece.size());
  }
  return reader->finish();
}

std::unique_ptr<LockTable> new_table() {
  return std::make_unique<LockTable>();
}

namespace {

// A snapshot that is handed out while entries go on being applied.
class EarlierSnapshot {
 public:
  explicit EarlierSnapshot(LockTable& table) : fingerprint_(table.fingerprint()), writer_(table.snapshot()) {}

  void take_some() {
    if (more_) more_ = writer_->next(kChunkBytes, bytes_);
  }
  void check() {
    while (more_) take_some();
    const std::unique_ptr<LockTable> table = restored(bytes_);
    require(table && table->fingerprint() == fingerprint_, "a snapshot is of the moment at which it began");
  }

 private:
  static constexpr std::size_t kChunkBytes = 100;
  std::uint64_t fingerprint_;
  std::unique_ptr<LockTable::SnapshotWriter> writer_;
  std::string bytes_;
  bool more_ = true;
};

}  // namespace

void check(LockTable& table, std::string_view more) {
  for (const LockReport& lock : locks_of(table)) check_holders(table, lock);
  const std::unique_ptr<LockTable> copy = restored(snapshot_of(table));
  require(copy != nullptr, "a member that joins accepts a snapshot of every table");
  check_same(table, *copy);
  EarlierSnapshot earlier(table);
  BatchReader reader(more);
  Effects of_table;
  Effects of_copy;
  Operation op;
  while (reader.next(op)) {
    of_table.clear();
    of_copy.clear();
    table.apply(op, reader.stamp_unix_ms(), of_table);
    copy->apply(op, reader.stamp_unix_ms(), of_copy);
    require(same(of_table, of_copy), "a copy answers as the original does");
    earlier.take_some();
  }
  earlier.check();
  check_same(table, *copy);
}

Operation start_epoch(std::uint64_t era, std::string_view arcs) {
  Operation op;
  op.kind = OperationKind::start_epoch;
  op.token = FencingToken(era << 40);
  op.resource = arcs;
  static const std::string limits = server::encode_limits(small_limits());
  op.owner_tag = limits;
  return op;
}

std::string all_arcs() {
  const OwnedArc all{0, UINT64_MAX};
  return server::encode_arcs({&all, 1});
}

std::string batch_of(const std::vector<Operation>& entries) {
  BatchWriter writer;
  writer.stamp(1'700'000'000'000);
  for (const Operation& entry : entries) writer.add(entry);
  return writer.take();
}

const SeedBatches& seed_batches() {
  constexpr SessionId kA{0x10000};
  constexpr SessionId kB{0x20000};
  constexpr SessionId kC{0x30001};
  constexpr LockMode kShared = LockMode::shared;
  constexpr LockMode kExclusive = LockMode::exclusive;
  static const std::string all = all_arcs();
  static const SeedBatches batches{
      .fill =
          {
              opening(kA, "a"),
              opening(kB, "b"),
              opening(kC, "c"),
              acquire(kA, 1, "x", kExclusive),
              acquire(kB, 1, "x", kExclusive, 5'000),
              acquire(kC, 1, "x", kShared, kWaitForeverMs),
              acquire(kA, 2, "s", kShared, 0, LeaseKind::detached),
              with_tag(acquire(kA, 3, "s", kShared, 0, LeaseKind::capped), "tag"),
              acquire(kB, 2, "s", kShared),
              acquire(kB, 3, "up", kShared),
              acquire(kB, 4, "up", kExclusive),
              acquire(kC, 2, "x", kExclusive),
              with_target(op_of(OperationKind::cancel, kC, 4, "x"), 3),
              acquire(kC, 5, "a name that is too long to lie within a node", kExclusive, 0,
                      LeaseKind::detached),
          },
      .end =
          {
              op_of(OperationKind::renew, kA, 4, "x"),
              op_of(OperationKind::release, kA, 5, "x"),
              with_target(op_of(OperationKind::expire_wait, kC, 0, "x"), 1),
              op_of(OperationKind::expire_session, kB, 0, {}),
              op_of(OperationKind::close_session, kA, 6, {}),
              op_of(OperationKind::forget_session, kB, 0, {}),
              opening(kB.next(), "b"),
          },
  };
  return batches;
}

}  // namespace dlm::fuzz
