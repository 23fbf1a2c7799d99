#include "server/core/group_core.h"

#include "group_core_rig.h"
#include "schema/limits.h"
#include "server/core/entry_codec.h"

namespace dlm::server {
namespace {

// --- operations ------------------------------------------------------------------------------------------

TEST_F(GroupCoreTest, CommitsOnAllReplicasAndAnswers) {
  begin(3);
  EXPECT_EQ(ask(open_session(kAnn, "ann", 10'000)).ttl_ms, 10'000U);
  Answer granted = ask(acquire(kAnn, 1, "a"));
  EXPECT_EQ(granted.status, Status::ok);
  EXPECT_GE(granted.token.value, 1ULL << 40);
  EXPECT_EQ(granted.group, GroupId(1));
  cluster_->pass_ms(200);
  EXPECT_TRUE(cluster_->agree());
  EXPECT_EQ(cluster_->core(backup()).table().stats().locks_held, 1U);
}

TEST_F(GroupCoreTest, AnswersEachOperationOfASubmitOnce) {
  begin(2);
  RequestId request =
      cluster_->submit(primary(), {open_session(kAnn, "ann"), acquire(kAnn, 1, "a"), acquire(kAnn, 2, "b"),
                                   heartbeat(kAnn), release(kAnn, 3, "a")});
  EXPECT_FALSE(cluster_->is_finished(request));
  cluster_->settle();
  ASSERT_TRUE(cluster_->is_finished(request));
  EXPECT_EQ(cluster_->answers(request).size(), 5U);
  for (const Answer& answer : cluster_->answers(request))
    EXPECT_EQ(answer.status, Status::ok) << answer.message;
}

TEST_F(GroupCoreTest, AQueuedAcquireIsAnsweredTwice) {
  begin(2);
  ask(open_session(kAnn, "ann"));
  ask(open_session(kBob, "bob"));
  ask(acquire(kAnn, 1, "a"));
  Answer queued = ask(acquire(kBob, 1, "a", kWaitForeverMs), 2);
  EXPECT_EQ(queued.status, Status::queued);
  EXPECT_EQ(queued.holder.client_id, "ann");
  EXPECT_TRUE(cluster_->take_later(2).empty());
  EXPECT_EQ(ask(release(kAnn, 2, "a")).status, Status::ok);
  std::vector<Answer> later = cluster_->take_later(2);
  ASSERT_EQ(later.size(), 1U);
  EXPECT_EQ(later[0].status, Status::ok);
  EXPECT_EQ(later[0].session, SessionId(kBob));
  EXPECT_EQ(later[0].sequence, Sequence(1));
  EXPECT_EQ(later[0].group, GroupId(1));
  EXPECT_TRUE(cluster_->take_later(1).empty());
}

TEST_F(GroupCoreTest, LaterAnswersGoToEveryRouterThatWasToldQueued) {
  begin(2);
  ask(open_session(kAnn, "ann"));
  ask(open_session(kBob, "bob"));
  ask(acquire(kAnn, 1, "a"));
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 2);
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 3);
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 3);
  ask(heartbeat(kBob), 4);
  ask(release(kAnn, 2, "a"));
  EXPECT_EQ(cluster_->take_later(2).size(), 1U);
  EXPECT_EQ(cluster_->take_later(3).size(), 1U);
  EXPECT_TRUE(cluster_->take_later(4).empty());
}

TEST_F(GroupCoreTest, WhatAClientsOldRouterSentLateDrawsNoGrantAwayFromItsNewOne) {
  begin(2);
  ask(open_session(kAnn, "ann"));
  ask(open_session(kBob, "bob"));
  ask(acquire(kAnn, 1, "a"));
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 2);
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 3);  // the new router
  ask(heartbeat(kBob), 2);
  ask(acquire(kBob, 2, "b"), 2);
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 2);
  ask(release(kAnn, 2, "a"));
  EXPECT_EQ(cluster_->take_later(3).size(), 1U);
}

