// The blocking form of an operation that is started and told of later.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "client/engine.h"
#include "client/error.h"

namespace dlm::client {

// Calls start(done) and waits until done was called. On the I/O thread of `engine` (null: of none), which
// would wait for itself, an error.
template <class T, class Start>
Result<T> blocking(const Engine* engine, const std::string& resource, const Start& start) {
  if (engine && engine->on_io_thread()) {
    return make_error(Status::invalid_argument, resource,
                      "a blocking call within a callback of the library; use its asynchronous form");
  }
  std::mutex mutex;
  std::condition_variable arrived;
  std::optional<Result<T>> result;
  start([&](Result<T> value) {
    // Notified under the lock: the waiter may not leave before.
    std::lock_guard guard(mutex);
    result.emplace(std::move(value));
    arrived.notify_one();
  });
  std::unique_lock guard(mutex);
  arrived.wait(guard, [&] { return result.has_value(); });
  return std::move(*result);
}

}  // namespace dlm::client
