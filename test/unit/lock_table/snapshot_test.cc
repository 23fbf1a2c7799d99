// Snapshots: what is written while operations go on, and what a reader does with bytes that are not one.
#include <random>

#include "server/core/lock_table_codec.h"
#include "test/unit/lock_table/table_rig.h"

namespace dlm::server {
namespace {

using Snapshots = LockTableTest;

void fill(TableRig& rig, int locks) {
  for (int i = 0; i < locks; ++i) {
    std::string name = "lock/" + std::to_string(i);
    std::string tag = i % 5 == 0 ? "t" + std::to_string(i % 3) : "";
    Operation op = TableRig::acquire(i % 2 == 0 ? kA : kB, name, tag);
    if (i % 3 == 0) op = TableRig::shared(op);
    if (i % 4 == 0) op = TableRig::leased(op, i % 8 == 0 ? LeaseKind::detached : LeaseKind::capped);
    rig.run(op);
    if (i % 6 == 0) rig.run(TableRig::shared(TableRig::acquire(kC, name)));
    if (i % 7 == 0) rig.run(TableRig::waiting(TableRig::acquire(kC, name, "w")));
    if (i % 11 == 0) rig.run(TableRig::release(i % 2 == 0 ? kA : kB, name, {}, tag));
  }
  rig.open(SessionId(0x50000), "short-lived");
  rig.expire_session(SessionId(0x50000));
}

TEST_F(Snapshots, OfAnEmptyTableIsATable) {
  LockTable empty;
  std::unique_ptr<LockTable> copy = restored(chunks_of(*empty.snapshot(), 1));
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->fingerprint(), empty.fingerprint());
}

TEST_F(Snapshots, RestoreTheTableInChunksOfAnySize) {
  fill(*this, 300);
  for (std::size_t chunk_bytes : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, std::size_t{1} << 30}) {
    std::vector<std::string> chunks = chunks_of(*table->snapshot(), chunk_bytes);
    for (const std::string& chunk : chunks) EXPECT_LE(chunk.size(), chunk_bytes);
    std::unique_ptr<LockTable> copy = restored(chunks);
    ASSERT_NE(copy, nullptr);
    EXPECT_EQ(copy->fingerprint(), table->fingerprint());
    EXPECT_EQ(copy->stats().locks_held, table->stats().locks_held);
    EXPECT_EQ(copy->stats().waiters, table->stats().waiters);
    EXPECT_EQ(copy->stats().last_token, table->stats().last_token);
  }
}

TEST_F(Snapshots, KeepTheTokenThatAnUpgradeReplaced) {
  const Answer reader = run(shared(acquire(kA, "x")));
  const Answer writer = run(acquire(kA, "x"));
  std::unique_ptr<LockTable> copy = restored(chunks_of(*table->snapshot(), 4096));
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->fingerprint(), table->fingerprint());
  const Answer renewal = copy->check_renewal(renew(kA, "x", reader.token));
  EXPECT_EQ(renewal.status, Status::ok);
  EXPECT_EQ(renewal.token, writer.token);
}

TEST_F(Snapshots, ShowTheMomentTheyBeganWhateverHappensSince) {
  fill(*this, 300);
  std::uint64_t then = table->fingerprint();
  std::unique_ptr<LockTable::SnapshotWriter> first = table->snapshot();
  std::vector<std::string> chunks;
  bool more = true;
  for (int i = 0; more; ++i) {
    more = first->next(200, chunks.emplace_back());
    std::string name = "lock/" + std::to_string(299 - i % 300);
    run(acquire(kA, "new/" + std::to_string(i)));
    run(shared(acquire(kA, name)));
    run(release(kB, name));
    if (i == 5) run(waiting(acquire(kA, "lock/0", "tag")));
    if (i == 10) close(kC);
    if (i == 20) expire_session(kB);
  }
  std::unique_ptr<LockTable> copy = restored(chunks);
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->fingerprint(), then);
  EXPECT_NE(table->fingerprint(), then);
}

