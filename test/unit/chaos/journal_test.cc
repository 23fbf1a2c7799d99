// The journals of workers: what a killed one had begun is unknown.
#include "test/chaos/workload/journal.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace dlm::chaos {
namespace {

class JournalTest : public testing::Test {
 protected:
  JournalTest() { std::filesystem::remove(path_); }
  ~JournalTest() override { std::filesystem::remove(path_); }

  static Record acquire(const std::string& client) {
    Record record;
    record.client = client;
    record.resource = "r";
    return record;
  }

  const std::string path_ = testing::TempDir() + "/journal";
};

TEST_F(JournalTest, TellsWhatReturnedAndLeavesTheRestUnknown) {
  {
    Journal journal(path_);
    Record first = acquire("a");
    Record second = acquire("b");
    const auto of_first = journal.begin(first);
    journal.begin(second);
    first.outcome = Outcome::granted;
    first.token = 7;
    journal.end(of_first, first);
    EXPECT_GE(first.return_ns, first.call_ns);
  }
  History history;
  const std::int64_t over_ns = now_ns();
  read_journal(path_, over_ns, history);
  ASSERT_EQ(history.records.size(), 2u);
  EXPECT_EQ(history.records[0].client, "a");
  EXPECT_EQ(history.records[0].token, 7u);
  EXPECT_EQ(history.records[1].client, "b");
  EXPECT_EQ(history.records[1].outcome, Outcome::unknown);
  EXPECT_EQ(history.records[1].return_ns, over_ns);
}

TEST_F(JournalTest, KeepsClaimsAndGroups) {
  {
    Journal journal(path_);
    journal.claim({"a", "r", 7, 99});
    journal.group("r", "g2");
  }
  History history;
  read_journal(path_, 0, history);
  ASSERT_EQ(history.context.claims.size(), 1u);
  EXPECT_EQ(history.context.claims[0].until_ns, 99);
  EXPECT_EQ(history.context.groups.at("r"), "g2");
}

}  // namespace
}  // namespace dlm::chaos
