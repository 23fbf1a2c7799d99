// The commands against a service: what they print and how they end.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "test/integration/cli/service.h"

namespace dlm::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Commands : public ServiceTest {
 protected:
  // Takes a detached hold and gives its token.
  static std::string acquire(const std::string& name, const std::string& client,
                             std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"acquire", name, "--client", client, "--lease", "60s", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    Ended ended = dlm(words);
    EXPECT_EQ(ended.code, 0) << ended.err;
    if (ended.code != 0) return "0";
    return std::to_string(json_of(ended.out).at("token").to_number<std::uint64_t>());
  }
};

TEST_F(Commands, TakeShowRenewAndReleaseAHold) {
  Ended acquired = dlm({"acquire", "orders/42", "--client", "w7", "--lease", "60s"});
  ASSERT_EQ(acquired.code, 0) << acquired.err;
  EXPECT_EQ(acquired.err, "");
  EXPECT_THAT(acquired.out, HasSubstr("acquired orders/42"));
  EXPECT_THAT(acquired.out, HasSubstr("dlm release orders/42 --client w7 --token "));

  Ended shown = dlm({"inspect", "orders/42", "--json"});
  ASSERT_EQ(shown.code, 0) << shown.err;
  auto lock = json_of(shown.out);
  EXPECT_EQ(lock.at("resource").as_string(), "orders/42");
  ASSERT_EQ(lock.at("holders").as_array().size(), 1U);
  auto holder = lock.at("holders").as_array()[0];
  EXPECT_EQ(holder.at("client_id").as_string(), "w7");
  EXPECT_EQ(holder.at("lease").as_string(), "detached");
  std::string token = std::to_string(holder.at("token").to_number<std::uint64_t>());
  EXPECT_THAT(acquired.out, HasSubstr(token));
  EXPECT_THAT(dlm({"inspect", "orders/42"}).out, HasSubstr("held by w7, exclusive"));

  Ended renewed = dlm({"renew", "orders/42", "--client", "w7", "--token", token, "--lease", "2m", "--json"});
  ASSERT_EQ(renewed.code, 0) << renewed.err;
  EXPECT_EQ(json_of(renewed.out).at("lease_ms").as_int64(), 120'000);

  Ended released = dlm({"release", "orders/42", "--client", "w7", "--token", token});
  EXPECT_EQ(released.code, 0) << released.err;
  EXPECT_EQ(released.out, "released orders/42\n");
  EXPECT_THAT(dlm({"inspect", "orders/42"}).out, HasSubstr("free"));
}

TEST_F(Commands, PrintCommandsThatWorkAsTheyStand) {
  Ended acquired =
      dlm({"acquire", "it's mine", "--client", "a b", "--tag", "$x", "--lease", "60s", "--json"});
  ASSERT_EQ(acquired.code, 0) << acquired.err;
  auto told = json_of(acquired.out);
  for (const char* field : {"renew_command", "release_command"}) {
    std::string command = std::string(DLM_PROGRAM) + std::string(told.at(field).as_string()).substr(3);
    std::string line = "DLM_ROUTERS=" + service().router() + " " + command + " >/dev/null";
    EXPECT_EQ(std::system(line.c_str()), 0) << line;
  }
}

TEST_F(Commands, MakeAClientIdWhenNoneIsGiven) {
  Ended acquired = dlm({"acquire", "anonymous", "--lease", "60s", "--json"});
  ASSERT_EQ(acquired.code, 0) << acquired.err;
  auto told = json_of(acquired.out);
  std::string id(told.at("client_id").as_string());
  EXPECT_NE(id, "");
  std::string token = std::to_string(told.at("token").to_number<std::uint64_t>());
  EXPECT_EQ(dlm({"release", "anonymous", "--client", id, "--token", token}).code, 0);
}

TEST_F(Commands, KeepNamesOfAnyBytesApart) {
  std::string token = acquire("--name-hex=00ff5c", "odd");
  auto lock = json_of(dlm({"inspect", "--name-hex", "00ff5c", "--json"}).out);
  EXPECT_EQ(lock.at("resource").as_string(), R"(\x00\xff\\)");
  EXPECT_EQ(lock.at("resource_hex").as_string(), "00ff5c");
  EXPECT_EQ(lock.at("holders").as_array().size(), 1U);
  EXPECT_EQ(dlm({"release", "--name-hex", "00ff5c", "--client", "odd", "--token", token}).code, 0);

  token = acquire("", "empty");
  EXPECT_THAT(dlm({"inspect", ""}).out, HasSubstr("held by empty"));
  EXPECT_EQ(dlm({"release", "--name-hex", "", "--client", "empty", "--token", token}).code, 0);
}

TEST_F(Commands, ListWhatIsHeldUnderAPrefix) {
  for (int i = 0; i < 5; ++i) acquire("list/" + std::to_string(i), "lister");
  acquire("other/1", "lister");
  Ended lines = dlm({"ls", "--prefix", "list/", "--json"});
  ASSERT_EQ(lines.code, 0) << lines.err;
  std::vector<std::string> names;
  std::istringstream stream(lines.out);
  for (std::string line; std::getline(stream, line);) {
    names.emplace_back(json_of(line + "\n").at("resource").as_string());
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("list/0", "list/1", "list/2", "list/3", "list/4"));

  Ended table = dlm({"ls", "--prefix", "list/", "--limit", "2"});
  EXPECT_EQ(std::count(table.out.begin(), table.out.end(), '\n'), 3) << table.out;
  EXPECT_THAT(table.out, StartsWith("RESOURCE"));
}

TEST_F(Commands, ShowTheCluster) {
  Ended text = dlm({"status"});
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("No problems"));
  auto cluster = json_of(dlm({"status", "--json"}).out);
  EXPECT_EQ(cluster.at("routers").as_array().size(), 1U);
  ASSERT_EQ(cluster.at("groups").as_array().size(), 2U);
  double shares = 0;
  for (const auto& share : cluster.at("ring").as_array()) shares += share.at("share").to_number<double>();
  EXPECT_NEAR(shares, 1.0, 1e-6);
  for (const auto& group : cluster.at("groups").as_array()) {
    EXPECT_EQ(group.at("in_sync").as_array().size(), 3U);
    EXPECT_EQ(group.at("members").as_array().size(), 3U);
    EXPECT_NE(group.at("primary").as_string(), "");
    EXPECT_EQ(group.at("problem").as_string(), "");
  }
}

