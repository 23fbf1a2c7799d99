#include "router/core/routes.h"

#include <gtest/gtest.h>

namespace dlm::router {
namespace {

using coordinator::ClusterView;

ClusterView view_with(std::int64_t version, const std::string& primary) {
  ClusterView view;
  view.cluster = "blue";
  view.ring = {1, {{GroupId(1), 1}}};
  auto& record = view.groups[GroupId(1)];
  record.version = version;
  record.config.epoch = Epoch(static_cast<std::uint64_t>(version));
  record.config.primary = {primary, 1};
  return view;
}

TEST(Routes, KnowsNothingBeforeTheFirstView) {
  Routes routes;
  EXPECT_FALSE(routes.ready());
  EXPECT_EQ(routes.candidates(42).group, GroupId());
  EXPECT_FALSE(routes.primary_of(GroupId(1)));
}

TEST(Routes, TellsWhatAViewChanged) {
  Routes routes;
  auto first = routes.update(view_with(1, "s1"));
  EXPECT_TRUE(first.ring);
  EXPECT_EQ(first.groups, std::vector<GroupId>{GroupId(1)});
  EXPECT_EQ(routes.candidates(42).group, GroupId(1));

  auto same = routes.update(view_with(1, "s1"));
  EXPECT_FALSE(same.ring);
  EXPECT_TRUE(same.groups.empty());

  auto taken_over = routes.update(view_with(2, "s2"));
  EXPECT_FALSE(taken_over.ring);
  EXPECT_EQ(taken_over.groups, std::vector<GroupId>{GroupId(1)});
  EXPECT_EQ(routes.primary_of(GroupId(1)).server, "s2");
}

TEST(Routes, NeverGoesBackToAnOlderRecordOfTheSameCluster) {
  Routes routes;
  routes.update(view_with(2, "s2"));
  auto stale = routes.update(view_with(1, "s1"));
  EXPECT_TRUE(stale.groups.empty());
  EXPECT_EQ(routes.primary_of(GroupId(1)).server, "s2");

  ClusterView other = view_with(1, "s9");
  other.cluster = "green";
  routes.update(other);
  EXPECT_EQ(routes.primary_of(GroupId(1)).server, "s9");
}

TEST(Reaction, IsKnownForEachStatus) {
  const std::pair<Status, Reaction> table[] = {
      {Status::ok, Reaction::answer},
      {Status::queued, Reaction::wait},
      {Status::timed_out, Reaction::answer},
      {Status::cancelled, Reaction::answer},
      {Status::not_held, Reaction::answer},
      {Status::session_expired, Reaction::answer},
      {Status::session_unknown, Reaction::open_session},
      {Status::client_id_in_use, Reaction::answer},
      {Status::would_deadlock, Reaction::answer},
      {Status::unavailable, Reaction::retry},
      {Status::overloaded, Reaction::answer},
      {Status::invalid_argument, Reaction::answer},
      {Status::permission_denied, Reaction::answer},
      {Status::moved, Reaction::reroute},
      {Status::not_primary, Reaction::retry},
      {Status::stale, Reaction::answer},
      {static_cast<Status>(200), Reaction::answer},
  };
  for (const auto& [status, reaction] : table)
    EXPECT_EQ(reaction_to(status), reaction) << static_cast<int>(status);
}

}  // namespace
}  // namespace dlm::router
