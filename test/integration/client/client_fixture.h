// A client against fake routers.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "dlm/client.h"
#include "test/support/fake_router.h"

namespace dlm {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Waits until it holds, long enough for a loaded machine.
inline bool eventually(const std::function<bool()>& holds) {
  auto end = std::chrono::steady_clock::now() + seconds(30);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

inline ClientOptions options_for(const test::FakeRouters& routers, milliseconds ttl = seconds(10)) {
  ClientOptions options;
  options.routers = routers.addresses();
  options.session_ttl = ttl;
  return options;
}

}  // namespace dlm
