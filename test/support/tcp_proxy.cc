#include "test/support/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>

namespace dlm::test {
namespace {

constexpr std::size_t kBufferBytes = 1 << 16;

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

// One direction of a link.
struct Flow {
  int from = -1;
  int to = -1;
  std::string buffer;
  bool open = true;

  bool wants_read() const { return open && buffer.size() < kBufferBytes; }

  void read_some() {
    char bytes[16384];
    ssize_t got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) buffer.append(bytes, static_cast<std::size_t>(got));
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) open = false;
  }

  void write_some() {
    ssize_t sent = send(to, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) buffer.erase(0, static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EAGAIN && errno != EINTR) open = false;
  }
};

}  // namespace

struct TcpProxy::Link {
  Flow requests;
  Flow answers;

  Link(int client, int server) {
    requests.from = answers.to = client;
    requests.to = answers.from = server;
  }
  ~Link() {
    close(requests.from);
    close(requests.to);
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  bool over() const {
    return (!requests.open && requests.buffer.empty()) || (!answers.open && answers.buffer.empty());
  }
};

TcpProxy::TcpProxy(int target_port) : target_port_(target_port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  if (listener_ < 0 || wake_ < 0 || bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      listen(listener_, 64) != 0) {
    throw std::system_error(errno, std::generic_category(), "listening");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

TcpProxy::~TcpProxy() {
  switch_to(Mode::stop);
  thread_.join();
  close(listener_);
  close(wake_);
}

void TcpProxy::switch_to(Mode mode) {
  wanted_ = mode;
  eventfd_write(wake_, 1);
  while (current_ != mode) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void TcpProxy::run() {
  while (current_ != Mode::stop) {
    Mode mode = wanted_;
    if (mode == Mode::cut || mode == Mode::stop) links_.clear();
    current_ = mode;
    if (mode != Mode::stop) step(mode);
  }
}

void TcpProxy::accept_one() {
  int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  sockaddr_in address = loopback(target_port_);
  int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (current_ == Mode::cut || connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(client);
    close(server);
    return;
  }
  int on = 1;
  for (int fd : {client, server}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  links_.push_back(std::make_unique<Link>(client, server));
}

// Waits for something to happen, and does it.
void TcpProxy::step(Mode mode) {
  bool accepts = mode != Mode::silent;
  bool answers = mode == Mode::forward;
  bool requests = answers || mode == Mode::silent_answers;
  std::vector<pollfd> polls = {{wake_, POLLIN, 0}, {accepts ? listener_ : -1, POLLIN, 0}};
  auto add = [&](const Flow& flow, bool enabled) {
    polls.push_back({enabled && flow.wants_read() ? flow.from : -1, POLLIN, 0});
    polls.push_back({enabled && !flow.buffer.empty() ? flow.to : -1, POLLOUT, 0});
  };
  for (const auto& link : links_) {
    add(link->requests, requests);
    add(link->answers, answers);
  }
  if (poll(polls.data(), polls.size(), -1) < 0) return;
  eventfd_t ignored = 0;
  eventfd_read(wake_, &ignored);
  std::size_t next = 2;
  for (const auto& link : links_) {
    for (Flow* flow : {&link->requests, &link->answers}) {
      if (polls[next++].revents != 0) flow->read_some();
      if (polls[next++].revents != 0) flow->write_some();
    }
  }
  std::erase_if(links_, [](const auto& link) { return link->over(); });
  if (polls[1].revents != 0) accept_one();
}

}  // namespace dlm::test
