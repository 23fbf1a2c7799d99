// Keeps the processors of this machine out of sleep states: an idle one waits in the kernel, awake, and is
// there at once when an event comes. What busy polling does for one thread (busy_polling.h), this does for
// all, and takes no processor from anybody who has work; but it needs a permission. (The PM QoS request for
// processor latency, Documentation/power/pm_qos_interface.rst of Linux.)
#pragma once

#include <string>

namespace dlm::wire {

class AwakeCpus {
 public:
  // In force until its end, or the process's. Throws std::system_error, which says which file this process
  // may not write.
  AwakeCpus();
  ~AwakeCpus();
  AwakeCpus(const AwakeCpus&) = delete;
  AwakeCpus& operator=(const AwakeCpus&) = delete;

  // Why the request changes nothing on this machine; empty when nothing is known against it. Only an idle
  // driver of the kernel (cpuidle) heeds it, and some virtual machines have none.
  static std::string caution();

 private:
  int request_;  // lasts as long as it is open
};

}  // namespace dlm::wire
