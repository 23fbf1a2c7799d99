// The data folder of a server that runs: locked by it, and of this very server of this cluster. Throws
// DamagedFolder when it can't be used, and std::system_error when the disk fails.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/coordinator.h"
#include "server/storage/data_folder.h"
#include "server/storage/group_store.h"
#include "server/storage/posix_files.h"

namespace dlm::server {

class NodeFolder {
 public:
  // Checks that what is in the folder, if anything, may be used in that cluster.
  NodeFolder(const std::string& path, const std::string& server, const coordinator::ClusterView& cluster);

  // Under which the server goes on; none: the folder is empty.
  std::optional<std::uint64_t> incarnation() const;
  // Makes it the folder of that member, if it is empty, and gives each of these groups its place in it.
  void begin(const coordinator::MemberName& self, const std::vector<GroupId>& groups);

  struct Group {
    std::unique_ptr<Folder> folder;
    GroupIdentity identity;
    OpenedGroup opened;
  };
  // REQUIRES: begin() named it.
  Group open(GroupId group);

 private:
  std::string cluster_;
  FolderLock lock_;
  std::unique_ptr<Folder> root_;
  std::optional<ServerIdentity> identity_;
};

}  // namespace dlm::server
