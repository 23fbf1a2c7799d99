#include "schema/wire/awake_cpus.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>

namespace dlm::wire {
namespace {

constexpr const char* kDevice = "/dev/cpu_dma_latency";

// Whoever runs the tests may have the permission or not.
TEST(AwakeCpus, NoProcessorMaySleepOrItSaysWhichFileIsClosedToIt) {
  std::optional<AwakeCpus> awake;
  try {
    awake.emplace();
  } catch (const std::system_error& refused) {
    EXPECT_THAT(refused.what(), testing::HasSubstr(kDevice));
    EXPECT_LT(::open(kDevice, O_WRONLY | O_CLOEXEC), 0);
    return;
  }
  const int device = ::open(kDevice, O_RDONLY | O_CLOEXEC);
  if (device < 0) GTEST_SKIP() << "may be written here, but not read";
  std::int32_t microseconds = -1;  // what the kernel grants to all requests together
  EXPECT_EQ(::read(device, &microseconds, sizeof(microseconds)), sizeof(microseconds));
  EXPECT_EQ(microseconds, 0);
  ::close(device);
}

TEST(AwakeCpus, WarnsOfAKernelThatDoesNotHeedIt) {
  std::string driver;
  std::ifstream("/sys/devices/system/cpu/cpuidle/current_driver") >> driver;
  EXPECT_EQ(AwakeCpus::caution().starts_with("the kernel of this machine has no idle driver"),
            driver == "none");
  EXPECT_EQ(AwakeCpus::caution().empty(), driver != "none");
}

}  // namespace
}  // namespace dlm::wire
