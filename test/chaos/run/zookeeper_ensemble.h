// One ZooKeeper, or three that elect a leader; each on a host of its own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "test/chaos/run/hosts.h"
#include "test/chaos/run/process.h"

namespace dlm::chaos {

class ZookeeperEnsemble {
 public:
  // Adds the hosts zk1, …
  ZookeeperEnsemble(Hosts& hosts, const std::string& folder, std::size_t size);

  // All of them, and waits until they serve.
  void start();
  std::string address() const;  // host:port,…
  std::size_t size() const { return members_.size(); }
  Process& process(std::size_t index) { return *members_[index].process; }
  const std::string& host(std::size_t index) const { return members_[index].host; }
  // The one that leads, or is alone; nothing when none does.
  std::optional<std::size_t> leader() const;

 private:
  struct Member {
    std::string host;
    std::string address;
    int client_port = 0;
    int peer_port = 0;
    int election_port = 0;
    std::string folder;
    std::unique_ptr<Process> process;
  };
  void configure(std::size_t index) const;

  std::vector<Member> members_;
};

}  // namespace dlm::chaos
