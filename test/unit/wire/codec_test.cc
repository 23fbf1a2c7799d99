#include "schema/wire/codec.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include <limits>

#include "schema/limits.h"

namespace dlm::wire {
namespace {

constexpr std::uint64_t kMax64 = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint32_t kMax32 = std::numeric_limits<std::uint32_t>::max();

// Writes into a message, flattens it, and reads it as a peer would.
template <class Schema, class Value, class Check>
void round_trip(const Value& value, Check check) {
  capnp::MallocMessageBuilder builder;
  write(value, builder.initRoot<Schema>());
  auto flat = capnp::messageToFlatArray(builder);
  capnp::FlatArrayMessageReader reader(flat);
  check(read(reader.getRoot<Schema>()));
}

void expect_same(const dlm::Operation& a, const dlm::Operation& b) {
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.mode, b.mode);
  EXPECT_EQ(a.lease, b.lease);
  EXPECT_EQ(a.session, b.session);
  EXPECT_EQ(a.sequence, b.sequence);
  EXPECT_EQ(a.acked_below, b.acked_below);
  EXPECT_EQ(a.target, b.target);
  EXPECT_EQ(a.token, b.token);
  EXPECT_EQ(a.wait_ms, b.wait_ms);
  EXPECT_EQ(a.lease_ms, b.lease_ms);
  EXPECT_EQ(a.deadline_ms, b.deadline_ms);
  EXPECT_EQ(a.resource, b.resource);
  EXPECT_EQ(a.owner_tag, b.owner_tag);
  EXPECT_EQ(a.client_id, b.client_id);
}

void expect_same(const dlm::Answer& a, const dlm::Answer& b) {
  EXPECT_EQ(a.session, b.session);
  EXPECT_EQ(a.sequence, b.sequence);
  EXPECT_EQ(a.status, b.status);
  EXPECT_EQ(a.cause, b.cause);
  EXPECT_EQ(a.group, b.group);
  EXPECT_EQ(a.token, b.token);
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.ttl_ms, b.ttl_ms);
  EXPECT_EQ(a.position, b.position);
  EXPECT_EQ(a.holder.client_id, b.holder.client_id);
  EXPECT_EQ(a.holder.owner_tag, b.holder.owner_tag);
  EXPECT_EQ(a.holder.since_unix_ms, b.holder.since_unix_ms);
  EXPECT_EQ(a.message, b.message);
  EXPECT_EQ(a.moved_to, b.moved_to);
}

void expect_same(const LockReport& a, const LockReport& b) {
  EXPECT_EQ(a.resource, b.resource);
  EXPECT_EQ(a.group, b.group);
  EXPECT_EQ(a.waiter_count, b.waiter_count);
  ASSERT_EQ(a.holders.size(), b.holders.size());
  for (std::size_t i = 0; i < a.holders.size(); ++i) {
    EXPECT_EQ(a.holders[i].client_id, b.holders[i].client_id);
    EXPECT_EQ(a.holders[i].owner_tag, b.holders[i].owner_tag);
    EXPECT_EQ(a.holders[i].mode, b.holders[i].mode);
    EXPECT_EQ(a.holders[i].lease, b.holders[i].lease);
    EXPECT_EQ(a.holders[i].token, b.holders[i].token);
    EXPECT_EQ(a.holders[i].count, b.holders[i].count);
    EXPECT_EQ(a.holders[i].since_unix_ms, b.holders[i].since_unix_ms);
    EXPECT_EQ(a.holders[i].left_ms, b.holders[i].left_ms);
  }
  ASSERT_EQ(a.waiters.size(), b.waiters.size());
  for (std::size_t i = 0; i < a.waiters.size(); ++i) {
    EXPECT_EQ(a.waiters[i].client_id, b.waiters[i].client_id);
    EXPECT_EQ(a.waiters[i].owner_tag, b.waiters[i].owner_tag);
    EXPECT_EQ(a.waiters[i].mode, b.waiters[i].mode);
    EXPECT_EQ(a.waiters[i].since_unix_ms, b.waiters[i].since_unix_ms);
    EXPECT_EQ(a.waiters[i].left_ms, b.waiters[i].left_ms);
  }
}

