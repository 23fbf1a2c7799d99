// What `dlm --json` prints: stable field names (snake_case, units last), one object on one line.
//
// Names may be any bytes, JSON strings may not: "resource" (client_id, owner_tag) is the name itself, unless
// a "resource_hex" stands beside it; then it is the escaped form that people see, and the hex digits are the
// name.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "client/cli/ring_progress.h"
#include "schema/report.h"
#include "schema/types.h"

namespace dlm::cli {

using JsonObject = boost::json::object;

// Names for programs, which never change: "timed_out", "not_held", "never".
std::string_view status_name(Status status);
std::string_view cause_name(EndCause cause);

// `name`, and `name`_hex where that is needed.
void put_name(JsonObject& object, std::string_view field, std::string_view name);

JsonObject to_json(const LockReport& lock);
JsonObject to_json(const GroupReport& group);
JsonObject to_json(const ClusterReport& cluster);
JsonObject to_json(const RingReport& ring);
// Hashes are hex digits: JSON's readers often have no 64-bit integers.
JsonObject to_json(const PlaceReport& place);
JsonObject to_json(const RecoveryReport& recovery);
JsonObject to_json(const RingProgress& progress);
// Of a plan: the sums of what would move, and how even the ring is before and after.
JsonObject plan_json(const RingReport& plan);

// {"error":{"status":"timed_out","message":"...", ...}}; `details` are its further fields.
JsonObject error_json(std::string_view status, std::string_view message, const JsonObject& details = {});

// The line, with its newline.
std::string json_line(const JsonObject& object);

}  // namespace dlm::cli