TEST_F(GroupCoreTest, AClosedChannelTakesNoLaterAnswersFromTheOthers) {
  begin(2);
  ask(open_session(kAnn, "ann"));
  ask(open_session(kBob, "bob"));
  ask(acquire(kAnn, 1, "a"));
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 2);
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 3);
  cluster_->core(primary()).channel_closed(ChannelId(3));
  ask(release(kAnn, 2, "a"));
  EXPECT_EQ(cluster_->take_later(2).size(), 1U);
  EXPECT_TRUE(cluster_->take_later(3).empty());
}

TEST_F(GroupCoreTest, AfterAChannelClosedTheRetryOnAnotherGetsTheGrant) {
  begin(2);
  ask(open_session(kAnn, "ann"));
  ask(open_session(kBob, "bob"));
  ask(acquire(kAnn, 1, "a"));
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 2);
  cluster_->core(primary()).channel_closed(ChannelId(2));
  ask(release(kAnn, 2, "a"));
  EXPECT_TRUE(cluster_->take_later(2).empty());
  EXPECT_EQ(ask(acquire(kBob, 1, "a", kWaitForeverMs), 3).status, Status::ok);
}

TEST_F(GroupCoreTest, AClosedChannelHearsNothingOfWhatItSubmitted) {
  begin(2);
  ask(open_session(kAnn, "ann"));
  RequestId request = cluster_->submit(primary(), {acquire(kAnn, 1, "a")}, 2);
  cluster_->core(primary()).channel_closed(ChannelId(2));
  cluster_->settle();
  EXPECT_FALSE(cluster_->is_finished(request));
  EXPECT_EQ(cluster_->core(primary()).pending_operations(), 0U);
  EXPECT_EQ(cluster_->core(primary()).table().stats().locks_held, 1U) << "it was executed all the same";
}

TEST_F(GroupCoreTest, ARepeatOfAPendingOperationGetsItsOwnAnswer) {
  begin(3);
  ask(open_session(kAnn, "ann"));
  RequestId first = cluster_->submit(primary(), {acquire(kAnn, 1, "a")}, 1);
  RequestId again = cluster_->submit(primary(), {acquire(kAnn, 1, "a"), acquire(kAnn, 1, "a")}, 2);
  cluster_->settle();
  ASSERT_TRUE(cluster_->is_finished(first));
  ASSERT_TRUE(cluster_->is_finished(again));
  EXPECT_EQ(cluster_->answers(again).size(), 2U);
  EXPECT_EQ(cluster_->answers(first)[0].token, cluster_->answers(again)[0].token);
  EXPECT_EQ(cluster_->answers(again)[1].count, 1U);
}

// --- refusals --------------------------------------------------------------------------------------------

TEST_F(GroupCoreTest, ABackupAnswersNotPrimaryAtOnceAndNamesThePrimary) {
  begin(3);
  RequestId request = cluster_->submit(backup(), {open_session(kAnn, "ann"), heartbeat(kAnn)});
  cluster_->settle();
  ASSERT_EQ(cluster_->answers(request).size(), 2U);
  for (const Answer& answer : cluster_->answers(request)) {
    EXPECT_EQ(answer.status, Status::not_primary);
    EXPECT_NE(answer.message.find(coordinator::to_string(cluster_->config().primary)), std::string::npos);
  }
  EXPECT_EQ(cluster_->report(cluster_->query(backup(), {})).status, Status::not_primary);
}

TEST_F(GroupCoreTest, WhatOnlyPrimariesMayLogIsRefusedFromOutside) {
  begin(2);
  ask(open_session(kAnn, "ann"));
  for (int kind : {7, 15, 16, 17, 18, 19, 20, 255}) {
    Operation op = acquire(kAnn, 1, "a");
    op.kind = static_cast<OperationKind>(kind);
    EXPECT_EQ(ask(op).status, Status::invalid_argument) << kind;
  }
  EXPECT_EQ(ask(heartbeat(kAnn)).status, Status::ok) << "the session lives on";
}

