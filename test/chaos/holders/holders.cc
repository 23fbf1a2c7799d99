#include "test/chaos/holders/holders.h"

#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <mutex>
#include <thread>

#include "dlm/client.h"
#include "test/chaos/holders/register_file.h"

namespace dlm::chaos {
namespace {

using std::chrono::milliseconds;

ClientOptions client_options(const std::string& router, const std::string& client_id, std::uint32_t ttl_ms) {
  ClientOptions options;
  options.routers = {router};
  options.client_id = client_id;
  options.session_ttl = milliseconds(ttl_ms);
  return options;
}

class EventLog {
 public:
  explicit EventLog(const std::string& path) : file_(path, std::ios::app) {}
  void line(const std::string& text) {
    std::lock_guard lock(mutex_);
    file_ << text << std::endl;
  }

 private:
  std::mutex mutex_;
  std::ofstream file_;
};

}  // namespace

int run_updater(const UpdaterOptions& options) {
  Client client(client_options(options.router, options.client_id, options.ttl_ms));
  RegisterFile fenced(options.fenced, true);
  RegisterFile unfenced(options.unfenced, false);
  for (;;) {
    Result<Lock> lock = client.acquire(options.resource);
    if (!lock) {
      std::cerr << lock.error().describe() << std::endl;
      continue;
    }
    const std::uint64_t token = lock->token().value;
    const auto from_fenced = fenced.read(token);
    const auto from_unfenced = unfenced.read(token);
    std::this_thread::sleep_for(milliseconds(20));  // what the program has to do under the lock
    if (from_fenced) fenced.write(token, *from_fenced + 1);
    unfenced.write(token, *from_unfenced + 1);
  }
}

int run_holder(const HolderOptions& options) {
  EventLog log(options.log);
  Client client(client_options(options.router, "holder", options.ttl_ms));
  Result<Lock> lock = client.acquire(options.resource);
  if (!lock) {
    log.line(lock.error().describe());
    return EXIT_FAILURE;
  }
  std::atomic<bool> told = false;
  lock->on_lost([&](LostCause) {
    log.line("callback");
    told = true;
    // Nothing can leave while the thread that sends is here.
    std::this_thread::sleep_for(std::chrono::seconds(1));
  });
  log.line("held");
  while (*lock) std::this_thread::sleep_for(milliseconds(1));
  log.line("state " + std::string(to_string(lock->state())));
  while (!told) std::this_thread::sleep_for(milliseconds(1));  // a release before it would silence it
  log.line("release " + std::string(to_string(lock->release().status())));
  return EXIT_SUCCESS;
}

}  // namespace dlm::chaos
