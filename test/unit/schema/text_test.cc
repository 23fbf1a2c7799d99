#include "schema/text.h"

#include <gtest/gtest.h>

#include "schema/types.h"

namespace dlm {
namespace {

TEST(Printable, KeepsWhatPeopleCanReadAndEscapesTheRest) {
  EXPECT_EQ(printable("orders/42"), "orders/42");
  EXPECT_EQ(printable("Zürich €"), "Zürich €");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x1b[2J"), "\\x1b[2J");
  EXPECT_EQ(printable("\\ \n \t"), "\\\\ \\n \\t");
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf") << "overlong forms hide characters";
  EXPECT_EQ(printable("\xe2\x80\xae"), "\\xe2\\x80\\xae") << "direction overrides hide characters";
  EXPECT_EQ(printable(""), "");
}

TEST(Hex, RoundTripsAnyBytesAndRefusesWhatIsNotHex) {
  std::string bytes("\x00\x7f\xff orders", 10);
  EXPECT_EQ(from_hex(to_hex(bytes)), bytes);
  EXPECT_EQ(from_hex(""), "");
  EXPECT_EQ(from_hex("0F"), "\x0f");
  EXPECT_FALSE(from_hex("abc"));
  EXPECT_FALSE(from_hex("zz"));
}

TEST(Duration, IsReadWithUnitsAndOnlyWithUnits) {
  EXPECT_EQ(parse_duration_ms("250ms"), 250U);
  EXPECT_EQ(parse_duration_ms("10s"), 10'000U);
  EXPECT_EQ(parse_duration_ms("1m30s"), 90'000U);
  EXPECT_EQ(parse_duration_ms("1h"), 3'600'000U);
  EXPECT_EQ(parse_duration_ms("0"), 0U);
  for (const char* bad :
       {"", "10", "s", "-1s", "1.5s", "10 s", "10x", "99999999999999999999s", "18446744073709551615h"})
    EXPECT_FALSE(parse_duration_ms(bad)) << bad;
}

TEST(Duration, PrintsTheShortestExactForm) {
  EXPECT_EQ(format_duration_ms(0), "0");
  EXPECT_EQ(format_duration_ms(90'000), "1m30s");
  EXPECT_EQ(format_duration_ms(1'250), "1s250ms");
  for (std::uint64_t ms : {1ULL, 999ULL, 60'000ULL, 3'600'000ULL, 3'661'001ULL})
    EXPECT_EQ(parse_duration_ms(format_duration_ms(ms)), ms);
}

TEST(Size, IsReadInBinaryAndDecimalUnits) {
  EXPECT_EQ(parse_size_bytes("64KiB"), 65'536U);
  EXPECT_EQ(parse_size_bytes("1MB"), 1'000'000U);
  EXPECT_EQ(parse_size_bytes("1000"), 1'000U);
  for (const char* bad : {"", "KiB", "1KiB2", "1 MiB", "18446744073709551615GiB"})
    EXPECT_FALSE(parse_size_bytes(bad)) << bad;
  EXPECT_EQ(format_size_bytes(65'536), "64KiB");
  EXPECT_EQ(format_size_bytes(1'000), "1000B");
}

TEST(HostPort, NeedsBothParts) {
  auto address = parse_host_port("127.0.0.1:7700");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->host, "127.0.0.1");
  EXPECT_EQ(address->port, 7700);
  ASSERT_TRUE(parse_host_port("[::1]:1"));
  EXPECT_EQ(parse_host_port("[::1]:1")->host, "::1");
  for (const char* bad : {"", "localhost", ":1", "a:", "a:b", "a:70000", "::1:5", "[[x]]:1", "[x:1"})
    EXPECT_FALSE(parse_host_port(bad)) << bad;
}

TEST(Group, IsNamedByALetterAndANumber) {
  EXPECT_EQ(parse_group("g7"), GroupId(7));
  EXPECT_EQ(to_string(GroupId(12)), "g12");
  for (const char* bad : {"", "g", "7", "g0", "g07", "gx", "g1x", "g4294967296"})
    EXPECT_EQ(parse_group(bad), GroupId()) << bad;
}

}  // namespace
}  // namespace dlm
