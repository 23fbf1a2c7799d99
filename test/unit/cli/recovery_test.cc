// What `dlm admin recover` tells an operator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/json_output.h"
#include "client/cli/recovery_text.h"

namespace dlm::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RecoveryReport lost_group() {
  RecoveryReport report;
  report.group = GroupId(1);
  report.version = 7;
  report.epoch = Epoch(3);
  report.era = 1;
  report.lost = {"s1#4", "s2#7"};
  report.members = {"s3#9"};
  report.lease_ms_max = 10'000;
  report.successor = "s3#9";
  report.first_token = FencingToken(std::uint64_t{2} << 40);
  return report;
}

TEST(RecoveryText, TellsWhatIsKnownAndWhatEachChoiceCosts) {
  EXPECT_EQ(
      recovery_text(lost_group()),
      "g1: version 7 of its record, epoch 3, era 1\n"
      "  in sync and gone:   s1#4 and s2#7\n"
      "  in sync and alive:  none\n"
      "  alive in all:       s3#9\n"
      "\n"
      "(a) Wait for s1#4 or s2#7. With --durability fsync nothing is lost as soon as\n"
      "    one of them is back with its disk. With --durability memory a server that went down has lost\n"
      "    what it knew: g1 then begins anew by itself when s1 and s2 are all back.\n"
      "\n"
      "(b) Begin anew without s1#4 and s2#7, from nothing, with s3#9 as primary:\n"
      "    - Every lock of g1, held or waited for, is forgotten. Holders find out when they renew\n"
      "      or when their leases end.\n"
      "    - Nothing is granted for 10s, as long as a lease may run that was given before.\n"
      "    - Fencing tokens go on above all before, from 2199023255552 (era 2).\n"
      "    - What the lost members still have on their disks is discarded when they come back.\n"
      "    Make sure first that no process of s1#4 or s2#7 runs any more: cut off a machine\n"
      "    that you can't reach. One that still runs could serve the same locks.\n");
}

TEST(RecoveryText, OfASetOfOneNamesIt) {
  RecoveryReport report = lost_group();
  report.lost = {"s1#4"};
  const std::string text = recovery_text(report);
  EXPECT_THAT(text, HasSubstr("as soon as\n    it is back with its disk"));
  EXPECT_THAT(text, HasSubstr("when s1 is back.\n"));
}

TEST(RecoveryText, OffersNothingWhereItIsRefused) {
  RecoveryReport report = lost_group();
  report.lost = {"s1#4"};
  report.in_sync_alive = {"s2#7"};
  report.refusal = "s2#7 is in sync and lives";
  const std::string text = recovery_text(report);
  EXPECT_THAT(text, HasSubstr("in sync and alive:  s2#7\n"));
  EXPECT_THAT(text, Not(HasSubstr("(b)")));
}

TEST(RecoveryText, TellsWhatWasBegun) {
  EXPECT_EQ(recovered_text(lost_group()),
            "g1 begins anew in epoch 4, era 2, with s3#9 as primary; it grants nothing for 10s (`dlm status` "
            "tells how long still)\n");
}

TEST(RecoveryJson, HasEveryField) {
  RecoveryReport report = lost_group();
  report.begun = true;
  EXPECT_EQ(
      json_line(to_json(report)),
      "{\"group\":\"g1\",\"begun\":true,\"version\":7,\"epoch\":3,\"era\":1,\"lost\":[\"s1#4\",\"s2#7\"],"
      "\"in_sync_alive\":[],\"members\":[\"s3#9\"],\"lease_ms_max\":10000,\"successor\":\"s3#9\","
      "\"first_token\":2199023255552,\"refusal\":\"\"}\n");
}

}  // namespace
}  // namespace dlm::cli
