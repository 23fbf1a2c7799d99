// A server process and its disk: what it finds there, and under which name it goes on.
#include <algorithm>
#include <system_error>
#include <utility>

#include "server/storage/damage.h"
#include "server/storage/data_folder.h"
#include "test/sim/server_life.h"

namespace dlm::sim {

using server::MemberName;
using server::ServerIdentity;

namespace {

constexpr const char* kCluster = "simulated";

}  // namespace

// The folder gives the name. A disk that takes nothing at all is found when the groups are opened.
void ServerProcess::begin_with_disk() {
  const std::unique_ptr<server::Folder> root = disk_.root();
  if (const std::optional<ServerIdentity> identity = server::read_identity(*root)) {
    incarnation_ = identity->incarnation;
    observer_.on_return(member());
    return;
  }
  incarnation_ = ++*options_.incarnation;
}

MemberName ServerProcess::member_on_disk() {
  const std::optional<ServerIdentity> identity = server::read_identity(*disk_.root());
  return identity ? MemberName{identity->server, identity->incarnation} : MemberName();
}

// Servers that began together differ, and each differs from its earlier life.
const server::LockTableLimits& ServerProcess::Life::limits() const {
  const std::vector<server::LockTableLimits>& some = self.options_.limits;
  return some[(static_cast<unsigned char>(name.server.back()) + self.life()) % some.size()];
}

void ServerProcess::Life::make_hosts() {
  // Somebody started this id with another folder since; an operator moves this one away.
  if (self.is_durable() && server::newer_life({kCluster, name.server, name.incarnation, {}}, view.groups)) {
    self.disk_.wipe();
    return fail("its data folder is older than what the cluster knows");
  }
  try {
    if (self.is_durable() && !server::read_identity(*self.disk_.root()))
      server::write_identity(*self.disk_.root(),
                             {kCluster, name.server, name.incarnation, self.options_.groups});
    for (GroupId group : self.options_.groups) {
      server::GroupOptions options = self.options_.group;
      options.replica.group = group;
      options.replica.self = name;
      options.table = limits();
      std::unique_ptr<GroupDisk> disk = self.is_durable() ? open_disk(group) : nullptr;
      auto [host, is_new] =
          hosts.try_emplace(group, options, disk ? disk->take_recovered() : server::RecoveredState(), self,
                            [this, group] { rang(group, hosts.at(group)); });
      host->second.disk = std::move(disk);
    }
  } catch (const server::DamagedFolder& damage) {
    if (self.disk_.damage().empty())
      self.world().violated(to_string(name) + " refuses a folder that nothing damaged: " + damage.what());
    // As above.
    self.world().note(to_string(name), damage.what());
    self.disk_.wipe();
    fail("its data folder is damaged");
  } catch (const std::system_error& error) {
    fail(error.what());
  }
}

std::unique_ptr<GroupDisk> ServerProcess::Life::open_disk(GroupId group) {
  GroupDisk::Events events;
  events.on_durable = [this, group](std::uint64_t log_records) {
    Host& host = hosts.at(group);
    host.core.on_durable(log_records, now());
    schedule_turn(group, host);
  };
  events.on_snapshot_written = [this, group](LogIndex index, bool last) {
    Host& host = hosts.at(group);
    host.core.on_snapshot_written(index, last, now());
    schedule_turn(group, host);
  };
  events.on_failed = [this](const std::string& why) { fail(why); };
  const server::GroupIdentity identity{kCluster, name.server, name.incarnation, group};
  auto disk = std::make_unique<GroupDisk>(
      self, self.disk_.root()->folder(to_string(group)), identity,
      [this] { return self.world().random.below(self.options_.disk_delay + 1) + self.extra_disk_delay_; },
      std::move(events));
  for (const std::string& line : disk->notes())
    self.world().note(to_string(name), to_string(group) + ": " + line);
  return disk;
}

}  // namespace dlm::sim