void expect_same(const GroupReport& a, const GroupReport& b) {
  EXPECT_EQ(a.group, b.group);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.primary, b.primary);
  EXPECT_EQ(a.in_sync, b.in_sync);
  EXPECT_EQ(a.members, b.members);
  EXPECT_EQ(a.era, b.era);
  EXPECT_EQ(a.last_index, b.last_index);
  EXPECT_EQ(a.committed_index, b.committed_index);
  EXPECT_EQ(a.locks_held, b.locks_held);
  EXPECT_EQ(a.waiters, b.waiters);
  EXPECT_EQ(a.sessions, b.sessions);
  EXPECT_EQ(a.durable, b.durable);
  EXPECT_EQ(a.problem, b.problem);
  EXPECT_EQ(a.ring_version, b.ring_version);
  EXPECT_EQ(a.arcs, b.arcs);
  EXPECT_EQ(a.share_owned, b.share_owned);
  EXPECT_EQ(a.move.arcs_left, b.move.arcs_left);
  EXPECT_EQ(a.move.arcs_under_way, b.move.arcs_under_way);
  EXPECT_EQ(a.move.share_left, b.move.share_left);
  EXPECT_EQ(a.move.arcs_moved, b.move.arcs_moved);
  EXPECT_EQ(a.move.locks_moved, b.move.locks_moved);
  EXPECT_EQ(a.move.waits_for, b.move.waits_for);
}

