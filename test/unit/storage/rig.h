// A group's data folder on a simulated disk, and what was written to it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/storage/group_store.h"
#include "test/sim/disk.h"

namespace dlm::server::test {

inline constexpr std::uint64_t kSmallSegment = 64u << 10;

GroupIdentity identity();
Batch batch(std::uint64_t index, std::uint64_t epoch, std::string_view text);
// "3:1 text", index, epoch and what batch() was given.
std::string to_text(const Batch& batch);
std::vector<std::string> to_texts(const std::vector<Batch>& batches);

class Store {
 public:
  // Opens what is on the disk. Throws as open_group() does.
  void open();
  void close() {
    opened_ = {};
    folder_.reset();
  }
  LogWriter& log() { return *opened_.log; }
  const RecoveredState& recovered() const { return opened_.recovered; }
  Folder& folder() { return *folder_; }
  // Batches 1 to `last` of epoch 1, each safe before the next; as the text of each, "b<index>".
  void write_batches(std::uint64_t first, std::uint64_t last);
  void lose_power() {
    close();
    disk.lose_power(random);
  }

  sim::Disk disk;
  sim::Random random{7};

 private:
  std::unique_ptr<Folder> folder_;
  OpenedGroup opened_;
};

}  // namespace dlm::server::test
