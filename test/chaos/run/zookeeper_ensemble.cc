#include "test/chaos/run/zookeeper_ensemble.h"

#include <filesystem>
#include <fstream>

#include "test/support/zookeeper_server.h"

namespace dlm::chaos {

ZookeeperEnsemble::ZookeeperEnsemble(Hosts& hosts, const std::string& folder, std::size_t size)
    : members_(size) {
  for (std::size_t index = 0; index < size; ++index) {
    Member& member = members_[index];
    member.host = "zk" + std::to_string(index + 1);
    hosts.add(member.host);
    member.address = hosts.address(member.host);
    member.client_port = hosts.port(2181);
    member.peer_port = hosts.port(2888);
    member.election_port = hosts.port(3888);
    member.folder = folder + "/" + member.host;
  }
  for (std::size_t index = 0; index < size; ++index) {
    configure(index);
    Member& member = members_[index];
    const std::vector<std::string> command = {
        "java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
        // A kill loses nothing that was written, so there is no need to force it to the disk.
        "-Dzookeeper.forceSync=no", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp",
        "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain", member.folder + "/zoo.cfg"};
    member.process =
        std::make_unique<Process>(member.host, hosts.on(member.host, command), member.folder + "/log");
  }
}

void ZookeeperEnsemble::configure(std::size_t index) const {
  const Member& member = members_[index];
  std::filesystem::create_directories(member.folder + "/data");
  std::ofstream config(member.folder + "/zoo.cfg");
  config << "tickTime=500\nmaxSessionTimeout=60000\nmaxClientCnxns=0\nadmin.enableServer=false\n"
         << "4lw.commands.whitelist=srvr\npreAllocSize=1024\ndataDir=" << member.folder << "/data\n"
         << "clientPortAddress=" << member.address << "\nclientPort=" << member.client_port << '\n';
  if (members_.size() == 1) return;
  config << "initLimit=20\nsyncLimit=4\n";
  for (std::size_t other = 0; other < members_.size(); ++other) {
    config << "server." << other + 1 << '=' << members_[other].address << ':' << members_[other].peer_port
           << ':' << members_[other].election_port << '\n';
  }
  std::ofstream(member.folder + "/data/myid") << index + 1 << '\n';
}

void ZookeeperEnsemble::start() {
  for (Member& member : members_) {
    if (!member.process->running()) member.process->start();
  }
  wait_until("ZooKeeper serves", 60, [this] { return leader().has_value(); });
}

std::string ZookeeperEnsemble::address() const {
  std::string all;
  for (const Member& member : members_) {
    all += (all.empty() ? "" : ",") + member.address + ":" + std::to_string(member.client_port);
  }
  return all;
}

std::optional<std::size_t> ZookeeperEnsemble::leader() const {
  for (std::size_t index = 0; index < members_.size(); ++index) {
    if (!members_[index].process->running()) continue;
    const std::string said =
        test::ask_zookeeper(members_[index].address, members_[index].client_port, "srvr");
    if (said.find("Mode: leader") != std::string::npos || said.find("Mode: standalone") != std::string::npos)
      return index;
  }
  return std::nullopt;
}

}  // namespace dlm::chaos
