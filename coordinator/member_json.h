// How registrations lie in the coordinator. The id is not part of the JSON: it is the node's name.
//   server: {"incarnation":42,"address":"10.0.0.5:7800","groups":["g1","g2"],"durability":"fsync"}
//   router: {"address":"10.0.0.5:7700"}
#pragma once

#include <string>
#include <string_view>

#include "coordinator/coordinator.h"

namespace dlm::coordinator {

std::string to_json(const ServerMember& member);
std::string to_json(const RouterMember& member);

// False, why, and `out` as it was, on anything else.
bool parse_json(std::string_view id, std::string_view json, ServerMember& out, std::string& error);
bool parse_json(std::string_view id, std::string_view json, RouterMember& out, std::string& error);

// {"id":"5f0c…"}
std::string cluster_json(std::string_view id);
bool parse_cluster_json(std::string_view json, std::string& id, std::string& error);

// For people, when an id is taken: who has it.
std::string taken_text(const ServerMember& holder);
std::string taken_text(const RouterMember& holder);

}  // namespace dlm::coordinator