LockReport some_lock() {
  return {.resource = std::string("orders/\0/42", 11),
          .group = GroupId(3),
          .holders = {{"c1", "t1", LockMode::shared, LeaseKind::capped, FencingToken(1ULL << 41), 2,
                       1'700'000'000'000, 9'000},
                      {"c2", "", LockMode::shared, LeaseKind::detached, FencingToken(kMax64), kMax32, kMax64,
                       kMax32}},
          .waiters = {{"c3", std::string("\xff\x00", 2), LockMode::exclusive, 12, kWaitForeverMs}},
          .waiter_count = 7};
}

GroupReport some_group() {
  return {.group = GroupId(kMax32),
          .epoch = Epoch(kMax64),
          .primary = "s1#42",
          .in_sync = {"s1#42", "s2#1"},
          .members = {"s1#42", "", "s3#9"},
          .durable = {"s3#9"},
          .era = 5,
          .last_index = LogIndex(1'000),
          .committed_index = LogIndex(999),
          .locks_held = kMax64,
          .waiters = 1,
          .sessions = 2,
          .ring_version = 7,
          .arcs = 8,
          .share_owned = 0.25,
          .move = {9, 4, 0.125, kMax64, 11, "g2 waits"},
          .problem = "the primary can't be reached"};
}

TEST(OperationCodec, KeepsEveryField) {
  dlm::Operation operation{.kind = OperationKind::renew,
                           .mode = LockMode::shared,
                           .lease = LeaseKind::capped,
                           .session = SessionId(1),
                           .sequence = Sequence(2),
                           .acked_below = Sequence(3),
                           .target = Sequence(4),
                           .token = FencingToken(5),
                           .wait_ms = 6,
                           .lease_ms = 7,
                           .deadline_ms = 8,
                           .resource = "nine",
                           .owner_tag = "ten",
                           .client_id = "eleven"};
  round_trip<Operation>(operation, [&](const dlm::Operation& got) { expect_same(operation, got); });
}

TEST(OperationCodec, KeepsDefaultsAndEmptyTexts) {
  round_trip<Operation>(dlm::Operation(),
                        [](const dlm::Operation& got) { expect_same(dlm::Operation(), got); });
}

TEST(OperationCodec, KeepsExtremeValuesAndAnyBytes) {
  std::string resource(kResourceBytesMax, '\0');
  for (std::size_t i = 0; i < resource.size(); ++i) resource[i] = static_cast<char>(i);
  std::string tag(kOwnerTagBytesMax, '\xff');
  std::string client(kClientIdBytesMax, '\0');
  dlm::Operation operation{.kind = OperationKind::start_epoch,
                           .session = SessionId(kMax64),
                           .sequence = Sequence(kMax64),
                           .acked_below = Sequence(kMax64),
                           .target = Sequence(kMax64),
                           .token = FencingToken(kMax64),
                           .wait_ms = kMax32,
                           .lease_ms = kMax32,
                           .deadline_ms = kMax32,
                           .resource = resource,
                           .owner_tag = tag,
                           .client_id = client};
  round_trip<Operation>(operation, [&](const dlm::Operation& got) { expect_same(operation, got); });
}

TEST(OperationCodec, PassesUnknownNumbersThrough) {
  capnp::MallocMessageBuilder message;
  auto builder = message.initRoot<Operation>();
  builder.setKind(255);
  builder.setMode(200);
  builder.setLease(99);
  auto operation = read(builder.asReader());
  EXPECT_EQ(static_cast<int>(operation.kind), 255);
  EXPECT_EQ(static_cast<int>(operation.mode), 200);
  EXPECT_EQ(static_cast<int>(operation.lease), 99);
}

TEST(AnswerCodec, KeepsEveryField) {
  dlm::Answer answer{.session = SessionId(kMax64),
                     .sequence = Sequence(kMax64),
                     .status = Status::stale,
                     .cause = EndCause::expired,
                     .group = GroupId(kMax32),
                     .token = FencingToken(kMax64),
                     .count = 1,
                     .ttl_ms = 2,
                     .position = 3,
                     .holder = {"c1", std::string("\0t", 2), kMax64},
                     .message = "wait a little",
                     .moved_to = {GroupId(3), GroupId(kMax32)}};
  round_trip<Answer>(answer, [&](const dlm::Answer& got) { expect_same(answer, got); });
  round_trip<Answer>(dlm::Answer(), [](const dlm::Answer& got) { expect_same(dlm::Answer(), got); });
}

TEST(LockCodec, KeepsHoldersAndWaitersInOrder) {
  round_trip<Lock>(some_lock(), [](const LockReport& got) { expect_same(some_lock(), got); });
  round_trip<Lock>(LockReport(), [](const LockReport& got) { expect_same(LockReport(), got); });
}

TEST(LockPageCodec, KeepsLocksAndCursor) {
  dlm::LockPage page{.locks = {some_lock(), LockReport(), some_lock()}, .next_cursor = kMax64};
  round_trip<LockPage>(page, [&](const dlm::LockPage& got) {
    EXPECT_EQ(got.next_cursor, kMax64);
    ASSERT_EQ(got.locks.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) expect_same(page.locks[i], got.locks[i]);
  });
}

TEST(GroupCodec, KeepsEveryField) {
  round_trip<GroupStatus>(some_group(), [](const GroupReport& got) { expect_same(some_group(), got); });
  round_trip<GroupStatus>(GroupReport(), [](const GroupReport& got) { expect_same(GroupReport(), got); });
}

TEST(ClusterCodec, KeepsEveryField) {
  ClusterReport cluster{.cluster = "c-1",
                        .ring_version = kMax64,
                        .routers = {{"r1", "127.0.0.1:7700"}, {"r2", ""}},
                        .ring = {{GroupId(1), 1.5, 0.6}, {GroupId(2), 0, 1}},
                        .groups = {some_group(), GroupReport()}};
  round_trip<ClusterStatus>(cluster, [&](const ClusterReport& got) {
    EXPECT_EQ(got.cluster, cluster.cluster);
    EXPECT_EQ(got.ring_version, cluster.ring_version);
    ASSERT_EQ(got.routers.size(), 2u);
    EXPECT_EQ(got.routers[0].id, "r1");
    EXPECT_EQ(got.routers[0].address, "127.0.0.1:7700");
    EXPECT_EQ(got.routers[1].id, "r2");
    ASSERT_EQ(got.ring.size(), 2u);
    EXPECT_EQ(got.ring[0].group, GroupId(1));
    EXPECT_EQ(got.ring[0].weight, 1.5);
    EXPECT_EQ(got.ring[1].share, 1);
    ASSERT_EQ(got.groups.size(), 2u);
    expect_same(got.groups[0], cluster.groups[0]);
    expect_same(got.groups[1], cluster.groups[1]);
  });
}

TEST(RingCodec, KeepsEveryField) {
  RingReport ring;
  ring.version = kMax64;
  ring.changing = ring.paused = true;
  ring.locks_per_s_max = kMax32;
  ring.groups = {{1, 2, 0.5, 0.25, some_group()}, {}};
  ring.flows = {{GroupId(1), GroupId(2), 3, 0.5, kMax64, 4}};
  round_trip<RingStatus>(ring, [&](const RingReport& got) {
    EXPECT_EQ(got.version, ring.version);
    EXPECT_TRUE(got.changing);
    EXPECT_TRUE(got.paused);
    EXPECT_EQ(got.locks_per_s_max, kMax32);
    ASSERT_EQ(got.groups.size(), 2U);
    EXPECT_EQ(got.groups[0].weight, 1);
    EXPECT_EQ(got.groups[0].weight_before, 2);
    EXPECT_EQ(got.groups[0].share, 0.5);
    EXPECT_EQ(got.groups[0].share_before, 0.25);
    expect_same(got.groups[0].state, some_group());
    ASSERT_EQ(got.flows.size(), 1U);
    EXPECT_EQ(got.flows[0].from, GroupId(1));
    EXPECT_EQ(got.flows[0].to, GroupId(2));
    EXPECT_EQ(got.flows[0].arcs, 3U);
    EXPECT_EQ(got.flows[0].share, 0.5);
    EXPECT_EQ(got.flows[0].locks, kMax64);
    EXPECT_EQ(got.flows[0].waiters, 4U);
  });
}

TEST(RecoveryCodec, KeepsEveryField) {
  RecoveryReport report;
  report.group = GroupId(3);
  report.version = kMax64;
  report.epoch = Epoch(5);
  report.era = 6;
  report.lost = {"s1#4", "s2#7"};
  report.in_sync_alive = {"s3#9"};
  report.members = {"s3#9", "s4#1", "s5#2"};
  report.lease_ms_max = kMax32;
  report.successor = "s4#1";
  report.first_token = FencingToken(kMax64);
  report.refusal = "s3#9 lives";
  report.begun = true;
  round_trip<Recovery>(report, [&](const RecoveryReport& got) {
    EXPECT_EQ(got.group, report.group);
    EXPECT_EQ(got.version, report.version);
    EXPECT_EQ(got.epoch, report.epoch);
    EXPECT_EQ(got.era, report.era);
    EXPECT_EQ(got.lost, report.lost);
    EXPECT_EQ(got.in_sync_alive, report.in_sync_alive);
    EXPECT_EQ(got.members, report.members);
    EXPECT_EQ(got.lease_ms_max, report.lease_ms_max);
    EXPECT_EQ(got.successor, report.successor);
    EXPECT_EQ(got.first_token, report.first_token);
    EXPECT_EQ(got.refusal, report.refusal);
    EXPECT_TRUE(got.begun);
  });
}

TEST(RingCodec, KeepsWhatIsAskedOfIt) {
  dlm::RingChange change{dlm::RingChange::Kind::weight, GroupId(3), 2.5, 7, kMax64, true};
  round_trip<RingChange>(change, [&](const dlm::RingChange& got) {
    EXPECT_EQ(got.kind, change.kind);
    EXPECT_EQ(got.group, change.group);
    EXPECT_EQ(got.weight, change.weight);
    EXPECT_EQ(got.locks_per_s_max, change.locks_per_s_max);
    EXPECT_EQ(got.expected_version, change.expected_version);
    EXPECT_TRUE(got.dry_run);
  });
  PlaceReport place{std::string("a\0b", 3), kMax64, 1, 2, GroupId(3), GroupId(4), "s1#42", 5};
  round_trip<Place>(place, [&](const PlaceReport& got) {
    EXPECT_EQ(got.resource, place.resource);
    EXPECT_EQ(got.hash, place.hash);
    EXPECT_EQ(got.arc_begin, place.arc_begin);
    EXPECT_EQ(got.arc_end, place.arc_end);
    EXPECT_EQ(got.group, place.group);
    EXPECT_EQ(got.moving_to, place.moving_to);
    EXPECT_EQ(got.primary, place.primary);
    EXPECT_EQ(got.ring_version, place.ring_version);
  });
}

TEST(Codec, ADamagedMessageThrowsAndDoesNoHarm) {
  capnp::MallocMessageBuilder builder;
  write(dlm::LockPage{.locks = {some_lock(), some_lock()}, .next_cursor = 9}, builder.initRoot<LockPage>());
  auto good = capnp::messageToFlatArray(builder);
  auto bytes = good.asBytes();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (kj::byte mask : {0x01, 0x40, 0xff}) {
      bytes[i] ^= mask;
      try {
        capnp::FlatArrayMessageReader reader(good);
        auto page = read(reader.getRoot<LockPage>());
        EXPECT_LE(page.locks.size(), 1'000u);
      } catch (const kj::Exception&) {
      }
      bytes[i] ^= mask;
    }
  }
}

}  // namespace
}  // namespace dlm::wire
