// The hosts of a run: network namespaces on one bridge, between which packets can be dropped; or, where these
// are not permitted, this machine alone.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace dlm::chaos {

class Hosts {
 public:
  // With namespaces: the calling process is in a network and mount namespace of its own, with the rights of
  // root there (scripts/chaos sees to it), so all of this goes with it. Throws std::runtime_error with what a
  // command said.
  explicit Hosts(bool namespaces);

  bool namespaces() const { return namespaces_; }
  void add(const std::string& host);
  // Where the host is reached.
  std::string address(const std::string& host) const;
  // A port to listen on there: `preferred`, or a free one when all hosts are this machine.
  int port(int preferred) const;
  // The command that runs `command` on the host, as the same process.
  std::vector<std::string> on(const std::string& host, const std::vector<std::string>& command) const;

  // What `from` sends no longer reaches `to`: all of it, or `percent` of the packets. REQUIRES: namespaces().
  void drop(const std::string& from, const std::string& to, unsigned percent = 100);
  // New connections to the host's port arrive at another one, where a relay listens; those that there are
  // end.
  void detour(const std::string& host, int port, int relay_port);
  void mend();

 private:
  const bool namespaces_;
  std::map<std::string, std::string> addresses_;
};

}  // namespace dlm::chaos
