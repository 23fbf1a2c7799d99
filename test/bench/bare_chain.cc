// What the way of an operation costs on this machine before anything is done with it: a client, a router, a
// primary and a backup, a process each, hand on records over TCP that are as long as those of `dlm bench`,
// and do nothing else. The router sends on what has come in one batch, one batch at a time, as ours does.
// scripts/chain-figures runs it beside `dlm bench`, which can't be faster than this.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <system_error>
#include <utility>
#include <vector>

namespace dlm::bench {
namespace {

// Bytes of one operation, as `ss -ti` shows them with one operation in a frame, and some 32 in a batch.
constexpr std::size_t kRequest = 175;       // client to router
constexpr std::size_t kAnswer = 144;        // and back
constexpr std::size_t kSubmitted = 122;     // router to primary
constexpr std::size_t kAnswered = 95;       // and back
constexpr std::size_t kLogged = 55;         // primary to backup
constexpr std::size_t kAcknowledged = 104;  // and back: of a whole batch
constexpr int kEventsMax = 256;

struct Options {
  unsigned connections = 64;
  unsigned in_flight = 1;
  double seconds = 5;
};

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// Both ends of a connection over loopback.
std::pair<int, int> connection() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener, any, size) != 0 || ::listen(listener, 1) != 0 ||
      ::getsockname(listener, any, &size) != 0)
    fail("can't listen");
  const int near = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(near, any, size) != 0) fail("can't connect");
  const int far = ::accept(listener, nullptr, nullptr);
  if (far < 0) fail("can't accept");
  ::close(listener);
  const int on = 1;
  for (int socket : {near, far}) ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return {near, far};
}

// The other side is gone: so is this process, which has nothing of its own.
void write_all(int socket, const char* data, std::size_t bytes) {
  while (bytes != 0) {
    const ssize_t written = ::send(socket, data, bytes, MSG_NOSIGNAL);
    if (written <= 0) ::_exit(EXIT_SUCCESS);
    data += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

std::size_t read_some(int socket, char* data, std::size_t bytes) {
  const ssize_t count = ::recv(socket, data, bytes, 0);
  if (count <= 0) ::_exit(EXIT_SUCCESS);
  return static_cast<std::size_t>(count);
}

void read_all(int socket, char* data, std::size_t bytes) {
  while (bytes != 0) {
    const std::size_t count = read_some(socket, data, bytes);
    data += count;
    bytes -= count;
  }
}

// A batch is the number of its operations, then these.
class Batch {
 public:
  explicit Batch(std::size_t operations_max) : bytes_(sizeof(std::uint32_t) + operations_max * kRequest) {}

  void send(int socket, std::uint32_t operations, std::size_t bytes_each) {
    std::memcpy(bytes_.data(), &operations, sizeof(operations));
    write_all(socket, bytes_.data(), sizeof(operations) + operations * bytes_each);
  }
  std::uint32_t receive(int socket, std::size_t bytes_each) {
    std::uint32_t operations = 0;
    read_all(socket, bytes_.data(), sizeof(operations));
    std::memcpy(&operations, bytes_.data(), sizeof(operations));
    read_all(socket, bytes_.data() + sizeof(operations), operations * bytes_each);
    return operations;
  }

 private:
  std::vector<char> bytes_;
};

// What can be read, of many sockets; each is known by a number.
class ReadySockets {
 public:
  explicit ReadySockets(const std::vector<int>& sockets) : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (std::uint32_t i = 0; i < sockets.size(); ++i) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u32 = i;
      if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, sockets[i], &event) != 0) fail("can't wait for a socket");
    }
  }
  template <class F>
  void wait(F&& ready) {
    const int count = ::epoll_wait(epoll_, events_.data(), kEventsMax, -1);
    for (int i = 0; i < count; ++i) ready(events_[static_cast<std::size_t>(i)].data.u32);
  }

 private:
  int epoll_;
  std::array<epoll_event, kEventsMax> events_{};
};

// Counts whole records in what comes, however TCP cuts it.
class Records {
 public:
  explicit Records(std::size_t bytes_each) : each_(bytes_each) {}
  std::size_t read(int socket) {
    std::array<char, 64 * 1'024> space;
    bytes_ += read_some(socket, space.data(), space.size());
    const std::size_t whole = bytes_ / each_;
    bytes_ %= each_;
    return whole;
  }

 private:
  std::size_t each_;
  std::size_t bytes_ = 0;
};

[[noreturn]] void run_backup(int primary, std::size_t operations_max) {
  Batch batch(operations_max);
  for (const std::array<char, kAcknowledged> acknowledgement{};;) {
    batch.receive(primary, kLogged);
    write_all(primary, acknowledgement.data(), acknowledgement.size());
  }
}

