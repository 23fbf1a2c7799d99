#include "schema/wire/awake_cpus.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <string>
#include <system_error>

namespace dlm::wire {
namespace {

constexpr const char* kDevice = "/dev/cpu_dma_latency";
constexpr const char* kIdleDriver = "/sys/devices/system/cpu/cpuidle/current_driver";
// The longest that it may take until a processor wakes. With 0 it does not go to sleep.
constexpr std::int32_t kLatencyMicroseconds = 0;

std::system_error refused(int error) {
  return std::system_error(error, std::generic_category(), std::string("can't write ") + kDevice);
}

}  // namespace

AwakeCpus::AwakeCpus() : request_(::open(kDevice, O_WRONLY | O_CLOEXEC)) {
  if (request_ < 0) throw refused(errno);
  if (::write(request_, &kLatencyMicroseconds, sizeof(kLatencyMicroseconds)) == sizeof(kLatencyMicroseconds))
    return;
  const int error = errno;
  ::close(request_);
  throw refused(error);
}

AwakeCpus::~AwakeCpus() {
  ::close(request_);
}

std::string AwakeCpus::caution() {
  std::string driver;
  std::ifstream(kIdleDriver) >> driver;
  if (driver != "none") return "";
  return std::string("the kernel of this machine has no idle driver (") + kIdleDriver +
         " says none), so that its processors sleep whatever is asked of them";
}

}  // namespace dlm::wire
