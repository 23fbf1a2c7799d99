#include "test/support/zookeeper_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

namespace dlm::test {
namespace {

constexpr auto kStartLimit = std::chrono::seconds(60);

std::string fresh_folder() {
  std::string path = (std::filesystem::temp_directory_path() / "dlm-zookeeper-XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("can't make a folder like " + path);
  return path;
}

}  // namespace

std::string ask_zookeeper(const std::string& address, int port, std::string_view word) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  timeval limit{2, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  std::string answer;
  if (inet_pton(AF_INET, address.c_str(), &to.sin_addr) == 1 &&
      connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 &&
      send(fd, word.data(), word.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(word.size())) {
    char buffer[1024];
    for (ssize_t got = 0; (got = recv(fd, buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, static_cast<std::size_t>(got));
    }
  }
  close(fd);
  return answer;
}

ZookeeperServer::ZookeeperServer() : folder_(fresh_folder()) {
  // Somebody else may take the port before Java does.
  for (int attempt = 1; process_ == nullptr; ++attempt) {
    port_ = free_port();
    write_config();
    try {
      start();
    } catch (const std::runtime_error&) {
      if (attempt == 3) throw;
    }
  }
}

ZookeeperServer::~ZookeeperServer() {
  process_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void ZookeeperServer::write_config() const {
  std::ofstream config(folder_ + "/zoo.cfg");
  config << "tickTime=500\nmaxSessionTimeout=60000\nmaxClientCnxns=0\nadmin.enableServer=false\n"
         << "4lw.commands.whitelist=srvr\npreAllocSize=1024\nclientPortAddress=127.0.0.1\nclientPort="
         << port_ << "\ndataDir=" << folder_ << "/data\n";
}

void ZookeeperServer::start() {
  // As zkServer.sh does it, but small and quick to start, and logging to our file. A kill loses nothing that
  // was written, so there is no need to force it to the disk.
  const std::vector<std::string> command = {"java",
                                            "-Xmx128m",
                                            "-XX:+UseSerialGC",
                                            "-XX:TieredStopAtLevel=1",
                                            "-XX:-UsePerfData",
                                            "-Dzookeeper.forceSync=no",
                                            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                                            "-cp",
                                            "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar",
                                            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                                            folder_ + "/zoo.cfg"};
  process_ = std::make_unique<ChildProcess>(command, folder_ + "/log");
  wait_until_serves();
}

bool ZookeeperServer::serves() {
  return ask_zookeeper("127.0.0.1", port_, "srvr").find("Mode: standalone") != std::string::npos;
}

void ZookeeperServer::wait_until_serves() {
  auto deadline = std::chrono::steady_clock::now() + kStartLimit;
  while (!serves()) {
    bool running = process_->running();
    if (!running || std::chrono::steady_clock::now() > deadline) {
      process_.reset();
      throw std::runtime_error("ZooKeeper " + std::string(running ? "does not serve" : "ended") + ":\n" +
                               log_tail());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

std::string ZookeeperServer::log_tail() const {
  return tail_of(folder_ + "/log");
}

void ZookeeperServer::kill() {
  process_.reset();
}

void ZookeeperServer::pause() {
  process_->stop();
}

void ZookeeperServer::resume() {
  process_->signal(SIGCONT);
}

}  // namespace dlm::test
