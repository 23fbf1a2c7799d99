#include "schema/wire/socket_options.h"

#include <netinet/tcp.h>

#include <boost/asio/detail/socket_option.hpp>

namespace dlm::wire {
namespace {

using boost::asio::ip::tcp;

template <int Name>
using TcpOption = boost::asio::detail::socket_option::integer<IPPROTO_TCP, Name>;

constexpr int kKeepaliveIdleS = 10;
constexpr int kKeepaliveIntervalS = 5;
constexpr int kKeepaliveProbes = 4;
// Keepalive probes are not sent while data is in flight; this is what ends a connection then.
constexpr int kUnacknowledgedMsMax = 30'000;

}  // namespace

void set_socket_options(tcp::socket& socket) {
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(tcp::socket::keep_alive(true), ignored);
  socket.set_option(TcpOption<TCP_KEEPIDLE>(kKeepaliveIdleS), ignored);
  socket.set_option(TcpOption<TCP_KEEPINTVL>(kKeepaliveIntervalS), ignored);
  socket.set_option(TcpOption<TCP_KEEPCNT>(kKeepaliveProbes), ignored);
  socket.set_option(TcpOption<TCP_USER_TIMEOUT>(kUnacknowledgedMsMax), ignored);
  // For writes that are tried at once and waited for only when the kernel's buffer is full.
  socket.non_blocking(true, ignored);
}

bool connected_to_itself(const tcp::socket& socket) {
  boost::system::error_code no_local;
  boost::system::error_code no_remote;
  auto local = socket.local_endpoint(no_local);
  auto remote = socket.remote_endpoint(no_remote);
  return !no_local && !no_remote && local == remote;
}

std::string peer_name(const tcp::socket& socket) {
  boost::system::error_code error;
  auto remote = socket.remote_endpoint(error);
  if (error) return "unknown";
  std::string host = remote.address().to_string();
  if (remote.address().is_v6()) host = "[" + host + "]";
  return host + ":" + std::to_string(remote.port());
}

}  // namespace dlm::wire
