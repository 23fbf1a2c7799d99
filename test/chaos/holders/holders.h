// Programs that hold a lock and are frozen meanwhile: `dlm-chaos updater` and `dlm-chaos holder`.
#pragma once

#include <cstdint>
#include <string>

namespace dlm::chaos {

struct UpdaterOptions {
  std::string router;
  std::string client_id;
  std::string resource;
  std::string fenced;    // file of a register that looks at tokens
  std::string unfenced;  // and of one that does not
  std::uint32_t ttl_ms = 1'000;
};

// Adds one to both registers, again and again, each time under the lock. It does not look whether the lock is
// still held before it writes, as a program that is frozen just after having looked. Until it is killed.
int run_updater(const UpdaterOptions& options);

struct HolderOptions {
  std::string router;
  std::string resource;
  std::string log;  // gets a line for each thing that happens
  std::uint32_t ttl_ms = 1'000;
};

// Takes the lock and waits until it is lost. Lines: "held"; "callback" from the library's own thread, which
// then sends nothing for a second; "state lost"; what release() says then.
int run_holder(const HolderOptions& options);

}  // namespace dlm::chaos
