// A TCP link to a server on 127.0.0.1 that a test can cut: for one client at a time, without touching the
// server.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace dlm::test {

// The controls may be called from any thread; they take effect within a few milliseconds, and have when they
// return.
class TcpProxy {
 public:
  explicit TcpProxy(int target_port);
  ~TcpProxy();

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // Forwards, as at the beginning.
  void mend() { switch_to(Mode::forward); }
  // Closes all connections and closes new ones as they come.
  void cut() { switch_to(Mode::cut); }
  // Keeps connections open and lets nothing through: what was sent arrives after mend().
  void silence() { switch_to(Mode::silent); }
  // What comes from clients still reaches the server, answers do not reach the clients: after a cut they
  // can't know what the server did.
  void silence_answers() { switch_to(Mode::silent_answers); }

 private:
  enum class Mode { forward, cut, silent, silent_answers, stop };
  struct Link;

  void switch_to(Mode mode);
  void run();
  void accept_one();
  void step(Mode mode);

  const int target_port_;
  int port_ = 0;
  int listener_ = -1;
  int wake_ = -1;
  std::atomic<Mode> wanted_{Mode::forward};
  std::atomic<Mode> current_{Mode::forward};
  std::vector<std::unique_ptr<Link>> links_;  // of the thread
  std::thread thread_;
};

}  // namespace dlm::test
