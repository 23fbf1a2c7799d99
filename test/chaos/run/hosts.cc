#include "test/chaos/run/hosts.h"

#include <array>
#include <cstdio>
#include <stdexcept>

#include "test/support/child_process.h"

namespace dlm::chaos {
namespace {

constexpr const char* kNetwork = "10.77.0.";
constexpr int kBridgeHost = 254;

// Names of hosts and addresses are our own: nothing in them needs quoting.
void shell(const std::string& command) {
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("can't run " + command);
  std::string said;
  std::array<char, 256> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) said += buffer.data();
  if (pclose(pipe) != 0) throw std::runtime_error(command + ": " + said);
}

}  // namespace

Hosts::Hosts(bool namespaces) : namespaces_(namespaces) {
  if (!namespaces_) return;
  shell("ip link add bridge type bridge && ip link set bridge up && ip addr add " + std::string(kNetwork) +
        std::to_string(kBridgeHost) + "/24 dev bridge");
}

void Hosts::add(const std::string& host) {
  if (!namespaces_) {
    addresses_[host] = "127.0.0.1";
    return;
  }
  const std::string address = kNetwork + std::to_string(addresses_.size() + 1);
  addresses_[host] = address;
  shell("ip netns add " + host + " && ip link add " + host + " type veth peer name eth0 netns " + host +
        " && ip link set " + host + " master bridge up" +                //
        " && ip -n " + host + " link set lo up" +                        //
        " && ip -n " + host + " addr add " + address + "/24 dev eth0" +  //
        " && ip -n " + host + " link set eth0 up");
  shell("ip netns exec " + host +
        " nft 'table ip chaos { chain input { type filter hook input priority 0; policy accept; };"
        " chain detour { type nat hook prerouting priority -100; policy accept; }; }'");
}

std::string Hosts::address(const std::string& host) const {
  return addresses_.at(host);
}

int Hosts::port(int preferred) const {
  return namespaces_ ? preferred : test::free_port();
}

std::vector<std::string> Hosts::on(const std::string& host, const std::vector<std::string>& command) const {
  if (!namespaces_) return command;
  std::vector<std::string> whole = {"ip", "netns", "exec", host};
  whole.insert(whole.end(), command.begin(), command.end());
  return whole;
}

void Hosts::drop(const std::string& from, const std::string& to, unsigned percent) {
  const std::string some = percent >= 100 ? "" : " numgen random mod 100 < " + std::to_string(percent);
  shell("ip netns exec " + to + " nft 'add rule ip chaos input ip saddr " + address(from) + some + " drop'");
}

void Hosts::detour(const std::string& host, int port, int relay_port) {
  const std::string nft = "ip netns exec " + host + " nft ";
  const std::string to_port = " tcp dport " + std::to_string(port);
  shell(nft + "'add rule ip chaos detour" + to_port + " redirect to :" + std::to_string(relay_port) + "'");
  // A reset for whoever sends on a connection that was there before; new ones arrive at the relay's port.
  shell(nft + "'add rule ip chaos input iif eth0" + to_port + " reject with tcp reset'");
}

void Hosts::mend() {
  if (!namespaces_) return;
  for (const auto& [host, address] : addresses_) {
    shell("ip netns exec " + host + " nft 'flush chain ip chaos input; flush chain ip chaos detour'");
  }
}

}  // namespace dlm::chaos
