// Random operations of all kinds, from fixed seeds, on the table and on the reference: the same answers,
// the same locks. On the way: deadlines told one by one add up to those told at once, a second table fed
// the same entries stays equal, and a table restored from a snapshot taken while operations went on equals
// the table of that moment, and goes on like it.
#include <random>
#include <set>

#include "test/unit/lock_table/reference_table.h"
#include "test/unit/lock_table/table_rig.h"

namespace dlm {

static bool operator==(const HoldReport& a, const HoldReport& b) {
  return std::tie(a.client_id, a.owner_tag, a.mode, a.lease, a.token, a.count, a.since_unix_ms) ==
         std::tie(b.client_id, b.owner_tag, b.mode, b.lease, b.token, b.count, b.since_unix_ms);
}
static bool operator==(const WaitReport& a, const WaitReport& b) {
  return std::tie(a.client_id, a.owner_tag, a.mode, a.since_unix_ms, a.left_ms) ==
         std::tie(b.client_id, b.owner_tag, b.mode, b.since_unix_ms, b.left_ms);
}

namespace server {
namespace {

constexpr int kClients = 4;

// Makes operations that have something to do with what there is.
class Operations {
 public:
  Operations(std::uint64_t seed, const ReferenceTable& reference) : random_(seed), reference_(reference) {
    for (int i = 0; i < kClients; ++i) sessions_.push_back(session_of(base_of(i), 1));
  }