TEST_F(Snapshots, HoldTheSessionsAndOwnersOfTheirMomentWhateverComesAndGoes) {
  const auto session = [](int i) { return SessionId((std::uint64_t{100} + static_cast<unsigned>(i)) << 16); };
  for (int i = 0; i < 60; ++i) {
    open(session(i), "client " + std::to_string(i));
    run(acquire(session(i), "lock of " + std::to_string(i), "tag " + std::to_string(i)));
    run(acquire(session(i), "lock/0"));  // refused, and remembered with its holder
  }
  for (int i = 0; i < 60; i += 7) close(session(i));  // free places
  const std::uint64_t then = table->fingerprint();
  auto writer = table->snapshot();
  std::vector<std::string> chunks;
  bool more = true;
  for (int i = 0; more; ++i) {
    more = writer->next(40, chunks.emplace_back());
    // From the end, so that most change before their turn; new ones take the places of those that ended.
    expire_session(session(59 - i % 60));
    open(session(1'000 + i), "client " + std::to_string(1'000 + i));
    run(acquire(session(1'000 + i), "new/" + std::to_string(i), "new tag"));
    run(acquire(session(i % 30), "lock/1"));
    if (i % 3 == 0) close(session(1'000 + i / 2));
  }
  std::unique_ptr<LockTable> copy = restored(chunks);
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->fingerprint(), then);
  EXPECT_NE(table->fingerprint(), then);
}

TEST_F(Snapshots, SeveralCanBeWrittenAtATime) {
  fill(*this, 50);
  std::uint64_t first_moment = table->fingerprint();
  auto first = table->snapshot();
  run(acquire(kA, "between"));
  std::uint64_t second_moment = table->fingerprint();
  auto second = table->snapshot();
  close(kA);
  std::unique_ptr<LockTable> a = restored(chunks_of(*first, 100));
  std::unique_ptr<LockTable> b = restored(chunks_of(*second, 100));
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_EQ(a->fingerprint(), first_moment);
  EXPECT_EQ(b->fingerprint(), second_moment);
}

TEST_F(Snapshots, TheTableThatWasEmptiedMeanwhileComesBackFull) {
  for (int i = 0; i < 3'000; ++i) run(acquire(kA, std::to_string(i)));
  std::uint64_t then = table->fingerprint();
  auto writer = table->snapshot();
  close(kA);
  for (int sweep = 0; sweep < 10; ++sweep) expire_session(kA);
  EXPECT_EQ(table->stats().locks_held, 0U);
  for (int i = 0; i < 10; ++i) run(acquire(kB, "other" + std::to_string(i)));
  std::unique_ptr<LockTable> copy = restored(chunks_of(*writer, 10'000));
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->fingerprint(), then);
}

TEST_F(Snapshots, AWriterThatIsGivenUpCostsNothingAfterwards) {
  fill(*this, 20);
  std::string chunk;
  {
    auto writer = table->snapshot();
    writer->next(10, chunk);
  }
  EXPECT_EQ(run(acquire(kA, "x")).status, Status::ok);
}

TEST_F(Snapshots, TheCopyAnswersRepeatsLikeTheOriginal) {
  run(acquire(kB, "x", "holder"));
  std::vector<Operation> operations = {acquire(kA, "x"), acquire(kA, "y"), waiting(acquire(kA, "x", "w")),
                                       release(kA, "gone"), leased(acquire(kA, "z"), LeaseKind::capped, 1)};
  for (std::size_t i = 0; i < operations.size(); ++i) {
    operations[i].sequence = Sequence(i + 1);
    run(operations[i]);
  }
  std::unique_ptr<LockTable> copy = restored(chunks_of(*table->snapshot(), 100));
  ASSERT_NE(copy, nullptr);
  for (const Operation& op : operations) {
    Effects there;
    copy->apply(op, 0, there);
    apply(op);
    EXPECT_EQ(there.answers, effects.answers);
  }
  EXPECT_EQ(copy->fingerprint(), table->fingerprint());
}

TEST_F(Snapshots, NothingIsRestoredFromAPart) {
  fill(*this, 30);
  std::string whole;
  for (const std::string& chunk : chunks_of(*table->snapshot(), 1 << 20)) whole += chunk;
  for (std::size_t size = 0; size < whole.size(); size += 13) {
    auto reader = LockTable::restore();
    reader->feed(std::span(whole).first(size));
    EXPECT_EQ(reader->finish(), nullptr);
  }
  auto reader = LockTable::restore();
  whole += "more";
  EXPECT_FALSE(reader->feed(whole));
  EXPECT_EQ(reader->finish(), nullptr);
}

TEST_F(Snapshots, DamageIsNoticedWhereverItIs) {
  fill(*this, 30);
  std::string whole;
  for (const std::string& chunk : chunks_of(*table->snapshot(), 1 << 20)) whole += chunk;
  std::mt19937 random(7);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string bad = whole;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (random() % 8)));
    auto reader = LockTable::restore();
    reader->feed(bad);
    EXPECT_EQ(reader->finish(), nullptr) << "byte " << i;
  }
}

// With a right checksum, so that every check of the contents has its turn.
std::string with_right_checksum(std::string_view stream) {
  std::string out;
  std::uint64_t checksum = 0;
  while (stream.size() >= 4) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i)
      length |= std::size_t{static_cast<std::uint8_t>(stream[i])} << (8 * i);
    if (length + 4 > stream.size()) break;
    std::string record(stream.substr(0, length + 4));
    stream.remove_prefix(length + 4);
    if (record[4] == 'E') {
      Decoder old(std::string_view(record).substr(5));
      std::string body(1, 'E');
      Encoder(body).number(old.number());
      Encoder(body).number(checksum);
      record.assign(4, '\0');
      record[0] = static_cast<char>(body.size());
      record += body;
    }
    checksum = hash_of_bytes(record, checksum);
    out += record;
  }
  return out;
}

TEST_F(Snapshots, ContentsThatContradictThemselvesDoNoHarm) {
  fill(*this, 30);
  std::string whole;
  for (const std::string& chunk : chunks_of(*table->snapshot(), 1 << 20)) whole += chunk;
  ASSERT_EQ(with_right_checksum(whole), whole);
  std::mt19937 random(11);
  for (int round = 0; round < 4'000; ++round) {
    std::string bad = whole;
    for (unsigned changes = 1 + random() % 3; changes != 0; --changes) {
      std::size_t at = random() % bad.size();
      bad[at] = static_cast<char>(random());
    }
    auto reader = LockTable::restore();
    reader->feed(with_right_checksum(bad));
    std::unique_ptr<LockTable> odd = reader->finish();
    if (odd == nullptr) continue;
    // A table of lies is a table still: it works on, and ends with its sessions.
    Effects effects_there;
    for (SessionId session : {kA, kB, kC}) {
      odd->apply(simple(OperationKind::expire_session, session, {}), 0, effects_there);
    }
    odd->fingerprint();
  }
}

TEST_F(Snapshots, RandomBytesAreNoSnapshot) {
  std::mt19937 random(3);
  for (int round = 0; round < 2'000; ++round) {
    std::string bytes(random() % 200, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    auto reader = LockTable::restore();
    reader->feed(bytes);
    EXPECT_EQ(reader->finish(), nullptr);
  }
}

}  // namespace
}  // namespace dlm::server
