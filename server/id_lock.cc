#include "server/id_lock.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <thread>

#include "coordinator/core/ring.h"

namespace dlm::server {
namespace {

constexpr std::uint32_t kLookMs = 20;

}  // namespace

// A name of the abstract socket namespace: bound by one process at a time, without a file that could be left
// behind or lie in the wrong place.
IdLock::IdLock(const std::string& cluster, const std::string& id, std::uint32_t patience_ms) {
  const std::string name = "dlm-server/" + id + "/" + std::to_string(coordinator::hash_of(cluster));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() + 1 > sizeof address.sun_path)
    throw std::system_error(ENAMETOOLONG, std::generic_category());
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) throw std::system_error(errno, std::generic_category());
  const auto bind = [&] { return ::bind(socket_, reinterpret_cast<const sockaddr*>(&address), size) == 0; };
  for (std::uint32_t waited_ms = 0; !bind(); waited_ms += kLookMs) {
    const int error = errno;
    if (error == EADDRINUSE && waited_ms < patience_ms) {
      std::this_thread::sleep_for(std::chrono::milliseconds(kLookMs));
      continue;
    }
    ::close(socket_);
    throw std::system_error(error, std::generic_category());
  }
}

IdLock::~IdLock() {
  ::close(socket_);
}

}  // namespace dlm::server
