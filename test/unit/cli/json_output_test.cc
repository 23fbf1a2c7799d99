#include "client/cli/json_output.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "schema/limits.h"

namespace dlm::cli {
namespace {

LockReport some_lock() {
  LockReport lock;
  lock.resource = "orders/42";
  lock.group = GroupId(2);
  HoldReport hold;
  hold.client_id = "w7";
  hold.owner_tag = "batch";
  hold.lease = LeaseKind::detached;
  hold.token = FencingToken((1ULL << 40) + 7);
  hold.count = 2;
  hold.since_unix_ms = 1'700'000'000'123;
  hold.left_ms = 59'000;
  lock.holders.push_back(hold);
  WaitReport wait;
  wait.client_id = "w8";
  wait.mode = LockMode::shared;
  wait.left_ms = kWaitForeverMs;
  lock.waiters.push_back(wait);
  lock.waiter_count = 3;
  return lock;
}

TEST(Json, OfALockHasStableFields) {
  EXPECT_EQ(
      json_line(to_json(some_lock())),
      R"({"resource":"orders/42","group":"g2","holders":[{"client_id":"w7","owner_tag":"batch","mode":"exclusive",)"
      R"("lease":"detached","token":1099511627783,"count":2,"since_unix_ms":1700000000123,"left_ms":59000}],)"
      R"("waiter_count":3,"waiters":[{"client_id":"w8","owner_tag":"","mode":"shared","since_unix_ms":0,)"
      R"("left_ms":null}]})"
      "\n");
}

TEST(Json, OfAClusterHasStableFields) {
  ClusterReport cluster;
  cluster.cluster = "c1";
  cluster.ring_version = 3;
  cluster.routers.push_back({"r1", "127.0.0.1:7700"});
  cluster.ring.push_back({GroupId(1), 1.5, 0.25});
  GroupReport group;
  group.group = GroupId(1);
  group.epoch = Epoch(4);
  group.primary = "s1#42";
  group.in_sync = {"s1#42", "s2#7"};
  group.members = {"s1#42"};
  group.era = 1;
  group.last_index = LogIndex(9);
  group.committed_index = LogIndex(8);
  group.locks_held = 5;
  group.durable = {"s1#42"};
  group.ring_version = 3;
  group.arcs = 7;
  group.share_owned = 0.5;
  group.problem = "";
  cluster.groups.push_back(group);
  EXPECT_EQ(
      json_line(to_json(cluster)),
      R"({"cluster":"c1","ring_version":3,"routers":[{"id":"r1","address":"127.0.0.1:7700"}],)"
      R"("ring":[{"group":"g1","weight":1.5E0,"share":2.5E-1}],)"
      R"("groups":[{"group":"g1","epoch":4,"primary":"s1#42","in_sync":["s1#42","s2#7"],"members":["s1#42"],"durable":["s1#42"],)"
      R"("era":1,"last_index":9,"committed_index":8,"locks_held":5,"waiters":0,"sessions":0,"durability":"fsync",)"
      R"("ring_version":3,"arcs":7,"share_owned":5E-1,"problem":"","move":{"arcs_left":0,"arcs_under_way":0,"share_left":0E0,)"
      R"("arcs_moved":0,"locks_moved":0,"waits_for":""}}]})"
      "\n");
}

TEST(Json, OfANameWithOddBytesKeepsThemInHex) {
  JsonObject object;
  put_name(object, "resource", std::string_view("a\x00\xff\\", 4));
  EXPECT_EQ(object.at("resource").as_string(), R"(a\x00\xff\\)");
  EXPECT_EQ(object.at("resource_hex").as_string(), "6100ff5c");

  JsonObject plain;
  put_name(plain, "resource", "a\"b é");
  EXPECT_EQ(plain.at("resource").as_string(), "a\"b é");
  EXPECT_FALSE(plain.contains("resource_hex"));
}

TEST(Json, NamesStatusesAndCausesForPrograms) {
  EXPECT_EQ(status_name(Status::ok), "ok");
  EXPECT_EQ(status_name(Status::timed_out), "timed_out");
  EXPECT_EQ(status_name(Status::would_deadlock), "would_deadlock");
  EXPECT_EQ(status_name(Status::invalid_argument), "invalid_argument");
  EXPECT_EQ(status_name(Status::stale), "stale");
  EXPECT_EQ(status_name(Status::over_quota), "over_quota");
  EXPECT_EQ(status_name(static_cast<Status>(200)), "unknown");
  EXPECT_EQ(cause_name(EndCause::never), "never");
  EXPECT_EQ(cause_name(EndCause::expired), "expired");
}

TEST(Json, OfAnErrorIsOneLineThatCanBeRead) {
  std::string line = json_line(error_json("timed_out", "held by \xff\n", {{"group", "g1"}}));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  auto error = boost::json::parse(line).at("error");
  EXPECT_EQ(error.at("status").as_string(), "timed_out");
  EXPECT_EQ(error.at("message").as_string(), R"(held by \xff\n)");
  EXPECT_EQ(error.at("group").as_string(), "g1");
}

}  // namespace
}  // namespace dlm::cli