TEST_F(GroupCoreTest, WhatIsOutsideALimitIsRefusedWithTheLimit) {
  begin(2);
  ask(open_session(kAnn, "ann"));
  std::string name(kResourceBytesMax + 1, 'x');
  Answer refused = ask(acquire(kAnn, 1, name));
  EXPECT_EQ(refused.status, Status::invalid_argument);
  EXPECT_NE(refused.message.find("4096"), std::string::npos);
  EXPECT_EQ(refused.sequence, Sequence(1));
  EXPECT_EQ(ask(acquire(kAnn, 2, std::string_view(name).substr(1))).status, Status::ok);
  std::string id(kClientIdBytesMax + 1, 'x');
  EXPECT_EQ(ask(open_session(kBob, id)).status, Status::invalid_argument);
  Operation tagged = acquire(kAnn, 3, "a");
  std::string tag(kOwnerTagBytesMax + 1, 'x');
  tagged.owner_tag = tag;
  EXPECT_EQ(ask(tagged).status, Status::invalid_argument);
  EXPECT_EQ(ask(acquire(kAnn, 0, "a")).status, Status::invalid_argument);
  EXPECT_EQ(ask(acquire(0, 1, "a")).status, Status::invalid_argument);
}

TEST_F(GroupCoreTest, BeyondItsLimitsItSaysOverloadedAndDoesNothing) {
  GroupOptions options;
  options.pending_operations_max = 10;
  begin(2, options);
  ask(open_session(kAnn, "ann"));
  std::vector<std::string> names;
  for (int i = 0; i < 30; ++i) names.push_back("r" + std::to_string(i));
  std::vector<RequestId> requests;
  for (int i = 0; i < 30; ++i) {
    requests.push_back(cluster_->submit(
        primary(), {acquire(kAnn, static_cast<std::uint64_t>(i) + 1, names[static_cast<std::size_t>(i)])}));
  }
  cluster_->settle();
  int granted = 0;
  int overloaded = 0;
  for (RequestId request : requests) {
    granted += cluster_->answers(request)[0].status == Status::ok;
    overloaded += cluster_->answers(request)[0].status == Status::overloaded;
  }
  EXPECT_EQ(granted, 10);
  EXPECT_EQ(overloaded, 20);
  EXPECT_EQ(cluster_->core(primary()).table().stats().locks_held, 10U);
  EXPECT_EQ(ask(acquire(kAnn, 100, "later")).status, Status::ok) << "it is over when the load is";
}

TEST_F(GroupCoreTest, UnderOverloadHeartbeatsAreStillTaken) {
  GroupOptions options;
  options.pending_operations_max = 10;
  begin(2, options);
  ask(open_session(kAnn, "ann"));
  for (int i = 0; i < 12; ++i) cluster_->submit(primary(), {acquire(kAnn, 1, "a")});
  RequestId renewal = cluster_->submit(primary(), {heartbeat(kAnn)});
  cluster_->settle();
  EXPECT_EQ(cluster_->answers(renewal)[0].status, Status::ok);
}

TEST_F(GroupCoreTest, WhatDoesNotFitInABatchIsInTheNextOne) {
  GroupOptions options;
  options.batch_operations_max = 3;
  begin(2, options);
  ask(open_session(kAnn, "ann"));
  LogIndex last = cluster_->core(primary()).replica().last_index();
  std::vector<std::string> names;
  for (int i = 0; i < 10; ++i) names.push_back("r" + std::to_string(i));
  std::vector<Operation> operations;
  for (std::size_t i = 0; i < names.size(); ++i) operations.push_back(acquire(kAnn, i + 1, names[i]));
  operations.push_back(heartbeat(kAnn));
  RequestId request = cluster_->submit(primary(), operations);
  cluster_->settle();
  ASSERT_TRUE(cluster_->is_finished(request));
  EXPECT_EQ(cluster_->answers(request).size(), 11U);
  EXPECT_EQ(cluster_->core(primary()).replica().last_index().value - last.value, 4U);
}