TEST_F(Commands, SayWhoHoldsALockThatIsTaken) {
  acquire("taken", "w7");
  Ended refused = dlm({"acquire", "taken", "--client", "w8", "--lease", "60s"});
  EXPECT_EQ(refused.code, 75);
  expect_one_error_line(refused);
  EXPECT_THAT(refused.err, HasSubstr("w7"));

  Ended timed_out = dlm({"acquire", "taken", "--client", "w8", "--lease", "60s", "--wait", "50ms", "--json"});
  EXPECT_EQ(timed_out.code, 75);
  auto error = json_of(timed_out.err).at("error");
  EXPECT_EQ(error.at("status").as_string(), "timed_out");
  EXPECT_EQ(error.at("resource").as_string(), "taken");
  EXPECT_EQ(error.at("holder").at("client_id").as_string(), "w7");
  EXPECT_EQ(error.at("exit_code").as_int64(), 75);
}

TEST_F(Commands, ShareALockAmongReaders) {
  std::string first = acquire("shared", "r1", {"--shared"});
  std::string second = acquire("shared", "r2", {"--shared"});
  EXPECT_EQ(json_of(dlm({"inspect", "shared", "--json"}).out).at("holders").as_array().size(), 2U);
  EXPECT_EQ(dlm({"acquire", "shared", "--client", "w1", "--lease", "60s"}).code, 75);
  EXPECT_EQ(dlm({"release", "shared", "--client", "r1", "--token", first}).code, 0);
  EXPECT_EQ(dlm({"release", "shared", "--client", "r2", "--token", second}).code, 0);
}

TEST_F(Commands, TellNeverFromReleased) {
  std::string token = acquire("once", "w7");
  ASSERT_EQ(dlm({"release", "once", "--client", "w7", "--token", token}).code, 0);
  Ended released = dlm({"release", "once", "--client", "w7", "--token", token, "--json"});
  EXPECT_EQ(released.code, 66);
  EXPECT_EQ(json_of(released.err).at("error").at("cause").as_string(), "released");
  Ended never = dlm({"renew", "never", "--client", "w7", "--token", "1", "--lease", "5s", "--json"});
  EXPECT_EQ(never.code, 66);
  EXPECT_EQ(json_of(never.err).at("error").at("cause").as_string(), "never");
}

TEST_F(Commands, RefuseALeaseOutsideTheServersLimits) {
  Ended refused = dlm({"acquire", "long", "--client", "w7", "--lease", "48h"});
  EXPECT_EQ(refused.code, 64);
  expect_one_error_line(refused);
  EXPECT_THAT(refused.err, HasSubstr("1h"));
}

struct BadCase {
  std::vector<std::string> words;
  const char* message;
};

