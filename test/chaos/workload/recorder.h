// A client whose every call goes into the journal.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "dlm/client.h"
#include "test/chaos/workload/graveyard.h"
#include "test/chaos/workload/journal.h"

namespace dlm::chaos {

// What of a result goes into the history. Only what the service promised counts as an answer.
Outcome outcome_of_acquire(const Error& error);
Outcome outcome_of_detached(const Error& error);                 // release and renewal of detached holds
Outcome outcome_of_handle(const Error& error, LostCause cause);  // release and renewal through a Lock

struct RecorderOptions {
  std::vector<std::string> routers;
  std::string name;  // of the first client; the next ones get a number behind it
  std::chrono::milliseconds session_ttl{2'000};
  std::chrono::milliseconds request_timeout{3'000};
};

// One thread at a time. A call whose outcome is unknown, or a hold that is lost, ends the client; the next
// call is made by one of a new name, which holds nothing.
class Recorder {
 public:
  struct Held {
    std::string resource;
    LockMode mode = LockMode::exclusive;
    LeaseKind kind = LeaseKind::session;
    std::chrono::milliseconds lease{0};
    Lock lock;              // but for detached ones
    DetachedHold detached;  // of those
    std::int64_t sure_until_ns = 0;
  };

  Recorder(Journal& journal, Graveyard& graveyard, RecorderOptions options, std::stop_token stop);
  // Leaves what is held to its leases.
  ~Recorder();

  // True: granted, and the last one of held().
  bool acquire(const std::string& resource, AcquireOptions options);
  void release(std::size_t index);
  void renew(std::size_t index);
  void query(const std::string& resource);
  // As a program that forgets a detached hold.
  void forget(std::size_t index);
  // Looks after the holds: those that the library says are lost are gone.
  void look();

  const std::vector<Held>& held() const { return held_; }
  // Of the group that a resource lives in; nothing when it can't be found out.
  std::optional<std::string> group_of(const std::string& resource);
  bool connect(std::chrono::milliseconds timeout) { return client_->wait_connected(timeout).has_value(); }

 private:
  Record new_record(Op op, const std::string& resource, LockMode mode) const;
  void ended(std::uint64_t operation, Record& record);
  Record acquire_lock(const std::string& resource, AcquireOptions& options);
  Record acquire_detached(const std::string& resource, AcquireOptions& options);
  void keep_claims();
  void claim(const Held& held);
  void be_born();
  void retire();

  Journal& journal_;
  Graveyard& graveyard_;
  RecorderOptions options_;
  std::stop_token stop_;
  int lives_ = 0;
  std::string name_;
  std::unique_ptr<Client> client_;
  std::vector<Held> held_;
};

}  // namespace dlm::chaos