[[noreturn]] void run_primary(int router, int backup, std::size_t operations_max) {
  Batch batch(operations_max);
  for (std::array<char, kAcknowledged> acknowledgement;;) {
    const std::uint32_t operations = batch.receive(router, kSubmitted);
    batch.send(backup, operations, kLogged);
    read_all(backup, acknowledgement.data(), acknowledgement.size());
    batch.send(router, operations, kAnswered);
  }
}

[[noreturn]] void run_router(const std::vector<int>& clients, int primary, std::size_t operations_max) {
  std::vector<int> sockets = clients;
  sockets.push_back(primary);
  ReadySockets ready(sockets);
  std::vector<Records> requests(clients.size(), Records(kRequest));
  std::vector<char> answers(operations_max * kAnswer);
  Batch batch(operations_max);
  // By client, and of how many operations.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> waiting;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> under_way;
  for (std::uint32_t waiting_operations = 0;;) {
    bool answered = false;
    ready.wait([&](std::uint32_t socket) {
      if (socket == clients.size()) {
        answered = true;
        return;
      }
      const auto operations = static_cast<std::uint32_t>(requests[socket].read(clients[socket]));
      if (operations == 0) return;
      waiting.emplace_back(socket, operations);
      waiting_operations += operations;
    });
    std::vector<std::pair<std::uint32_t, std::uint32_t>> done;
    if (answered) {
      batch.receive(primary, kAnswered);
      done.swap(under_way);
    }
    if (under_way.empty() && !waiting.empty()) {
      under_way.swap(waiting);
      batch.send(primary, std::exchange(waiting_operations, 0), kSubmitted);
    }
    for (const auto& [client, operations] : done)
      write_all(clients[client], answers.data(), operations * kAnswer);
  }
}

// Operations in a second.
double run_client(const std::vector<int>& routers, const Options& options) {
  using Clock = std::chrono::steady_clock;
  ReadySockets ready(routers);
  std::vector<Records> answers(routers.size(), Records(kAnswer));
  const std::vector<char> requests(options.in_flight * kRequest);
  for (int socket : routers) write_all(socket, requests.data(), requests.size());
  const auto seconds_since = [](Clock::time_point then) {
    return std::chrono::duration<double>(Clock::now() - then).count();
  };
  std::uint64_t operations = 0;
  const auto turn = [&] {
    ready.wait([&](std::uint32_t socket) {
      const std::size_t answered = answers[socket].read(routers[socket]);
      operations += answered;
      write_all(routers[socket], requests.data(), answered * kRequest);
    });
  };
  for (const auto began = Clock::now(); seconds_since(began) < 1;) turn();  // not counted
  operations = 0;
  const auto began = Clock::now();
  while (seconds_since(began) < options.seconds) turn();
  return static_cast<double>(operations) / seconds_since(began);
}

class Children {
 public:
  ~Children() {
    for (pid_t child : pids_) ::kill(child, SIGKILL);
    for (pid_t child : pids_) ::waitpid(child, nullptr, 0);
  }
  void start(const std::function<void()>& body) {
    const pid_t child = ::fork();
    if (child < 0) fail("can't start a process");
    if (child == 0) {
      body();
      ::_exit(EXIT_SUCCESS);
    }
    pids_.push_back(child);
  }

 private:
  std::vector<pid_t> pids_;
};

double run(const Options& options) {
  const std::size_t operations_max = std::size_t{options.connections} * options.in_flight;
  std::vector<int> near;
  std::vector<int> far;
  for (unsigned i = 0; i < options.connections; ++i) {
    const auto [client, router] = connection();
    near.push_back(client);
    far.push_back(router);
  }
  const auto [router, primary] = connection();
  const auto [leader, backup] = connection();
  Children children;
  children.start([&, backup = backup] { run_backup(backup, operations_max); });
  children.start([&, primary = primary, leader = leader] { run_primary(primary, leader, operations_max); });
  children.start([&, router = router] { run_router(far, router, operations_max); });
  return run_client(near, options);
}

}  // namespace
}  // namespace dlm::bench

int main(int argc, char** argv) {
  CLI::App app("The way of an operation through four processes that do nothing with it");
  dlm::bench::Options options;
  app.add_option("--connections", options.connections, "Of the client; default 64")
      ->check(CLI::Range(1, 400));
  app.add_option("--in-flight", options.in_flight, "Operations on each; default 1")
      ->check(CLI::Range(1, 1'000));
  app.add_option("--seconds", options.seconds, "How long to measure; default 5")
      ->check(CLI::Range(0.1, 3600.0));
  CLI11_PARSE(app, argc, argv);
  try {
    std::printf("%.0f\n", dlm::bench::run(options) / 2);  // pairs in a second
  } catch (const std::exception& e) {
    std::fprintf(stderr, "dlm-bare-chain: %s\n", e.what());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
