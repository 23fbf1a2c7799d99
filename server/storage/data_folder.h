// A server's data folder: `identity.json` says whose it is, and each of its groups has a folder in it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/group_config.h"
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

// Why the folder can't be used by this server of this cluster; empty: it can.
std::string why_not_ours(const ServerIdentity& identity, const std::string& cluster,
                         const std::string& server);
// A later life of the server that is in sync somewhere: it began with another folder, and this one is
// outdated.
std::optional<coordinator::MemberName> newer_life(
    const ServerIdentity& identity, const std::map<GroupId, coordinator::VersionedConfig>& groups);

GroupIdentity identity_of(const ServerIdentity& server, GroupId group);

}  // namespace dlm::server
