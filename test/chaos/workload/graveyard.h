// Where clients go whose last operation has an unknown outcome. Nothing of theirs is given back before the
// leases that the history knows of have passed: a client that crashed would not give anything back either.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "dlm/client.h"

namespace dlm::chaos {

// Any thread.
class Graveyard {
 public:
  Graveyard() : thread_([this] { run(); }) {}
  // Waits until all have ended.
  ~Graveyard();
  Graveyard(const Graveyard&) = delete;
  Graveyard& operator=(const Graveyard&) = delete;

  void bury(std::unique_ptr<Client> client, std::vector<Lock> locks, std::int64_t until_ns);

 private:
  struct Grave {
    std::unique_ptr<Client> client;
    std::vector<Lock> locks;  // given back before their client closes
    std::int64_t until_ns = 0;
  };
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Grave> graves_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace dlm::chaos
