// A group for tests of its core: a cluster with a serving primary and all members in sync.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>

#include "group_cluster.h"

namespace dlm::server {

inline constexpr std::uint64_t kAnn = 1u << 16;
inline constexpr std::uint64_t kBob = 2u << 16;
inline constexpr std::uint64_t kCat = 3u << 16;

class GroupCoreTest : public ::testing::Test {
 protected:
  void begin(int members, GroupOptions options = {}) {
    options.replica.lease_ms_first = options.table.lease_ms_max;  // none is put off
    cluster_ = std::make_unique<GroupCluster>(members, options);
    for (int i = 0; i < 100 && cluster_->config().in_sync.size() < static_cast<std::size_t>(members); ++i) {
      cluster_->pass_ms(50);
    }
    ASSERT_EQ(cluster_->config().in_sync.size(), static_cast<std::size_t>(members));
    ASSERT_NE(primary(), "");
  }
  std::string primary() const { return cluster_->primary(); }
  std::string backup() const {
    for (const MemberName& member : cluster_->config().in_sync) {
      if (member != cluster_->config().primary && cluster_->is_running(member.server)) return member.server;
    }
    return "";
  }
  Answer ask(const Operation& op, std::uint64_t channel = 1) { return cluster_->ask(primary(), op, channel); }
  // Until there is a serving primary other than the one given.
  void await_takeover_from(const std::string& old) {
    for (int i = 0; i < 1'000 && (primary().empty() || primary() == old); ++i) cluster_->pass_ms(10);
    ASSERT_NE(primary(), "");
    ASSERT_NE(primary(), old);
  }

  std::unique_ptr<GroupCluster> cluster_;
};

}  // namespace dlm::server
