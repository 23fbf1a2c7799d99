#include "router/core/routes.h"

#include <utility>

namespace dlm::router {

Reaction reaction_to(Status status) {
  switch (status) {
    case Status::queued:
      return Reaction::wait;
    case Status::not_primary:
    case Status::unavailable:
      return Reaction::retry;
    case Status::moved:
      return Reaction::reroute;
    case Status::session_unknown:
      return Reaction::open_session;
    default:
      return Reaction::answer;
  }
}

Reaction reaction_to(const Answer& answer) {
  const bool put_off = answer.status == Status::unavailable && answer.ttl_ms != 0;
  return put_off ? Reaction::put_off : reaction_to(answer.status);
}

Routes::Changes Routes::update(const coordinator::ClusterView& view) {
  Changes changes;
  coordinator::ClusterView next = view;
  const bool same_cluster = ready_ && view.cluster == view_.cluster;
  if (same_cluster) {
    for (const auto& [group, known] : view_.groups) {
      auto found = next.groups.find(group);
      if (found == next.groups.end() || found->second.version < known.version) next.groups[group] = known;
    }
    if (next.ring.version < view_.ring.version) next.ring = view_.ring;
  }
  for (const auto& [group, config] : next.groups) {
    auto known = view_.groups.find(group);
    if (known == view_.groups.end() || !(known->second == config)) changes.groups.push_back(group);
  }
  changes.ring = ring_.follow(next.ring);
  view_ = std::move(next);
  ready_ = true;
  return changes;
}

const coordinator::MemberName& Routes::primary_of(GroupId group) const {
  static const coordinator::MemberName none;
  auto found = view_.groups.find(group);
  return found == view_.groups.end() ? none : found->second.config.primary;
}

}  // namespace dlm::router
