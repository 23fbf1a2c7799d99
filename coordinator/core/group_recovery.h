// The operator's way out of a group whose in-sync members are gone for ever: the record that begins it anew
// without them, or why there is none. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/group_config.h"
#include "schema/types.h"

namespace dlm::coordinator {

// A server that is registered.
struct Registered {
  MemberName name;
  bool of_group = false;  // it serves the group that this is about
};

struct RecoveryPlan {
  std::string refusal;                    // empty: it may be done
  std::vector<MemberName> lost;           // of the in-sync set: not registered
  std::vector<MemberName> in_sync_alive;  // the others of it
  GroupConfig next;                       // no refusal: to be written by compare-and-set; has no author yet
  bool ok() const { return refusal.empty(); }
};
// What an operator who gives up the in-sync set of the group makes of its record: a living member, the first
// by name, takes it, empty, in the next epoch and era. It is `recovering`, so that nothing is granted before
// the longest lease has passed which a lost member may have given. Refused while a member of the set is
// registered, under this group or not. REQUIRES, and only the operator can know it: no process of the lost
// members runs any more.
RecoveryPlan plan_recovery(GroupId group, const VersionedConfig& record,
                           const std::vector<Registered>& registered);

// The author of such a record, which no server can be: whom it names must not go on with what it has.
std::string operator_author(std::string_view router, std::uint64_t number);
bool is_by_operator(const GroupConfig& config);

// For people, when a group began anew between two versions of its record: "an operator had the group begin
// anew (dlm admin recover): given up: s1#4 s2#7; epoch 5, era 2". Empty: it did not, or by itself.
std::string describe_giving_up(const GroupConfig& before, const GroupConfig& now);

}  // namespace dlm::coordinator
