#include "server/id_lock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <system_error>

namespace dlm::server {
namespace {

TEST(IdLock, IsOneProcessOfAnIdInAClusterAtATime) {
  const std::string cluster = "127.0.0.1:1/id-lock-test/" + std::to_string(::getpid());
  auto first = std::make_unique<IdLock>(cluster, "s1");
  EXPECT_THROW(IdLock(cluster, "s1", 0), std::system_error);
  IdLock another_id(cluster, "s2");
  IdLock another_cluster(cluster + "x", "s1");
  first.reset();
  IdLock second(cluster, "s1", 0);
}

TEST(IdLock, TakesTheLongestId) {
  const std::string id(64, 'x');
  IdLock lock("127.0.0.1:1/id-lock-test/" + std::to_string(::getpid()), id);
  EXPECT_THROW(IdLock("127.0.0.1:1/id-lock-test/" + std::to_string(::getpid()), id, 0), std::system_error);
}

}  // namespace
}  // namespace dlm::server
