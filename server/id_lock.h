// One living process of a server id on a machine, frozen ones included. A group that lost all its replicas
// begins anew when their ids are back, which is safe only if the old processes are dead; the coordinator can
// tell that their sessions ended, not that they did.
#pragma once

#include <cstdint>
#include <string>

namespace dlm::server {

// Held until it is destroyed or the process ends, however it ends: the kernel frees it.
class IdLock {
 public:
  // `cluster`: where the cluster's coordinator is, as ids are unique in one cluster only. Throws
  // std::system_error when another process of this machine (of this network namespace) has it and keeps it
  // for `patience_ms`, in which one that was killed goes away.
  IdLock(const std::string& cluster, const std::string& id, std::uint32_t patience_ms = 2'000);
  ~IdLock();
  IdLock(const IdLock&) = delete;
  IdLock& operator=(const IdLock&) = delete;

 private:
  int socket_ = -1;
};

}  // namespace dlm::server
