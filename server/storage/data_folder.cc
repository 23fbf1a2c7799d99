#include "server/storage/data_folder.h"

#include <boost/json.hpp>

#include "schema/types.h"
#include "server/storage/damage.h"

namespace dlm::server {
namespace {

namespace json = boost::json;

constexpr const char* kName = "identity.json";
constexpr std::int64_t kFormat = 1;

bool take_groups(const json::value& value, std::vector<GroupId>& groups) {
  const json::array* list = value.if_array();
  if (list == nullptr) return false;
  for (const json::value& entry : *list) {
    const json::string* name = entry.if_string();
    const GroupId group = name == nullptr ? GroupId() : parse_group(std::string(*name));
    if (!group) return false;
    groups.push_back(group);
  }
  return true;
}

bool take(const json::object& object, ServerIdentity& identity) {
  const json::value* cluster = object.if_contains("cluster");
  const json::value* server = object.if_contains("server");
  const json::value* incarnation = object.if_contains("incarnation");
  const json::value* groups = object.if_contains("groups");
  if (!cluster || !cluster->is_string() || !server || !server->is_string() || !incarnation || !groups)
    return false;
  json::error_code error;
  identity.incarnation = incarnation->to_number<std::uint64_t>(error);
  if (error || identity.incarnation == 0) return false;
  identity.cluster = std::string(cluster->get_string());
  identity.server = std::string(server->get_string());
  return take_groups(*groups, identity.groups);
}

}  // namespace

std::optional<ServerIdentity> read_identity(Folder& root) {
  const std::optional<std::string> text = read_file(root, kName);
  if (!text) return std::nullopt;
  const std::string path = root.describe(kName);
  json::error_code error;
  const json::value value = json::parse(*text, error);
  const json::object* object = error ? nullptr : value.if_object();
  const json::value* format = object == nullptr ? nullptr : object->if_contains("format");
  if (format == nullptr || !format->is_int64())
    throw DamagedFolder(path + ": is not what this program wrote; " + kMoveDataAway);
  if (format->get_int64() != kFormat)
    throw DamagedFolder(path + ": is of format " + std::to_string(format->get_int64()) +
                        ", this program knows format " + std::to_string(kFormat) +
                        ": start the version that wrote it");
  ServerIdentity identity;
  if (!take(*object, identity))
    throw DamagedFolder(path + ": lacks a field, or has a wrong one; " + kMoveDataAway);
  return identity;
}

void write_identity(Folder& root, const ServerIdentity& identity) {
  json::array groups;
  for (GroupId group : identity.groups) groups.emplace_back(to_string(group));
  const json::object object{{"format", kFormat},
                            {"cluster", identity.cluster},
                            {"server", identity.server},
                            {"incarnation", identity.incarnation},
                            {"groups", std::move(groups)}};
  replace_file(root, kName, json::serialize(object) + "\n");
}

std::string why_not_ours(const ServerIdentity& identity, const std::string& cluster,
                         const std::string& server) {
  if (identity.server != server)
    return "is the data folder of server " + identity.server + ": each server has one of its own";
  if (identity.cluster != cluster)
    return "belongs to another cluster (" + identity.cluster + ", this one is " + cluster +
           "): give the right --zookeeper or another folder. A ZooKeeper that lost its data makes a new "
           "cluster";
  return {};
}

std::optional<coordinator::MemberName> newer_life(
    const ServerIdentity& identity, const std::map<GroupId, coordinator::VersionedConfig>& groups) {
  for (const auto& [group, record] : groups) {
    for (const coordinator::MemberName& member : record.config.in_sync)
      if (member.server == identity.server && member.incarnation > identity.incarnation) return member;
  }
  return std::nullopt;
}

GroupIdentity identity_of(const ServerIdentity& server, GroupId group) {
  return {server.cluster, server.server, server.incarnation, group};
}

}  // namespace dlm::server
