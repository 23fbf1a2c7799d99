#include "server/storage/data_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/storage/damage.h"
#include "test/sim/disk.h"

namespace dlm::server {
namespace {

using testing::HasSubstr;

TEST(DataFolder, KeepsItsIdentity) {
  sim::Disk disk;
  sim::Random random(1);
  EXPECT_EQ(read_identity(*disk.root()), std::nullopt);
  const ServerIdentity identity{"cluster-1", "s1", 42, {GroupId(1), GroupId(3)}};
  write_identity(*disk.root(), identity);
  disk.lose_power(random);
  EXPECT_EQ(read_identity(*disk.root()), identity);
  EXPECT_EQ(identity_of(identity, GroupId(3)).incarnation, 42u);
}

TEST(DataFolder, RefusesWhatItDidNotWrite) {
  for (const char* text : {"", "{", "[]", "{\"format\":\"1\"}",
                           R"({"format":1,"cluster":"c","server":"s","incarnation":0,"groups":[]})",
                           R"({"format":1,"cluster":"c","server":"s","incarnation":-1,"groups":[]})",
                           R"({"format":1,"cluster":"c","server":"s","incarnation":5,"groups":["x"]})",
                           R"({"format":1,"cluster":"c","incarnation":5,"groups":[]})"}) {
    sim::Disk disk;
    disk.root()->create("identity.json")->write(0, text);
    EXPECT_THROW(read_identity(*disk.root()), DamagedFolder) << text;
  }
}

TEST(DataFolder, RefusesANewerFormat) {
  sim::Disk disk;
  disk.root()->create("identity.json")->write(0, R"({"format":2})");
  try {
    read_identity(*disk.root());
    FAIL();
  } catch (const DamagedFolder& damage) {
    EXPECT_THAT(damage.what(), HasSubstr("is of format 2, this program knows format 1"));
  }
}

}  // namespace
}  // namespace dlm::server