TEST_F(Commands, RefuseWrongUsageInOneLineWithCode64) {
  const BadCase cases[] = {
      {{}, "subcommand"},
      {{"frobnicate"}, "frobnicate"},
      {{"ls", "--frobnicate"}, "--frobnicate"},
      {{"acquire", "--lease", "5s"}, "NAME"},
      {{"acquire", "x"}, "--lease"},
      {{"acquire", "x", "--lease", "5"}, "--lease"},
      {{"acquire", "x", "--lease", "5s", "--wait", "soon"}, "--wait"},
      {{"acquire", "x", "--lease", "5s", "--client", std::string(129, 'c')}, "128"},
      {{"acquire", std::string(4097, 'x'), "--lease", "5s"}, "4096"},
      {{"inspect", "--name-hex", "xyz"}, "--name-hex"},
      {{"inspect", "a", "--name-hex", "00"}, "--name-hex"},
      {{"renew", "x", "--token", "5"}, "--client"},
      {{"release", "x", "--client", "c", "--token", "five"}, "--token"},
      {{"release", "x", "--client", "c", "--token", "0"}, "--token"},
      {{"release", "x", "--client", "c", "--token", "99999999999999999999"}, "--token"},
      {{"lock", "x"}, "COMMAND"},
      {{"lock", "x", "--"}, "COMMAND"},
      {{"lock", "--", "true"}, "NAME"},
      {{"lock", "x", "--ttl", "10ms", "--", "true"}, "--ttl"},
      {{"--request-timeout", "0", "status"}, "--request-timeout"},
      {{"--router", "nonsense", "status"}, "nonsense"},
      {{"--config", "/nonexistent/config", "status"}, "/nonexistent/config"},
      {{"dev", "--groups", "0"}, "--groups"},
      {{"dev", "--listen", "nonsense"}, "--listen"},
      {{"bench", "--in-flight", "0"}, "--in-flight"},
  };
  for (const BadCase& each : cases) {
    Ended ended = dlm(each.words);
    SCOPED_TRACE(::testing::PrintToString(each.words));
    EXPECT_EQ(ended.code, 64) << ended.err;
    expect_one_error_line(ended);
    EXPECT_THAT(ended.err, HasSubstr(each.message));
  }
}

TEST_F(Commands, RefuseWrongUsageInJsonWhenAsked) {
  Ended ended = dlm({"acquire", "x", "--json"});
  EXPECT_EQ(ended.code, 64);
  EXPECT_EQ(json_of(ended.err).at("error").at("status").as_string(), "invalid_argument");
}

TEST_F(Commands, SayWhyNoRouterCanBeReached) {
  Ended ended = run({"--router", "127.0.0.1:1", "--request-timeout", "300ms", "inspect", "x"});
  EXPECT_EQ(ended.code, 69);
  expect_one_error_line(ended);
  EXPECT_THAT(ended.err, HasSubstr("127.0.0.1:1"));
}

TEST_F(Commands, HelpHasAnExampleForEachSubcommand) {
  for (const char* command :
       {"lock", "acquire", "renew", "release", "inspect", "ls", "status", "dev", "bench"}) {
    Ended help = dlm({command, "--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_THAT(help.out, HasSubstr("Example"));
    EXPECT_THAT(help.out, HasSubstr(std::string("dlm ") + command));
  }
  EXPECT_THAT(dlm({"--help"}).out, HasSubstr("Exit codes"));
  EXPECT_THAT(dlm({"--version"}).out, StartsWith("dlm "));
}

TEST_F(Commands, ReadOptionsFromAConfigFile) {
  TemporaryFolder folder;
  std::ofstream(folder.path("config"))
      << "router=[\"" << service().router() << "\"]\n[acquire]\nlease=\"90s\"\n";
  Ended ended = run({"--config", folder.path("config"), "acquire", "configured", "--client", "w7", "--json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(json_of(ended.out).at("lease_ms").as_int64(), 90'000);
}

TEST_F(Commands, MeasurePairsAndHolds) {
  Ended pairs = dlm({"bench", "--connections", "2", "--in-flight", "4", "--seconds", "0.3", "--warm-up",
                     "100ms", "--json"});
  ASSERT_EQ(pairs.code, 0) << pairs.err;
  auto told = json_of(pairs.out);
  EXPECT_GT(told.at("pairs").to_number<std::uint64_t>(), 0U);
  EXPECT_TRUE(told.at("errors").as_object().empty()) << pairs.out;
  EXPECT_GT(told.at("acquire_us").at("p50").to_number<double>(), 0);

  Ended contended =
      dlm({"bench", "--contended", "--in-flight", "4", "--seconds", "0.3", "--warm-up", "0", "--json"});
  ASSERT_EQ(contended.code, 0) << contended.err;
  EXPECT_TRUE(json_of(contended.out).at("errors").as_object().empty()) << contended.out;

  for (std::vector<std::string> more : {std::vector<std::string>{}, {"--detached", "60s"}}) {
    more.insert(more.begin(), {"bench", "--hold-count", "500", "--connections", "3", "--json"});
    Ended holds = dlm(more);
    ASSERT_EQ(holds.code, 0) << holds.err;
    EXPECT_EQ(json_of(holds.out).at("held").to_number<std::uint64_t>(), 500U);
    EXPECT_EQ(json_of(holds.out).at("released").to_number<std::uint64_t>(), 500U);
  }
}

}  // namespace
}  // namespace dlm::test
