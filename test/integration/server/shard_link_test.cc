#include "schema/wire/shard_link.h"

#include <gtest/gtest.h>

#include "node_rig.h"

namespace dlm::server {
namespace {

// A link to s1 and what it said.
struct Watched {
  Watched(NodeRig& rig, const std::string& address, const std::string& member,
          const std::string& cluster = "rig") {
    wire::ShardLinkOptions options;
    options.cluster = cluster;
    options.self = "r1";
    options.server = member;
    options.address = *parse_host_port(address);
    options.connect_timeout_ms = 5'000;
    wire::ShardLink::Events events;
    events.on_up = [this](wire::ShardServer::Host::Client client) {
      ++ups;
      host = kj::mv(client);
    };
    events.on_down = [this](bool is_gone, const std::string& reason) {
      host = nullptr;
      ++downs;
      gone = is_gone;
      why = reason;
      if (destroy_when_down) link.reset();
    };
    link = wire::ShardLink::make(rig.loop, options, std::move(events));
  }
  ~Watched() { host = nullptr; }

  int ups = 0;
  int downs = 0;
  bool gone = false;
  bool destroy_when_down = false;
  std::string why;
  std::unique_ptr<wire::ShardLink> link;
  kj::Maybe<wire::ShardServer::Host::Client> host;
};

class ShardLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // No groups: a server that was in one comes back as another incarnation only.
    ShardNodeOptions options = rig_.options("s1");
    options.groups.clear();
    rig_.begin(options);
    rig_.await("registration", [&] { return rig_.nodes.at("s1").ready; });
    address_ = rig_.nodes.at("s1").shard->address();
    member_ = coordinator::to_string(rig_.nodes.at("s1").shard->name());
  }

  NodeRig rig_;
  std::string address_;
  std::string member_;
};

TEST_F(ShardLinkTest, GreetsAndIsUp) {
  Watched link(rig_, address_, member_);
  EXPECT_FALSE(link.link->up());
  rig_.await("up", [&] { return link.ups == 1; });
  EXPECT_TRUE(link.link->up());
  EXPECT_EQ(link.downs, 0);
}

TEST_F(ShardLinkTest, ADeadProcessIsGone) {
  Watched link(rig_, address_, member_);
  rig_.await("up", [&] { return link.ups == 1; });
  rig_.kill("s1");
  rig_.await("gone", [&] { return link.gone; });
  EXPECT_FALSE(link.link->up());
}

TEST_F(ShardLinkTest, AnotherIncarnationAtTheAddressMeansGone) {
  Watched link(rig_, address_, "s1#987654321");
  rig_.await("gone", [&] { return link.gone; });
  EXPECT_NE(link.why.find(member_), std::string::npos) << link.why;
  EXPECT_EQ(link.ups, 0);
}

TEST_F(ShardLinkTest, ARefusalIsToldAndIsNoDeath) {
  Watched link(rig_, address_, member_, "other");
  rig_.await("refusals", [&] { return link.downs >= 2; });
  EXPECT_FALSE(link.gone);
  EXPECT_NE(link.why.find("cluster"), std::string::npos) << link.why;
}

TEST_F(ShardLinkTest, ReconnectsWhenAsked) {
  Watched link(rig_, address_, member_);
  rig_.await("up", [&] { return link.ups == 1; });
  link.link->reconnect();
  EXPECT_EQ(link.downs, 0) << "callbacks come from the loop";
  rig_.await("up again", [&] { return link.ups == 2; });
  EXPECT_EQ(link.downs, 1);
}

TEST_F(ShardLinkTest, ReturnsWhenTheServerDoes) {
  Watched link(rig_, address_, member_);
  rig_.await("up", [&] { return link.ups == 1; });
  const ShardNodeOptions first = [&] {
    ShardNodeOptions options = rig_.options("s1");
    options.groups.clear();
    options.incarnation = rig_.nodes.at("s1").shard->name().incarnation;
    options.listen = *parse_host_port(address_);
    return options;
  }();
  rig_.kill("s1");
  rig_.await("gone", [&] { return link.gone; });
  rig_.begin(first);
  rig_.await("up again", [&] { return link.ups == 2; });
}

TEST_F(ShardLinkTest, MayBeDestroyedFromItsOwnCallback) {
  Watched link(rig_, address_, member_);
  rig_.await("up", [&] { return link.ups == 1; });
  link.destroy_when_down = true;
  rig_.kill("s1");
  rig_.await("destroyed", [&] { return link.link == nullptr; });
  rig_.run_ms(50);
  EXPECT_EQ(link.downs, 1);
}

TEST_F(ShardLinkTest, MayBeDestroyedAtAnyMoment) {
  for (std::uint32_t ms = 0; ms < 10; ++ms) {
    Watched link(rig_, address_, member_);
    rig_.run_ms(ms);
  }
}

}  // namespace
}  // namespace dlm::server
