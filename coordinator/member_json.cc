#include "coordinator/member_json.h"

#include <utility>

#include "coordinator/core/json_fields.h"

namespace dlm::coordinator {
namespace {

constexpr std::string_view kMemory = "memory";
constexpr std::string_view kFsync = "fsync";

}  // namespace

std::string to_json(const ServerMember& member) {
  std::string json = "{\"incarnation\":" + std::to_string(member.name.incarnation) +
                     ",\"address\":" + json_quoted(member.address) + ",\"groups\":[";
  for (GroupId group : member.groups) {
    if (json.back() != '[') json += ',';
    json += json_quoted(to_string(group));
  }
  return json + "],\"durability\":" + json_quoted(member.durable ? kFsync : kMemory) + "}";
}

std::string to_json(const RouterMember& member) {
  return "{\"address\":" + json_quoted(member.address) + "}";
}

bool parse_json(std::string_view id, std::string_view json, ServerMember& out, std::string& error) {
  JsonFields fields(json, {"incarnation", "address", "groups", "durability"}, error);
  ServerMember member;
  member.name.server = id;
  if (!valid_server_id(id)) fields.fail("the name", "is not a server id");
  member.name.incarnation = fields.number("incarnation");
  member.address = fields.text("address");
  for (const boost::json::value& value : fields.list("groups")) {
    const boost::json::string* text = value.if_string();
    GroupId group = text == nullptr ? GroupId() : parse_group(std::string_view(text->data(), text->size()));
    if (!group) fields.fail("groups", "must be a list of groups such as \"g1\"");
    member.groups.push_back(group);
  }
  const std::string durability = fields.text("durability");
  member.durable = durability == kFsync;
  if (!member.durable && durability != kMemory) fields.fail("durability", "must be \"memory\" or \"fsync\"");
  if (fields.ok()) out = std::move(member);
  return fields.ok();
}

bool parse_json(std::string_view id, std::string_view json, RouterMember& out, std::string& error) {
  JsonFields fields(json, {"address"}, error);
  if (!valid_server_id(id)) fields.fail("the name", "is not a router id");
  RouterMember member{std::string(id), fields.text("address")};
  if (fields.ok()) out = std::move(member);
  return fields.ok();
}

std::string cluster_json(std::string_view id) {
  return "{\"id\":" + json_quoted(id) + "}";
}

bool parse_cluster_json(std::string_view json, std::string& id, std::string& error) {
  JsonFields fields(json, {"id"}, error);
  std::string text = fields.text("id");
  if (fields.ok() && text.empty()) fields.fail("id", "is empty");
  if (fields.ok()) id = std::move(text);
  return fields.ok();
}

std::string taken_text(const ServerMember& holder) {
  return "server id " + holder.name.server + " is taken: " + to_string(holder.name) + " at " +
         holder.address + " has it, and its session is still alive";
}

std::string taken_text(const RouterMember& holder) {
  return "router id " + holder.id + " is taken: the router at " + holder.address +
         " has it, and its session is still alive";
}

}  // namespace dlm::coordinator
