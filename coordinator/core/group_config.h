// A group's configuration: the one record per group that the coordinator holds, and what a change of it may
// be. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "schema/types.h"

namespace dlm::coordinator {

// A server process of one life: a restart is a new incarnation, with nothing in memory.
struct MemberName {
  std::string server;
  std::uint64_t incarnation = 0;
  auto operator<=>(const MemberName&) const = default;
  explicit operator bool() const { return !server.empty(); }
};
std::string to_string(const MemberName&);  // "s1#42"; "" for none
// False (and `out` as it was) for anything that is not of that form.
bool parse_member(std::string_view text, MemberName& out);

// Ids of servers and routers: 1 to 64 of A-Z a-z 0-9 _ . - (but not "." or "..", which the coordinator's
// paths reserve).
bool valid_server_id(std::string_view id);

// Eras are the upper 24 bits of a fencing token, and of the first index of a log that was begun in one.
inline constexpr unsigned kEraShift = 40;
inline constexpr std::uint64_t kEraMax = (1u << 24) - 1;

struct GroupConfig {
  Epoch epoch;
  MemberName primary;
  std::vector<MemberName> in_sync;  // the primary included
  std::uint64_t era = 1;            // upper bits of fencing tokens; raised after total loss
  std::uint32_t lease_ms_max = 0;   // no longer lease was ever given; raised before one is
  bool recovering = false;      // everything was lost: no grants before lease_ms_max has passed, counted anew
                                // by each primary that finds it set
  std::uint64_t ring_done = 0;  // version of the ring for which it has given away all that is not its own;
                                // put to 0 before it takes an arc that is not
  std::string author;  // who wrote this version and its own number of it: tells an unknown write's outcome
  bool operator==(const GroupConfig&) const = default;

  bool has(const MemberName& member) const;
};

// What became of an in-sync set of which no member lives any more. The state is lost then: a server that
// comes back, as a newer incarnation, has nothing in memory.
struct TotalLoss {
  bool lost = false;                 // nobody of the set is alive; the set is not empty
  std::vector<std::string> missing;  // lost: servers of the set that are not back. The group begins anew only
                                     // when all are: until then one of them might still serve somewhere
};
// `alive`: the registered members, at most one of each server.
TotalLoss total_loss(const GroupConfig& config, const std::vector<MemberName>& alive);
// In words, for people: "all replicas were lost (s1#4 s2#7), s2 must come back"; empty: it is not lost.
std::string describe(const TotalLoss& loss, const GroupConfig& config);

// To what the record's lease_ms_max is raised when a lease of `lease_ms` is wanted: in doubling steps, so
// that it is seldom written; not above `limit_ms`, the longest lease that servers may give. REQUIRES:
// lease_ms is within it.
std::uint32_t lease_step_ms(std::uint32_t lease_ms, std::uint32_t limit_ms);

// The record with its version in the coordinator. Version 0: there is no record yet.
struct VersionedConfig {
  std::int64_t version = 0;
  GroupConfig config;
  bool operator==(const VersionedConfig&) const = default;
};

// JSON, as it lies in the coordinator, on one line:
//   {"epoch":3,"primary":"s1#42","inSync":["s1#42","s2#7"],"era":1,"leaseMsMax":0,"recovering":false,
//    "ringDone":0,"author":"s1#42/17"}
// parse returns false, why, and `out` as it was, on anything that is not a configuration: another field, a
// missing one, epoch or era 0, a member twice in inSync, a primary that is not among them. An empty primary
// ("") is one.
std::string to_json(const GroupConfig&);
bool parse_json(std::string_view json, GroupConfig& out, std::string& error);

}  // namespace dlm::coordinator
