// A disk with files that can lose, tear and damage what was written. What a process wrote is seen by reads at
// once; what of it was not synced when the power fails is lost, kept, or kept in part, sector by sector.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/storage/files.h"
#include "test/sim/random.h"

namespace dlm::sim {

class Disk {
 public:
  Disk();
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  std::unique_ptr<server::Folder> root();
  bool empty() const;
  void wipe();

  // --- faults
  // The power fails. What files and folders are open must not be used any more.
  void lose_power(Random& random);
  // The process died: what it wrote stays, as the system still has it.
  void lose_process();
  // From now on every write and sync fails, until it is told otherwise.
  void fill_up(bool full) { full_ = full; }
  // Changes one bit of what was written to a file of that folder (log or snapshot), where there is one.
  // False: there is nothing that matters.
  bool flip_a_bit(Random& random);
  // The next write goes to another place of its file.
  void misdirect_next_write() { misdirect_ = true; }

  std::uint64_t syncs() const { return syncs_; }
  // What was damaged, in words.
  const std::string& damage() const { return damage_; }

 private:
  struct FileData {
    struct Unsafe {
      std::uint64_t offset;
      std::string bytes;
    };
    std::string content;
    std::string safe;
    std::vector<Unsafe> unsafe;
  };
  using Names = std::map<std::string, std::shared_ptr<FileData>>;
  struct FolderData {
    Names names;
    Names safe;
    std::vector<Names> steps;  // since the last sync, one by one
    std::map<std::string, std::unique_ptr<FolderData>> folders;
  };
  class OpenFile;
  class OpenFolder;

  void lose_power(FolderData& folder, Random& random);
  static void lose_process(FolderData& folder);
  static void collect(FolderData& folder, const std::string& path,
                      std::vector<std::pair<std::string, FileData*>>& files);

  FolderData root_;
  bool full_ = false;
  bool misdirect_ = false;
  std::uint64_t syncs_ = 0;
  std::uint64_t writes_ = 0;
  std::string damage_;
};

}  // namespace dlm::sim
