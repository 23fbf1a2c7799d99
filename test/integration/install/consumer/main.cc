// Every public header, and a call that tells that nobody listens.
#include <dlm/async.h>
#include <dlm/client.h>
#include <dlm/clock.h>
#include <dlm/lock.h>
#include <dlm/mutex.h>
#include <dlm/result.h>

#include <boost/asio/use_future.hpp>
#include <iostream>
#include <mutex>

int main() {
  dlm::ClientOptions options;
  options.routers = {"127.0.0.1:1"};
  options.request_timeout = std::chrono::milliseconds(100);
  dlm::Client client(options);
  dlm::Result<dlm::Lock> lock = dlm::async_acquire(client, "a", {}, boost::asio::use_future).get();
  if (lock) return 1;
  std::cout << lock.error().describe() << "\n";
  dlm::Mutex mutex(client, "m");
  try {
    std::lock_guard guard(mutex);
    return 2;
  } catch (const dlm::LockError& error) {
    return error.status() == dlm::Status::unavailable ? 0 : 3;
  }
}
