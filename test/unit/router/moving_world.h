// A ring that moves: g1 leaves it, so that all that it has goes to g2. For tests of how operations follow.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core_driver.h"
#include "router/core/moving_ring.h"

namespace dlm::router {

class MovingWorld : public ::testing::Test {
 protected:
  MovingWorld() {
    d.start(2);
    c = d.client(1, {{GroupId(1), 0, true}, {GroupId(2), 4, true}});
    find_names();
  }

  void begin() {
    d.change_ring({2});
    d.turn();
  }
  // What is sent in this turn: "g1: acquire 65536/1"; one line for each submit.
  std::vector<std::string> sent() {
    d.turn();
    std::vector<std::string> lines;
    for (const Sent& submit : d.sent)
      lines.push_back(to_string(submit.group) + ": " + CoreDriver::text(submit));
    last = d.take_sent();
    return lines;
  }
  // Answers all that was sent last.
  void answer(Status status) {
    for (const Sent& submit : last) d.answer(submit, status);
  }
  // A later answer of g1 to an operation of client 1.
  void late(std::uint64_t sequence, Status status) {
    Answer answer;
    answer.session = SessionId(1 << 16);
    answer.sequence = Sequence(sequence);
    answer.status = status;
    d.core.late_answers(d.servers["s1#1"], GroupId(1), {answer}, d.now);
  }

  CoreDriver d;
  ConnectionId c;
  std::vector<Sent> last;
  // Names that go from g1 to g2: the first two in one arc, the third in another.
  std::string name;
  std::string neighbour;
  std::string stranger;

 private:
  void find_names() {
    coordinator::RingRecord after = d.view.ring;
    after.before = after.groups;
    after.groups.erase(after.groups.begin());
    MovingRing ring;
    ring.follow(after);
    const coordinator::ArcMove* arc = nullptr;
    for (unsigned i = 0; neighbour.empty() || stranger.empty(); ++i) {
      const std::string other = "lock-" + std::to_string(i);
      const coordinator::ArcMove* found = ring.move_of(coordinator::hash_of(other));
      if (found == nullptr) continue;  // it is g2's, and stays
      if (arc == nullptr) {
        arc = found;
        name = other;
      } else {
        (found == arc ? neighbour : stranger) = other;
      }
    }
  }
};

}  // namespace dlm::router
