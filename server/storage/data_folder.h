// A server's data folder: `identity.json` says whose it is, and each of its groups has a folder in it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/storage/files.h"
#include "server/storage/log_files.h"

namespace dlm::server {

struct ServerIdentity {
  std::string cluster;
  std::string server;
  std::uint64_t incarnation = 0;  // stays as long as the folder does: it is the member that it was
  std::vector<GroupId> groups;    // that have been opened
  bool operator==(const ServerIdentity&) const = default;
};

// Of the folder, if it has one. Throws DamagedFolder, and std::system_error.
std::optional<ServerIdentity> read_identity(Folder& root);
void write_identity(Folder& root, const ServerIdentity& identity);

GroupIdentity identity_of(const ServerIdentity& server, GroupId group);

}  // namespace dlm::server
