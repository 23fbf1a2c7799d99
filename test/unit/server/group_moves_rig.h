// Two groups and a ring that changes: each transfer between them is carried by hand.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "coordinator/core/ring_change.h"
#include "test/unit/server/group_cluster.h"

namespace dlm::server {

inline constexpr GroupId kOne{1};
inline constexpr GroupId kTwo{2};
inline constexpr std::uint64_t kAnn = 0x10000;
inline constexpr std::uint64_t kBob = 0x20000;

inline GroupOptions of_group(GroupId group) {
  GroupOptions options;
  options.replica.group = group;
  options.move_locks_max = 50;
  return options;
}

// g1 has everything; g2 is there and owns nothing.
class GroupMoves : public ::testing::Test {
 protected:
  GroupMoves() : one_(3, of_group(kOne)), two_(3, of_group(kTwo)) {
    ring_ = one_.ring;
    pass_ms(2'000);
    EXPECT_EQ(one_.ask(one_.primary(), open_session(kAnn, "ann")).status, Status::ok);
    EXPECT_EQ(one_.ask(one_.primary(), open_session(kBob, "bob")).status, Status::ok);
  }

  void pass_ms(TimeMs ms) {
    one_.pass_ms(ms);
    two_.pass_ms(ms);
  }
  void tell_ring(const coordinator::RingRecord& ring) {
    ring_ = ring;
    ++ring_.version;
    one_.set_ring(ring_);
    two_.set_ring(ring_);
    one_.settle();
    two_.settle();
  }
  void add_two() {
    coordinator::RingRecord next = ring_;
    next.before = next.groups;
    next.groups.push_back({kTwo, 1});
    tell_ring(next);
  }
  void abort() {
    coordinator::RingRecord next = ring_;
    std::swap(next.groups, next.before);
    tell_ring(next);
  }
  std::map<GroupId, VersionedConfig> records() const {
    return {{kOne, one_.record()}, {kTwo, two_.record()}};
  }
  bool through() const { return coordinator::all_done(ring_, records()); }

  // Carries transfers of g1 (and back those of g2) until nothing goes on; time passes as far as it must.
  void carry(int rounds = 3'000) {
    for (int i = 0; i < rounds && !through(); ++i) {
      bool idle = true;
      for (auto* from : {&one_, &two_}) {
        GroupCluster& to = from == &one_ ? two_ : one_;
        for (const GroupCluster::Sent& sent : from->take_transfers()) {
          idle = false;
          from->answer_transfer(sent, to.primary().empty() ? TransferReply{Status::unavailable, "", 0, {}, 0}
                                                           : to.move_in(to.primary(), sent.transfer));
        }
      }
      if (idle) pass_ms(10);
    }
  }
  // The next transfer that carries an arc. What only asks is answered, other arcs reach nobody.
  GroupCluster::Sent next_arc(GroupCluster& from, GroupCluster& to) {
    GroupCluster::Sent found;
    for (int i = 0; i < 100 && found.by.empty(); ++i) {
      for (const GroupCluster::Sent& sent : from.take_transfers()) {
        if (sent.transfer.number == 0) {
          from.answer_transfer(sent, to.move_in(to.primary(), sent.transfer));
        } else if (found.by.empty()) {
          found = sent;
        } else {
          from.answer_transfer(sent, {Status::unavailable, "lost", 0, {}, 0});
        }
      }
      pass_ms(10);
    }
    EXPECT_FALSE(found.by.empty()) << "no arc was sent";
    return found;
  }

  void lock_names(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string name = "lock/" + std::to_string(i);
      ASSERT_EQ(one_.ask(one_.primary(), acquire(kAnn, ++sequence_, name)).status, Status::ok);
    }
  }
  std::uint64_t held(GroupCluster& group) { return group.core(group.primary()).table().stats().locks_held; }
  static double share(GroupCluster& group) {
    double sum = 0;
    for (const OwnedArc& arc : group.core(group.primary()).table().arcs())
      sum += static_cast<double>(arc.end - arc.begin) / 18446744073709551616.0;
    return sum;
  }

  GroupCluster one_;
  GroupCluster two_;
  coordinator::RingRecord ring_;
  std::uint64_t sequence_ = 0;
};

}  // namespace dlm::server
