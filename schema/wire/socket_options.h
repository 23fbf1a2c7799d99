// How every TCP connection of the service is set up.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <string>

namespace dlm::wire {

// No delay (small messages must not wait for an acknowledgement), keepalive, and an end to connections whose
// peer stopped acknowledging. Errors are left to the first read or write.
void set_socket_options(boost::asio::ip::tcp::socket& socket);

// True for a connection that met itself: on loopback, a connect to a free port can pick that very port as its
// source and succeed. Whoever connects checks this and takes it for "refused".
bool connected_to_itself(const boost::asio::ip::tcp::socket& socket);

// "127.0.0.1:7700", "[::1]:7700"; "unknown" when it is not connected.
std::string peer_name(const boost::asio::ip::tcp::socket& socket);

}  // namespace dlm::wire
