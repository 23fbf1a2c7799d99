// The lines of a history.
#include "test/chaos/history/record.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "test/chaos/history/history_file.h"

namespace dlm::chaos {
namespace {

Record example() {
  Record record;
  record.client = "c1.2";
  record.op = Op::query;
  record.resource = "a \"quoted\" name";
  record.call_ns = 12'345'678'901'234;
  record.return_ns = 12'345'678'999'999;
  record.outcome = Outcome::held;
  record.token = (std::uint64_t{3} << 40) + 7;
  record.count = 2;
  record.ttl_ms = 1500;
  record.holder = "c2";
  return record;
}

TEST(HistoryLine, HasExactlyTheFieldsThatOutsideCheckersRead) {
  Record record = example();
  EXPECT_EQ(
      to_line(record),
      R"({"client":"c1.2","op":"query","resource":"a \"quoted\" name","call_ns":12345678901234,)"
      R"("return_ns":12345678999999,"result":"held","token":3298534883335,"count":2,"ttl_ms":1500,"holder":"c2"})");
  record.op = Op::acquire;
  record.outcome = Outcome::timeout;
  EXPECT_EQ(to_line(record).find("holder"), std::string::npos);
}

TEST(HistoryLine, IsReadAsItWasWritten) {
  std::string error;
  EXPECT_EQ(parse_line(to_line(example()), error), example());
}

TEST(HistoryLine, OfAnotherServiceMayLeaveOutWhatIsNotTold) {
  std::string error;
  auto record = parse_line(
      R"({"client":"a","op":"acquire","resource":"r","call_ns":1,"return_ns":2,"result":"timeout"})", error);
  ASSERT_TRUE(record) << error;
  EXPECT_EQ(record->token, 0u);
}

TEST(HistoryLine, ThatMakesNoSenseIsRefusedWithTheReason) {
  const std::pair<const char*, const char*> cases[] = {
      {"granted", "not a JSON object"},
      {R"({"client":"a","op":"acquire","resource":"r","call_ns":1,"return_ns":2,"result":"released"})",
       "does not fit"},
      {R"({"client":"a","op":"lock","resource":"r","call_ns":1,"return_ns":2,"result":"granted"})",
       "op is unknown"},
      {R"({"client":"a","op":"query","resource":"r","call_ns":3,"return_ns":2,"result":"free"})",
       "returned before"},
      {R"({"client":"a","op":"query","resource":"r","return_ns":2,"result":"free"})", "call_ns is missing"},
  };
  for (const auto& [line, why] : cases) {
    std::string error;
    EXPECT_FALSE(parse_line(line, error)) << line;
    EXPECT_NE(error.find(why), std::string::npos) << error;
  }
}

class HistoryFile : public testing::Test {
 protected:
  HistoryFile() : folder_(testing::TempDir() + "/history-file"), path_(folder_ + "/history") {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~HistoryFile() override { std::filesystem::remove_all(folder_); }

  const std::string folder_;
  const std::string path_;
};

TEST_F(HistoryFile, KeepsSharedHoldsAndContextBesideTheRecords) {
  History history;
  history.records = {example(), example()};
  history.records[1].op = Op::acquire;
  history.records[1].outcome = Outcome::granted;
  history.records[1].holder.clear();
  history.records[1].resource = "read and written";
  history.records[1].mode = LockMode::shared;
  history.context.faults = {{"kill", "s1", "g1", 5, 9}};
  history.context.claims = {{"c2", "r", 7, 11}};
  history.context.groups = {{"r", "g1"}};
  write_history(path_, history);

  const History read = read_history(path_);
  EXPECT_EQ(read.records, history.records);
  ASSERT_EQ(read.context.faults.size(), 1u);
  EXPECT_EQ(read.context.faults[0].to_ns, 9);
  ASSERT_EQ(read.context.claims.size(), 1u);
  EXPECT_EQ(read.context.claims[0].until_ns, 11);
  EXPECT_EQ(read.context.groups, history.context.groups);

  std::filesystem::remove(path_ + ".shared");
  EXPECT_EQ(read_history(path_).records.size(), 1u)
      << "shared holds must not be in the file for outside checkers";
}

TEST_F(HistoryFile, NamesTheLineThatIsWrong) {
  std::ofstream(path_) << to_line(example()) << "\n{}\n";
  try {
    read_history(path_);
    FAIL() << "nothing was refused";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("history:2: "), std::string::npos) << error.what();
  }
}

TEST_F(HistoryFile, ThatIsNotThereIsAnError) {
  EXPECT_THROW(read_history(path_), std::runtime_error);
}

}  // namespace
}  // namespace dlm::chaos