TEST_F(GroupCoreTest, AResourceOfAnotherGroupsArcIsRefusedAsMoved) {
  GroupOptions options;
  options.replica.group = GroupId(1);
  cluster_ = std::make_unique<GroupCluster>(1, options);
  cluster_->ring = {2, {{GroupId(1), 1}, {GroupId(2), 1}}};
  cluster_->restart("s1");  // before anything happened, so the group begins with this ring
  cluster_->pass_ms(200);
  ask(open_session(kAnn, "ann"));
  coordinator::Ring ring(cluster_->ring);
  int moved = 0;
  for (std::uint64_t i = 1; i <= 50; ++i) {
    std::string name = "r" + std::to_string(i);
    const bool ours = ring.group_of(coordinator::hash_of(name)) == GroupId(1);
    EXPECT_EQ(ask(acquire(kAnn, i, name)).status, ours ? Status::ok : Status::moved);
    GroupQuery query{GroupQuery::Kind::inspect, name, 0, 0};
    EXPECT_EQ(cluster_->report(cluster_->query("s1", query)).status, ours ? Status::ok : Status::moved);
    moved += !ours;
  }
  EXPECT_GT(moved, 0);
}

TEST_F(GroupCoreTest, NoGroupBeginsBeforeTheRingIsKnown) {
  cluster_ = std::make_unique<GroupCluster>(0);
  GroupOptions options;
  options.replica.group = GroupId(1);
  options.replica.self = {"s1", 1};
  GroupCore core(options);
  GroupOutput output;
  for (TimeMs now = 0; now < 10'000; now += 100) {
    core.on_view({}, {{"s1", 1}}, {}, {now, 0});
    core.turn({now, 0}, output);
    EXPECT_FALSE(output.propose);
  }
}

