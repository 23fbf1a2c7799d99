#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "server/core/session_memory.h"

namespace dlm::server {
namespace {

StoredAnswer answer_of(std::uint64_t sequence) {
  StoredAnswer answer;
  answer.sequence = Sequence(sequence);
  answer.number = sequence * 7;
  return answer;
}

std::vector<std::uint64_t> sequences_of(const AnswerMemory& memory) {
  std::vector<std::uint64_t> sequences;
  for (const StoredAnswer& answer : memory) sequences.push_back(answer.sequence.value);
  return sequences;
}

TEST(AnswerMemory, IsEmptyAtFirstAndAfterAllIsForgotten) {
  AnswerMemory memory;
  EXPECT_EQ(memory.begin(), memory.end());
  EXPECT_EQ(memory.find(Sequence(1)), nullptr);
  for (std::uint64_t sequence : {1, 2, 1'000}) memory.insert(answer_of(sequence));
  std::vector<std::uint64_t> forgotten;
  memory.forget_below(Sequence(1'001),
                      [&](const StoredAnswer& answer) { forgotten.push_back(answer.sequence.value); });
  EXPECT_EQ(forgotten, (std::vector<std::uint64_t>{1, 2, 1'000}));
  EXPECT_EQ(memory.begin(), memory.end());
  EXPECT_EQ(memory.size(), 0U);
  EXPECT_EQ(memory.find(Sequence(1'000)), nullptr);
  EXPECT_TRUE(memory.insert(answer_of(5)));
  EXPECT_EQ(sequences_of(memory), (std::vector<std::uint64_t>{5}));
}

TEST(AnswerMemory, KeepsTheFirstAnswerOfASequence) {
  AnswerMemory memory;
  EXPECT_TRUE(memory.insert(answer_of(3)));
  EXPECT_TRUE(memory.insert(answer_of(4)));
  StoredAnswer other = answer_of(3);
  other.number = 1;
  EXPECT_FALSE(memory.insert(other));
  EXPECT_EQ(memory.find(Sequence(3))->number, 21U);
}

// Against a map: in windows of sequences that advance, in any order within.
TEST(AnswerMemory, FindsAndForgetsLikeAMap) {
  std::mt19937 random(1);
  for (std::uint64_t width : {1, 10, 1'000, 20'000}) {
    AnswerMemory memory;
    std::map<std::uint64_t, StoredAnswer> expected;
    std::uint64_t base = 1;
    for (int step = 0; step < 20'000; ++step) {
      const std::uint64_t sequence = base + random() % width;
      EXPECT_EQ(memory.insert(answer_of(sequence)),
                expected.try_emplace(sequence, answer_of(sequence)).second);
      if (random() % 16 == 0) {
        base += random() % (width / 4 + 2);
        memory.forget_below(Sequence(base), [&](const StoredAnswer& answer) {
          ASSERT_EQ(answer.sequence.value, expected.begin()->first);
          expected.erase(expected.begin());
        });
        ASSERT_TRUE(expected.empty() || expected.begin()->first >= base);
      }
      ASSERT_EQ(memory.size(), expected.size());
      const std::uint64_t wanted = base + random() % width;
      const StoredAnswer* found = memory.find(Sequence(wanted));
      ASSERT_EQ(found != nullptr, expected.count(wanted) == 1) << wanted;
      ASSERT_TRUE(found == nullptr || found->number == wanted * 7);
      if (step % 997 != 0) continue;
      std::vector<std::uint64_t> all;
      for (const auto& [key, answer] : expected) all.push_back(key);
      ASSERT_EQ(sequences_of(memory), all);
    }
  }
}

}  // namespace
}  // namespace dlm::server
