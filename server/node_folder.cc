#include "server/node_folder.h"

#include <algorithm>

#include "server/storage/damage.h"

namespace dlm::server {

NodeFolder::NodeFolder(const std::string& path, const std::string& server,
                       const coordinator::ClusterView& cluster)
    : cluster_(cluster.cluster), lock_(path), root_(posix_folder(path)), identity_(read_identity(*root_)) {
  if (!identity_) return;
  const std::string refusal = why_not_ours(*identity_, cluster_, server);
  if (!refusal.empty()) throw DamagedFolder(path + ": " + refusal);
  if (const auto newer = newer_life(*identity_, cluster.groups)) {
    throw DamagedFolder(path + ": is of " + server + "#" + std::to_string(identity_->incarnation) + ", and " +
                        coordinator::to_string(*newer) +
                        " has been in sync since: what is in the folder is outdated. Move it away to join as "
                        "a new member");
  }
}

std::optional<std::uint64_t> NodeFolder::incarnation() const {
  return identity_ ? std::optional(identity_->incarnation) : std::nullopt;
}

void NodeFolder::begin(const coordinator::MemberName& self, const std::vector<GroupId>& groups) {
  bool changed = !identity_;
  if (!identity_) identity_ = ServerIdentity{cluster_, self.server, self.incarnation, {}};
  std::vector<GroupId>& known = identity_->groups;
  for (GroupId group : known) {
    if (!root_->has_folder(to_string(group)))
      throw DamagedFolder(root_->describe(to_string(group)) + ": is missing; " + kMoveDataAway);
  }
  for (GroupId group : groups) {
    if (std::find(known.begin(), known.end(), group) != known.end()) continue;
    root_->folder(to_string(group));
    known.push_back(group);
    changed = true;
  }
  if (changed) write_identity(*root_, *identity_);
}

NodeFolder::Group NodeFolder::open(GroupId group) {
  Group opened{root_->folder(to_string(group)), identity_of(*identity_, group), {}};
  opened.opened = open_group(*opened.folder, opened.identity);
  return opened;
}

}  // namespace dlm::server
