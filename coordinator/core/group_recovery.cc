#include "coordinator/core/group_recovery.h"

#include <algorithm>

namespace dlm::coordinator {
namespace {

constexpr std::string_view kOperatorAuthor = "admin/";

std::string names_of(const std::vector<MemberName>& members) {
  std::string names;
  for (const MemberName& member : members) names += (names.empty() ? "" : " ") + to_string(member);
  return names;
}

std::string refusal_of(GroupId group, const VersionedConfig& record, const RecoveryPlan& plan,
                       const MemberName& successor) {
  if (!plan.in_sync_alive.empty()) {
    return names_of(plan.in_sync_alive) +
           (plan.in_sync_alive.size() == 1 ? " is in sync and lives" : " are in sync and live") +
           ": nothing is lost. Wait until one of the set leads, `dlm status` says what is missing; `dlm "
           "admin "
           "step-down " +
           to_string(group) + "` changes who leads";
  }
  if (!successor) {
    return "no member of " + to_string(group) + " lives: start a server with --groups " + to_string(group) +
           " first";
  }
  if (record.config.era >= kEraMax) {
    return to_string(group) + " has used up its eras: no higher tokens could be given";
  }
  return {};
}

// Whether the primary of the epoch after `before` is of no server of the set. By itself a group is begun anew
// by servers of the set only.
bool is_stranger(const GroupConfig& before, const GroupConfig& now) {
  return now.epoch == before.epoch.next() &&
         std::none_of(before.in_sync.begin(), before.in_sync.end(),
                      [&](const MemberName& member) { return member.server == now.primary.server; });
}

}  // namespace

RecoveryPlan plan_recovery(GroupId group, const VersionedConfig& record,
                           const std::vector<Registered>& registered) {
  RecoveryPlan plan;
  if (record.version == 0) {
    plan.refusal = "there is no group " + to_string(group);
    return plan;
  }
  MemberName successor;
  for (const Registered& server : registered) {
    if (server.of_group && (!successor || server.name < successor)) successor = server.name;
  }
  for (const MemberName& member : record.config.in_sync) {
    const bool lives = std::any_of(registered.begin(), registered.end(),
                                   [&](const Registered& server) { return server.name == member; });
    (lives ? plan.in_sync_alive : plan.lost).push_back(member);
  }
  plan.refusal = refusal_of(group, record, plan, successor);
  if (!plan.ok()) return plan;
  plan.next = record.config;
  plan.next.epoch = record.config.epoch.next();
  plan.next.primary = successor;
  plan.next.in_sync = {successor};
  plan.next.era += 1;
  plan.next.recovering = true;
  plan.next.ring_done = 0;
  plan.next.author.clear();
  return plan;
}

std::string operator_author(std::string_view router, std::uint64_t number) {
  return std::string(kOperatorAuthor) + std::string(router) + "/" + std::to_string(number);
}

bool is_by_operator(const GroupConfig& config) {
  return config.author.starts_with(kOperatorAuthor);
}

// The new primary writes its own records soon after: who sees only one of those knows by whom it is.
std::string describe_giving_up(const GroupConfig& before, const GroupConfig& now) {
  if (now.era <= before.era || !now.recovering || before.in_sync.empty()) return {};
  if (!is_by_operator(now) && !is_stranger(before, now)) return {};
  return "an operator had the group begin anew (dlm admin recover): given up: " + names_of(before.in_sync) +
         "; epoch " + std::to_string(now.epoch.value) + ", era " + std::to_string(now.era);
}

}  // namespace dlm::coordinator
