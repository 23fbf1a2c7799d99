// The disk of a group in a running server: what it says is safe is there at the next start, whatever its
// threads were doing.
#include "server/group_storage.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "server/core/entry_codec.h"
#include "server/storage/posix_files.h"
#include "test/support/task_queue.h"

namespace dlm::server {
namespace {

GroupIdentity identity() {
  return {"cluster-1", "s1", 42, GroupId(1)};
}

class GroupStorageTest : public testing::Test {
 protected:
  GroupStorageTest() : path_(testing::TempDir() + "dlm-group-storage-" + std::to_string(::getpid())) {
    std::filesystem::remove_all(path_);
  }
  ~GroupStorageTest() override {
    storage_.reset();
    std::filesystem::remove_all(path_);
  }

  RecoveredState open() {
    storage_.reset();
    auto folder = posix_folder(path_);
    OpenedGroup opened = open_group(*folder, identity());
    GroupStorage::Events events;
    events.on_durable = [this](std::uint64_t records) { durable_ = records; };
    events.on_snapshot_written = [this](LogIndex index, bool last) {
      ++chunks_written_;
      if (last) snapshot_ = index;
    };
    events.on_failed = [this](const std::string& why) { failure_ = why; };
    storage_ = std::make_unique<GroupStorage>(
        [this](std::function<void()> task) { queue_.post(std::move(task)); }, std::move(folder), identity(),
        std::move(opened.log), std::move(events));
    return std::move(opened.recovered);
  }

  void write(std::uint64_t index, std::size_t bytes = 100) {
    BatchWriter entries;
    const std::string name(1'000, 'x');
    while (entries.size_bytes() < bytes) {
      Operation op;
      op.resource = name;
      entries.add(op);
    }
    GroupOutput output;
    output.log_writes.push_back(
        Batch{LogIndex(index), Epoch(1), std::make_shared<const std::string>(entries.take())});
    output.log_records = index;
    storage_->write(output);
  }

  void write_chunk(std::uint64_t index, bool first, bool last, const std::string& bytes) {
    GroupOutput output;
    output.snapshot_chunk = SnapshotChunk{{LogIndex(index), Epoch(1)}, first, last, bytes};
    storage_->write(output);
  }

  // The state of an empty table, in one chunk.
  static std::string empty_state() {
    LockTable table;
    std::string bytes;
    const auto writer = table.snapshot();
    while (writer->next(1u << 20, bytes)) {
    }
    return bytes;
  }

  // Long, for sanitizers and busy disks.
  template <class Condition>
  bool await(Condition condition) {
    return queue_.run_until(condition, std::chrono::minutes(1));
  }

  std::string path_;
  dlm::test::TaskQueue queue_;
  std::unique_ptr<GroupStorage> storage_;
  std::uint64_t durable_ = 0;
  std::size_t chunks_written_ = 0;
  LogIndex snapshot_;
  std::string failure_;
};

TEST_F(GroupStorageTest, WhatIsSafeIsThereAtTheNextStart) {
  EXPECT_TRUE(open().log.batches.empty());
  for (std::uint64_t index = 1; index <= 200; ++index) write(index);
  ASSERT_TRUE(await([this] { return durable_ == 200; }));
  EXPECT_EQ(open().log.batches.size(), 200u);
}

// More than a segment holds, so that the next one is made beside the writing.
TEST_F(GroupStorageTest, GoesOnOverSegments) {
  open();
  for (std::uint64_t index = 1; index <= 20; ++index) write(index, 1u << 20);
  ASSERT_TRUE(await([this] { return durable_ == 20; }));
  EXPECT_GT(storage_->size_bytes(), 20u << 20);
  EXPECT_EQ(open().log.batches.size(), 20u);
}

TEST_F(GroupStorageTest, ASnapshotTakesThePlaceOfTheLogBeforeIt) {
  open();
  for (std::uint64_t index = 1; index <= 20; ++index) write(index, 1u << 20);
  const std::string state = empty_state();
  write_chunk(19, true, false, state.substr(0, 1));
  ASSERT_TRUE(await([this] { return chunks_written_ == 1; }));
  write_chunk(19, false, true, state.substr(1));
  ASSERT_TRUE(await([this] { return snapshot_ == LogIndex(19) && durable_ == 20; }));
  write(21);
  ASSERT_TRUE(await([this] { return durable_ == 21; }));
  const RecoveredState recovered = open();
  EXPECT_EQ(recovered.log.base.index, LogIndex(19));
  EXPECT_EQ(recovered.log.batches.size(), 2u);
  EXPECT_NE(recovered.table, nullptr);
}

TEST_F(GroupStorageTest, AFolderThatGoesAwayIsAFailure) {
  open();
  write(1);
  ASSERT_TRUE(await([this] { return durable_ == 1; }));
  std::filesystem::remove_all(path_);
  for (std::uint64_t index = 2; index <= 40; ++index) write(index, 1u << 20);
  EXPECT_TRUE(await([this] { return !failure_.empty(); }));
  EXPECT_NE(failure_.find(path_), std::string::npos) << failure_;
}

}  // namespace
}  // namespace dlm::server
