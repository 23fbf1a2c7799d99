// Files of a real file system.
#pragma once

#include <memory>
#include <string>

#include "server/storage/files.h"

namespace dlm::server {

// Made with all folders above it if it is missing. What it hands out may be used by one thread at a time
// each.
std::unique_ptr<Folder> posix_folder(const std::string& path);

// Held by the one process that uses a data folder, until it is destroyed or the process ends.
class FolderLock {
 public:
  // Throws std::system_error when another process has it.
  explicit FolderLock(const std::string& path);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int file_ = -1;
};

}  // namespace dlm::server