  OwnedOperation next() {
    Operation op;
    std::size_t client = pick(kClients);
    op.session = sessions_[client];
    std::string resource = "r" + std::to_string(pick(6));
    std::string tag = one_in(3) ? "t" + std::to_string(pick(2)) : "";
    std::string client_id;
    op.resource = resource;
    op.owner_tag = tag;
    if (one_in(40)) return internal(op, client);
    if (one_in(15)) return repeat();
    op.sequence = Sequence(++last_[client]);
    if (one_in(50)) ++last_[client];  // one that never comes, or comes late
    if (one_in(2))
      op.acked_below = Sequence(last_[client] - std::min<std::uint64_t>(last_[client] - 1, pick(12)));
    switch (pick(10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        op.kind = OperationKind::acquire;
        fill_acquire(op, client_id);
        break;
      case 4:
      case 5:
      case 6:
      case 7:
        op.kind = OperationKind::release;
        op.token = some_token();
        if (one_in(6)) client_id = client_of(pick(kClients));
        break;
      case 8:
        op.kind = OperationKind::renew;
        op.token = some_token();
        if (one_in(2)) op.lease_ms = 500 + static_cast<std::uint32_t>(pick(5'000));
        if (one_in(6)) client_id = client_of(pick(kClients));
        break;
      default:
        op.kind = OperationKind::cancel;
        op.target = Sequence(op.sequence.value - std::min<std::uint64_t>(op.sequence.value, pick(8)));
        break;
    }
    op.client_id = client_id;
    if (one_in(100)) op.kind = OperationKind::heartbeat;
    if (one_in(300)) op.kind = static_cast<OperationKind>(12);
    past_.push_back(OwnedOperation(op));
    return past_.back();
  }

  void note(const Answer& answer) {
    if (answer.token) tokens_.push_back(answer.token);
  }

 private:
  static std::uint64_t base_of(int client) {
    return std::uint64_t{0x10000} * static_cast<unsigned>(client + 1);
  }
  static std::string client_of(std::size_t client) { return "client" + std::to_string(client); }
  std::size_t pick(std::size_t below) { return static_cast<std::size_t>(random_() % below); }
  bool one_in(std::size_t n) { return pick(n) == 0; }

  FencingToken some_token() {
    if (tokens_.empty() || one_in(2)) return FencingToken();
    std::size_t back = std::min<std::size_t>(tokens_.size(), 12);
    return one_in(50) ? FencingToken(random_()) : tokens_[tokens_.size() - 1 - pick(back)];
  }

  void fill_acquire(Operation& op, std::string& client_id) {
    op.mode = one_in(2) ? LockMode::shared : LockMode::exclusive;
    op.wait_ms = one_in(2) ? 0 : one_in(4) ? kWaitForeverMs : 1 + static_cast<std::uint32_t>(pick(1'000));
    if (one_in(4)) op.lease = one_in(2) ? LeaseKind::detached : LeaseKind::capped;
    if (op.lease != LeaseKind::session || one_in(60))
      op.lease_ms = 900 + static_cast<std::uint32_t>(pick(5'000));
    if (one_in(op.lease == LeaseKind::detached ? 2 : 60)) client_id = client_of(pick(kClients));
    if (one_in(200)) op.mode = static_cast<LockMode>(7);
    if (one_in(200)) op.lease = static_cast<LeaseKind>(7);
  }

  // An earlier operation once more, some of them with a session that has ended by now.
  OwnedOperation repeat() {
    if (past_.empty()) return open(0);
    return past_[past_.size() - 1 - pick(std::min<std::size_t>(past_.size(), 60))];
  }

  OwnedOperation open(std::size_t client) {
    Operation op;
    op.kind = OperationKind::open_session;
    op.session = sessions_[client];
    std::string client_id = client_of(one_in(4) ? pick(kClients) : client);
    op.client_id = client_id;
    op.lease_ms = 950 + static_cast<std::uint32_t>(pick(2'000));
    return OwnedOperation(op);
  }

  OwnedOperation internal(Operation op, std::size_t client) {
    switch (pick(9)) {
      case 0:
        op.kind = one_in(2) ? OperationKind::expire_session : OperationKind::close_session;
        if (one_in(2)) sessions_[client] = SessionId(sessions_[client].value + 1);
        return OwnedOperation(op);
      case 1:
        op.kind = OperationKind::forget_session;
        return OwnedOperation(op);
      case 2:
        op.kind = OperationKind::start_epoch;
        op.resource = {};
        op.token = FencingToken((1 + pick(4)) << 40);
        return OwnedOperation(op);
      case 3:
      case 4: {
        op.kind = OperationKind::expire_hold;
        auto leased = reference_.all_leased();
        if (!leased.empty()) {
          auto& [token, resource] = leased[pick(leased.size())];
          op.token = token;
          op.resource = resource;
          return OwnedOperation(op);
        }
        return OwnedOperation(op);
      }
      case 5:
      case 6: {
        op.kind = OperationKind::expire_wait;
        auto waits = reference_.all_waits();
        op.target = Sequence(3);
        if (waits.empty()) return OwnedOperation(op);
        const ReferenceTable::WaitName& wait = waits[pick(waits.size())];
        op.session = wait.session;
        op.target = wait.sequence;
        op.resource = wait.resource;
        return OwnedOperation(op);
      }
      default:
        return open(client);
    }
  }

  std::mt19937_64 random_;
  const ReferenceTable& reference_;
  std::vector<SessionId> sessions_;
  std::uint64_t last_[kClients] = {};
  std::vector<FencingToken> tokens_;
  std::vector<OwnedOperation> past_;
};

// The deadlines that are live, by what starts and stops of them were told.
class LiveDeadlines {
 public:
  void on(const TimerEvent& event) {
    auto key = std::make_tuple(event.kind, event.session, event.sequence, event.token);
    if (event.start) {
      live_[key] = {event.duration_ms, event.resource};
    } else {
      EXPECT_EQ(live_.erase(key), 1U) << "a deadline ends that never began";
    }
  }
  bool operator==(const LiveDeadlines&) const = default;

 private:
  std::map<std::tuple<TimerEvent::Kind, SessionId, Sequence, FencingToken>,
           std::pair<std::uint32_t, std::string>>
      live_;
};

void expect_same_locks(const LockTable& table, const ReferenceTable& reference) {
  std::set<std::string> listed;
  for (const LockReport& lock : table.list("", 0, 1'000).locks) listed.insert(lock.resource);
  ASSERT_EQ(listed, reference.held());
  for (const std::string& name : listed) {
    LockReport is = table.inspect(name, SIZE_MAX);
    LockReport should = reference.inspect(name);
    ASSERT_TRUE(is.holders == should.holders) << name;
    ASSERT_TRUE(is.waiters == should.waiters) << name;
    ASSERT_EQ(is.waiter_count, should.waiter_count);
  }
  EXPECT_EQ(table.stats().waiters, reference.waiters());
  EXPECT_EQ(table.stats().sessions, reference.sessions());
}

class AgainstTheReference : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(AgainstTheReference, RandomOperationsGetTheSameAnswers) {
  LockTableLimits limits;
  limits.answers_per_session_max = 10;
  limits.waits_per_client_max = 8;
  limits.holds_per_client_max = 14;
  TableRig rig(limits);
  TableRig twin(limits);
  ReferenceTable reference(limits);
  reference.apply(start_epoch(1, {}), 0);
  Operations operations(GetParam(), reference);
  LiveDeadlines deadlines;
  std::unique_ptr<LockTable::SnapshotWriter> writer;
  std::vector<std::string> chunks;
  std::uint64_t fingerprint_at_start = 0;
  std::map<Status, int> seen;
  for (int step = 0; step < 6'000; ++step) {
    OwnedOperation entry = operations.next();
    Operation op = entry.view();
    SCOPED_TRACE("step " + std::to_string(step) + " kind " + std::to_string(static_cast<int>(op.kind)) +
                 " session " + std::to_string(op.session.value) + " #" + std::to_string(op.sequence.value));
    std::vector<Answer> should = reference.apply(op, rig.now_ms + 1);
    std::vector<Answer> is = rig.apply(op).answers;
    ASSERT_EQ(twin.apply(op).answers, is);
    for (Answer& answer : is) {
      operations.note(answer);
      answer.message.clear();
      ++seen[answer.status];
    }
    ASSERT_EQ(is, should);
    for (const TimerEvent& event : rig.effects.timers) deadlines.on(event);
    if (step % 10 == 0) expect_same_locks(*rig.table, reference);
    if (step % 50 == 0) {
      LiveDeadlines all;
      rig.table->for_each_timer([&](const TimerEvent& event) { all.on(event); });
      ASSERT_TRUE(all == deadlines);
      ASSERT_EQ(rig.table->fingerprint(), twin.table->fingerprint());
    }
    if (writer == nullptr && step % 100 == 7) {
      fingerprint_at_start = rig.table->fingerprint();
      writer = rig.table->snapshot();
    } else if (writer != nullptr && !writer->next(64, chunks.emplace_back())) {
      // It lacks the steps since it began, so the twin goes on as a copy of now.
      writer.reset();
      std::unique_ptr<LockTable> copy = restored(chunks);
      ASSERT_NE(copy, nullptr);
      ASSERT_EQ(copy->fingerprint(), fingerprint_at_start);
      chunks.clear();
      copy = restored(chunks_of(*rig.table->snapshot(), 1'000));
      ASSERT_NE(copy, nullptr);
      ASSERT_EQ(copy->fingerprint(), rig.table->fingerprint());
      twin.table = std::move(copy);
    }
    if (HasFatalFailure()) return;
  }
  for (Status status :
       {Status::ok, Status::queued, Status::timed_out, Status::cancelled, Status::not_held,
        Status::session_expired, Status::session_unknown, Status::client_id_in_use, Status::would_deadlock,
        Status::overloaded, Status::over_quota, Status::invalid_argument, Status::stale})
    EXPECT_GT(seen[status], 0) << "the operations never lead to '" << to_string(status) << "'";
}

INSTANTIATE_TEST_SUITE_P(Seeds, AgainstTheReference, ::testing::Range<std::uint64_t>(1, 13));

}  // namespace
}  // namespace server
}  // namespace dlm
