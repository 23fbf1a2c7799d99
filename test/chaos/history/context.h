// What a run knows beside the operations of its clients. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace dlm::chaos {

// The kind of fault after which a group has forgotten its state: all replicas killed, without disks.
inline constexpr const char* kGroupForgot = "group_forgot";

// A fault was in force then, or its effects may have been.
struct FaultWindow {
  std::string kind;    // "kill", "freeze", …
  std::string target;  // for people
  std::string group;   // the only one that it hits; empty: it may hit all
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
};

// What a client's library said of a hold beside its answers: it could be trusted until then. Told by the
// workload for holds that were not given back in order.
struct Claim {
  std::string client;
  std::string resource;
  std::uint64_t token = 0;
  std::int64_t until_ns = 0;
};

// What a run knows beside its operations.
struct Context {
  std::vector<FaultWindow> faults;
  std::vector<Claim> claims;
  std::map<std::string, std::string> groups;  // resource → group
};

// All replicas of a group were lost within this time: the service then forgets its holds, which is all that
// it may do beyond the usual.
bool state_lost_between(const Context& context, std::int64_t from_ns, std::int64_t to_ns);

}  // namespace dlm::chaos
