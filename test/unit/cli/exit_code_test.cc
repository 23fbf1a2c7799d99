#include "client/cli/exit_code.h"

#include <gtest/gtest.h>

#include <string>

namespace dlm::cli {
namespace {

struct Case {
  Status status;
  int code;
};

TEST(ExitCode, FollowsTheStatus) {
  const Case cases[] = {
      {Status::ok, 0},
      {Status::timed_out, 75},
      {Status::cancelled, 75},
      {Status::would_deadlock, 75},
      {Status::client_id_in_use, 75},
      {Status::not_held, 66},
      {Status::session_expired, 66},
      {Status::session_unknown, 66},
      {Status::unavailable, 69},
      {Status::overloaded, 69},
      {Status::over_quota, 69},
      {Status::moved, 69},
      {Status::not_primary, 69},
      {Status::invalid_argument, 64},
      {Status::permission_denied, 77},
      {Status::stale, 70},
      {static_cast<Status>(200), 70},
  };
  for (const Case& each : cases)
    EXPECT_EQ(number_of(exit_code_of(each.status)), each.code) << to_string(each.status);
}

TEST(ExitCode, OfASignalIs128AndItsNumber) {
  EXPECT_EQ(exit_code_of_signal(15), 143);
}

TEST(ExitCode, EachIsInTheHelp) {
  std::string help = kExitCodesHelp;
  for (const char* number : {"0 ", "64 ", "66 ", "69 ", "70, 71", "75 ", "77 ", "79 ", "126, 127", "128+N"}) {
    EXPECT_NE(help.find(std::string("\n  ") + number), std::string::npos) << number;
  }
}

}  // namespace
}  // namespace dlm::cli
