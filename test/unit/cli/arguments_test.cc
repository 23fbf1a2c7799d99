#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/child_process.h"
#include "client/cli/cli.h"

namespace dlm::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Wait, IsADurationNoneOrForever) {
  EXPECT_EQ(parse_wait("5s"), Wait(5'000));
  EXPECT_EQ(parse_wait("0"), Wait(0));
  EXPECT_EQ(parse_wait("none"), Wait(0));
  EXPECT_EQ(parse_wait("forever"), std::nullopt);
}

TEST(Wait, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "5", "5 s", "-1s", "soon", "2000h", "1000000000000000h"}) {
    EXPECT_THROW(parse_wait(text), CLI::ValidationError) << text;
  }
}

// The message of the error that these words end in; empty: none.
std::string error_of(const std::function<void(CLI::App&)>& add, std::vector<std::string> words) {
  CLI::App app;
  add(app);
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "";
}

TEST(Duration, SaysTheLimitsWhenItIsOutsideOfThem) {
  std::uint32_t target = 7;
  auto add = [&](CLI::App& app) { add_duration(app, "--ttl", target, "", 1'000, 3'600'000); };
  EXPECT_THAT(error_of(add, {"--ttl", "10ms"}), HasSubstr("is 10ms, but must be from 1s to 1h"));
  EXPECT_THAT(error_of(add, {"--ttl", "10"}), HasSubstr("not a duration"));
  EXPECT_EQ(target, 7U);
  EXPECT_EQ(error_of(add, {"--ttl", "10s"}), "");
  EXPECT_EQ(target, 10'000U);
}

class NameArguments : public ::testing::Test {
 protected:
  // The name that these words give, or "error: ...".
  std::string name_of(const std::vector<std::string>& words) {
    NameOption name;
    std::string bytes;
    auto error = error_of(
        [&](CLI::App& app) {
          name.add_to(app);
          app.callback([&] { bytes = name.checked(); });
        },
        words);
    return error.empty() ? bytes : "error: " + error;
  }
};

TEST_F(NameArguments, GiveAnyBytesInHex) {
  EXPECT_EQ(name_of({"orders/42"}), "orders/42");
  EXPECT_EQ(name_of({"--name-hex", "00ff0A"}), std::string("\x00\xff\n", 3));
  EXPECT_EQ(name_of({"--name-hex", ""}), "");
  EXPECT_EQ(name_of({""}), "");
}

TEST_F(NameArguments, AreRefusedWhenMissingDoubleOrDamaged) {
  EXPECT_THAT(name_of({}), StartsWith("error: NAME: is missing"));
  EXPECT_THAT(name_of({"--name-hex", "0"}), HasSubstr("not pairs of hex digits"));
  EXPECT_THAT(name_of({"a", "--name-hex", "00"}), HasSubstr("excludes"));
  EXPECT_THAT(name_of({"a", "b"}), StartsWith("error: "));
}

TEST_F(NameArguments, MayHave4096BytesAndNotMore) {
  std::string longest(kResourceBytesMax, 'x');
  EXPECT_EQ(name_of({longest}), longest);
  EXPECT_THAT(name_of({longest + "x"}), HasSubstr("has 4097 bytes; the limit is 4096"));
}

TEST(Environment, ReplacesAndRemovesVariables) {
  setenv("DLM_TEST_KEPT", "1", 1);
  setenv("DLM_TEST_SET", "old", 1);
  setenv("DLM_TEST_UNSET", "old", 1);
  auto environment = environment_with({"DLM_TEST_SET=new=2"}, {"DLM_TEST_UNSET"});
  EXPECT_THAT(environment, Contains("DLM_TEST_KEPT=1"));
  EXPECT_THAT(environment, Contains("DLM_TEST_SET=new=2"));
  EXPECT_THAT(environment, Not(Contains("DLM_TEST_SET=old")));
  EXPECT_THAT(environment, Not(Contains(StartsWith("DLM_TEST_UNSET="))));
}

TEST(ClientIdForPeople, IsAnotherEachTime) {
  EXPECT_NE(client_id_for_people(), client_id_for_people());
  EXPECT_LE(client_id_for_people().size(), kClientIdBytesMax);
}

}  // namespace
}  // namespace dlm::cli
