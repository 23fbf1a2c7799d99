// A replica in one line, for logs, transcripts and people who ask what a group waits for.
#include <string>
#include <string_view>

#include "server/core/replica_impl.h"

namespace dlm::server {
namespace {

std::string_view name_of(Role role) {
  switch (role) {
    case Role::outsider:
      return "outsider";
    case Role::backup:
      return "backup";
    case Role::preparing:
      return "preparing";
    case Role::primary:
      return "primary";
  }
  return "unknown role";
}

std::string_view name_of(Peer::Phase phase) {
  switch (phase) {
    case Peer::Phase::probing:
      return "probing";
    case Peer::Phase::tailing:
      return "tailing";
    case Peer::Phase::snapshot_waiting:
      return "waiting for its snapshot";
    case Peer::Phase::snapshot:
      return "snapshot";
  }
  return "unknown phase";
}

std::string list(const std::vector<MemberName>& members) {
  std::string text;
  for (const MemberName& member : members) text += (text.empty() ? "" : " ") + coordinator::to_string(member);
  return text.empty() ? "none" : text;
}

std::string describe_peer(const Peer& peer) {
  std::string text = coordinator::to_string(peer.name) + " ";
  text += peer.in_sync ? "in sync" : peer.counted ? "counted" : name_of(peer.phase);
  text += " " + std::to_string(peer.acked.value);
  if (!peer.alive) text += " unregistered";
  if (peer.gone) text += " gone";
  if (peer.broken) text += " broken";
  return text;
}

}  // namespace

// "g1 s1#1 primary e3 v7, log 12 committed 11, in sync: s1#1 s2#1, [s2#1 in sync 11], waiting for s2#1"
std::string Replica::Impl::describe() const {
  const GroupConfig& config = config_.config;
  std::string text = to_string(options_.group) + " " + coordinator::to_string(options_.self) + " ";
  text += name_of(role_);
  text += " e" + std::to_string(epoch_.value) + " v" + std::to_string(config_.version);
  text +=
      ", log " + std::to_string(log_.last_index().value) + " committed " + std::to_string(committed_.value);
  if (config_.version != 0) text += ", in sync: " + list(config.in_sync);
  if (reign_)
    for (const Peer& peer : reign_->peers) text += ", [" + describe_peer(peer) + "]";
  const std::string waiting = describe_waiting();
  if (!waiting.empty()) text += ", waiting for " + waiting;
  return text;
}

std::string Replica::Impl::describe_waiting() const {
  if (config_.version == 0) return "the group's record";
  if (config_.config.epoch < epoch_) return "the record of e" + std::to_string(epoch_.value);
  if (!reign_) {
    // Members of the set that are not this one decide who leads; when none of them lives, nobody does.
    for (const MemberName& member : config_.config.in_sync)
      if (is_alive(member)) return "";
    return "its servers: " +
           coordinator::describe(coordinator::total_loss(config_.config, alive_), config_.config);
  }
  if (!may_serve()) return "the coordinator, being alone in the set";
  if (!reign_->epoch_entries) return "the first entries of the epoch";
  std::vector<MemberName> lacking;
  for (const Peer& peer : reign_->peers)
    if (peer.required() && (peer.acked < log_.last_index() || is_lost(peer))) lacking.push_back(peer.name);
  return lacking.empty() ? "" : list(lacking);
}

}  // namespace dlm::server
