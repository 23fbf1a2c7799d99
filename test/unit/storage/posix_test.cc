// The same on a real file system.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "server/storage/posix_files.h"
#include "test/unit/storage/rig.h"

namespace dlm::server::test {
namespace {

class PosixFiles : public testing::Test {
 protected:
  PosixFiles() : path_(testing::TempDir() + "dlm-posix-files-" + std::to_string(::getpid())) {
    std::filesystem::remove_all(path_);
  }
  ~PosixFiles() override { std::filesystem::remove_all(path_); }
  std::string path_;
};

TEST_F(PosixFiles, HoldALog) {
  for (std::uint64_t life = 0; life < 3; ++life) {
    const auto folder = posix_folder(path_)->folder("g1");
    const OpenedGroup opened = open_group(*folder, identity(), kSmallSegment);
    ASSERT_EQ(opened.recovered.log.batches.size(), life * 30);
    for (std::uint64_t index = life * 30 + 1; index <= life * 30 + 30; ++index) {
      opened.log->add(batch(index, 1, "b"));
      opened.log->sync();
    }
  }
}

TEST_F(PosixFiles, AreLockedByOneProcess) {
  const FolderLock lock(path_);
  EXPECT_THROW(FolderLock another(path_), std::system_error);
}

TEST_F(PosixFiles, NameTheFileThatFailed) {
  const auto folder = posix_folder(path_);
  try {
    folder->open("missing");
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_NE(std::string(error.what()).find(path_ + "/missing"), std::string::npos);
  }
}

}  // namespace
}  // namespace dlm::server::test
