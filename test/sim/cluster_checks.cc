#include "test/sim/cluster_checks.h"

#include <string_view>
#include <tuple>

#include "coordinator/core/ring.h"

namespace dlm::sim {
namespace {

std::uint64_t hash_of(std::string_view bytes, std::uint64_t hash = 0xcbf29ce484222325U) {
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

using HolderRow = std::tuple<std::string_view, std::string_view, FencingToken, std::uint32_t>;

// `holders` in any order.
std::uint64_t digest_of(const std::vector<HolderRow>& holders, std::size_t waiters) {
  std::uint64_t digest = waiters * 0x9e3779b97f4a7c15U;
  for (const auto& [client, tag, token, count] : holders)
    digest += hash_of(client, hash_of(tag, token.value * 31 + count));
  return digest;
}

}  // namespace

std::uint64_t digest_of(const LockModel::Lock* lock) {
  std::vector<HolderRow> rows;
  if (lock == nullptr) return digest_of(rows, 0);
  for (const LockModel::Hold& hold : lock->holders)
    rows.emplace_back(hold.owner.client, hold.owner.tag, hold.token, hold.count);
  return digest_of(rows, lock->queue.size());
}

std::uint64_t digest_of(const LockReport& report) {
  std::vector<HolderRow> rows;
  for (const HoldReport& hold : report.holders)
    rows.emplace_back(hold.client_id, hold.owner_tag, hold.token, hold.count);
  return digest_of(rows, report.waiter_count);
}

void ClusterChecks::changed(const std::string& resource, const LockModel::Lock* lock) {
  std::vector<Version>& versions = versions_[resource];
  if (versions.empty()) versions.push_back({0, digest_of(nullptr)});
  versions.push_back({world_.now(), digest_of(lock)});
}

void ClusterChecks::granted(const std::string& resource, FencingToken token) {
  FencingToken& highest = highest_[resource];
  if (token <= highest)
    world_.violated(resource + " is granted with token " + std::to_string(token.value) + " after " +
                    std::to_string(highest.value));
  highest = token;
}

void ClusterChecks::emptied(const server::OwnedArc& arc) {
  for (auto& [resource, versions] : versions_) {
    const std::uint64_t hash = coordinator::hash_of(resource);
    if (arc.begin <= hash && hash <= arc.end) versions.push_back({world_.now(), digest_of(nullptr)});
  }
}

void ClusterChecks::check_report(const LockReport& report, TimeUs asked_at) const {
  const std::uint64_t digest = digest_of(report);
  auto found = versions_.find(report.resource);
  if (found == versions_.end()) {
    if (digest != digest_of(nullptr))
      world_.violated("a read tells of a lock that never was: " + report.resource);
    return;
  }
  const std::vector<Version>& versions = found->second;
  for (std::size_t i = versions.size(); i-- > 0;) {
    if (versions[i].digest == digest) return;
    if (versions[i].since < asked_at) break;  // before that it had been overtaken when the read was asked for
  }
  world_.violated("a read of " + report.resource + " tells what was no longer true when it was asked for");
}

}  // namespace dlm::sim