TEST_F(GroupCoreTest, ADamagedBatchFromAPeerIsRefusedAndChangesNothing) {
  begin(3);
  GroupCore& core = cluster_->core(backup());
  LogIndex last = core.replica().last_index();
  Append message;
  message.to = {backup(), 0};
  for (const MemberName& member : cluster_->config().in_sync) {
    if (member.server == backup()) message.to = member;
  }
  message.epoch = cluster_->config().epoch;
  message.round = 1'000'000;
  message.prev_index = last;
  message.prev_epoch = cluster_->config().epoch;
  message.committed = last.next();
  message.batches.push_back({last.next(), message.epoch, std::make_shared<const std::string>("\x01garbage")});
  core.on_append(RequestId(999'999), cluster_->config().primary, message, {cluster_->now_ms(), 0});
  GroupOutput output;
  core.turn({cluster_->now_ms(), 0}, output);
  ASSERT_EQ(output.replies.size(), 1U);
  EXPECT_TRUE(output.replies[0].damaged);
  EXPECT_EQ(core.replica().last_index(), last);
}
// --- reads -----------------------------------------------------------------------------------------------

TEST_F(GroupCoreTest, InspectTellsHoldersWaitersAndTimeLeft) {
  begin(2);
  ask(open_session(kAnn, "ann", 10'000));
  ask(open_session(kBob, "bob", 10'000));
  ask(open_session(kCat, "cat", 10'000));
  Answer granted = ask(acquire(kAnn, 1, "a"));
  ask(acquire(kBob, 1, "a", 5'000));
  ask(acquire(kCat, 1, "a", kWaitForeverMs));
  cluster_->pass_ms(1'000);
  GroupQuery query{GroupQuery::Kind::inspect, "a", 0, 0};
  const auto& reported = cluster_->report(cluster_->query(primary(), query));
  ASSERT_EQ(reported.status, Status::ok);
  const LockReport& lock = std::get<LockReport>(reported.content);
  ASSERT_EQ(lock.holders.size(), 1U);
  EXPECT_EQ(lock.group, GroupId(1));
  EXPECT_EQ(lock.holders[0].client_id, "ann");
  EXPECT_EQ(lock.holders[0].token, granted.token);
  EXPECT_GE(lock.holders[0].since_unix_ms, GroupCluster::kUnixMs);
  EXPECT_EQ(lock.holders[0].left_ms, 9'000U);
  ASSERT_EQ(lock.waiters.size(), 2U);
  EXPECT_EQ(lock.waiters[0].client_id, "bob");
  EXPECT_EQ(lock.waiters[0].left_ms, 4'000U);
  EXPECT_EQ(lock.waiters[1].left_ms, kWaitForeverMs);
}

TEST_F(GroupCoreTest, ListsAndStatusAreToldByThePrimary) {
  begin(2);
  ask(open_session(kAnn, "ann"));
  ask(acquire(kAnn, 1, "x/1"));
  ask(acquire(kAnn, 2, "x/2"));
  ask(acquire(kAnn, 3, "y/1"));
  GroupQuery list{GroupQuery::Kind::list, "x/", 0, 100};
  const auto& page = cluster_->report(cluster_->query(primary(), list));
  EXPECT_EQ(std::get<LockPage>(page.content).locks.size(), 2U);
  const auto& status = cluster_->report(cluster_->query(primary(), {}));
  const GroupReport& group = std::get<GroupReport>(status.content);
  EXPECT_EQ(group.locks_held, 3U);
  EXPECT_EQ(group.sessions, 1U);
  EXPECT_EQ(group.in_sync.size(), 2U);
  EXPECT_EQ(group.members.size(), 2U);
  EXPECT_EQ(group.primary, coordinator::to_string(cluster_->config().primary));
  EXPECT_EQ(group.committed_index, group.last_index);
}

TEST_F(GroupCoreTest, AReadSeesWhatWasSubmittedBeforeIt) {
  begin(3);
  ask(open_session(kAnn, "ann"));
  cluster_->submit(primary(), {acquire(kAnn, 1, "a")});
  GroupQuery query{GroupQuery::Kind::inspect, "a", 0, 0};
  const auto& reported = cluster_->report(cluster_->query(primary(), query));
  EXPECT_EQ(std::get<LockReport>(reported.content).holders.size(), 1U);
}

// --- alone -----------------------------------------------------------------------------------------------

TEST_F(GroupCoreTest, APrimaryAloneServesOnlyInTouchWithTheCoordinator) {
  begin(1);
  ask(open_session(kAnn, "ann", 60'000));
  EXPECT_EQ(ask(acquire(kAnn, 1, "a")).status, Status::ok);
  cluster_->pass_ms(20'000);
  EXPECT_EQ(ask(heartbeat(kAnn)).status, Status::ok);
  cluster_->cut_from_coordinator("s1");
  cluster_->pass_ms(20'000);
  EXPECT_EQ(cluster_->ask("s1", heartbeat(kAnn)).status, Status::not_primary);
  EXPECT_EQ(cluster_->ask("s1", acquire(kAnn, 2, "b")).status, Status::not_primary);
}

TEST_F(GroupCoreTest, WhoWaitsWhileAPrimaryAlonePausesIsToldOfTheGrant) {
  begin(1);
  ask(open_session(kAnn, "ann", 60'000));
  ask(open_session(kBob, "bob", 60'000));
  ask(acquire(kAnn, 1, "a"));
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 2);
  cluster_->cut_from_coordinator("s1");
  cluster_->pass_ms(20'000);
  ASSERT_EQ(cluster_->ask("s1", heartbeat(kAnn)).status, Status::not_primary);
  cluster_->reach_coordinator("s1");
  cluster_->settle();
  EXPECT_EQ(cluster_->ask("s1", release(kAnn, 2, "a")).status, Status::ok);
  EXPECT_EQ(cluster_->take_later(2).size(), 1U) << "its router has seen no reason to ask again";
}

TEST_F(GroupCoreTest, WhatAPausedPrimaryCommitsAsItComesBackIsTold) {
  begin(2);
  ask(open_session(kAnn, "ann", 60'000));
  ask(open_session(kBob, "bob", 60'000));
  ask(acquire(kAnn, 1, "a"));
  ask(acquire(kBob, 1, "a", kWaitForeverMs), 2);
  cluster_->pass_ms(10'000);
  const std::string left = primary();
  cluster_->hold_touches(left);
  const std::string lost = backup();
  cluster_->cut_off(lost);
  const RequestId request = cluster_->submit(left, {release(kAnn, 2, "a")});
  cluster_->settle();
  ASSERT_FALSE(cluster_->is_finished(request)) << "it is in the log";
  cluster_->kill(lost);
  cluster_->settle();
  ASSERT_TRUE(cluster_->is_finished(request));
  ASSERT_EQ(cluster_->answers(request)[0].status, Status::not_primary) << "alone, it pauses";
  EXPECT_TRUE(cluster_->take_later(2).empty());
  cluster_->reach_coordinator(left);
  cluster_->settle();
  ASSERT_EQ(primary(), left);
  EXPECT_EQ(cluster_->take_later(2).size(), 1U) << "the release has given bob the lock";
}

// --- a backup -------------------------------------------------------------------------------------------

// What the primary of `cluster` could send next to its only backup: one batch after all that it has.
Append next_append(GroupCluster& cluster, const GroupCore& backup, std::uint64_t round) {
  Append message;
  message.to = cluster.config().in_sync.back();
  message.epoch = backup.replica().epoch();
  message.round = round;
  message.prev_index = backup.replica().last_index();
  message.prev_epoch = message.epoch;
  message.committed = message.prev_index.next();
  BatchWriter batch;
  batch.add(open_session(round << 16, "client"));
  message.batches.push_back(
      {message.committed, message.epoch, std::make_shared<const std::string>(batch.take())});
  return message;
}

TEST_F(GroupCoreTest, ABackupAcknowledgesBeforeItAppliesAndThenDoesSo) {
  begin(2);
  const MemberName leader = cluster_->config().primary;
  GroupCore& core = cluster_->core(backup());
  ASSERT_EQ(cluster_->config().in_sync.back().server, backup());
  const Instant now{cluster_->now_ms(), GroupCluster::kUnixMs};
  const LogIndex before = core.applied_index();
  const Append message = next_append(*cluster_, core, 1'000);
  GroupOutput output;
  core.on_append(RequestId(1'000), leader, message, now);
  core.turn(now, output);
  ASSERT_EQ(output.replies.size(), 1U);
  EXPECT_TRUE(output.replies.front().reply.accepted);
  EXPECT_TRUE(output.applied.empty());
  EXPECT_EQ(core.applied_index(), before);
  EXPECT_TRUE(core.has_put_off());
  EXPECT_LE(core.next_turn(), now.ms);

  core.turn(now, output);
  EXPECT_FALSE(output.applied.empty());
  EXPECT_EQ(core.applied_index(), message.committed);
  EXPECT_FALSE(core.has_put_off());
}

TEST_F(GroupCoreTest, ABackupThatIsKeptBusyAppliesAllTheSame) {
  begin(2);
  const MemberName leader = cluster_->config().primary;
  GroupCore& core = cluster_->core(backup());
  const Instant now{cluster_->now_ms(), GroupCluster::kUnixMs};
  GroupOutput output;
  for (std::uint64_t round : {1'000, 1'001, 1'002, 1'003}) {
    core.on_append(RequestId(round), leader, next_append(*cluster_, core, round), now);
    core.turn(now, output);
    EXPECT_EQ(output.replies.size(), 1U);
  }
  EXPECT_EQ(core.applied_index(), core.replica().last_index());
}

}  // namespace
}  // namespace dlm::server
