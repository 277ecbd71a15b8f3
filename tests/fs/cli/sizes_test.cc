// SPDX-License-Identifier: BSD-3-Clause
// Sizes as people write them.
#include "fs/cli/sizes.h"

#include <gtest/gtest.h>

namespace ingot::cli {
namespace {

uint64_t Parsed(std::string_view text) { return ParseSize(text).value_or(UINT64_MAX); }

TEST(Sizes, AreParsedWithEverySuffix) {
  EXPECT_EQ(Parsed("4096"), 4096u);
  EXPECT_EQ(Parsed("17B"), 17u);
  EXPECT_EQ(Parsed("3k"), 3u << 10);
  EXPECT_EQ(Parsed("16M"), 16u << 20);
  EXPECT_EQ(Parsed("16MiB"), 16u << 20);
  EXPECT_EQ(Parsed("1.5G"), uint64_t{3} << 29);
  EXPECT_EQ(Parsed("1T"), uint64_t{1} << 40);
  EXPECT_EQ(Parsed("1P"), uint64_t{1} << 50);
  EXPECT_EQ(Parsed("0"), 0u);
}

TEST(Sizes, ThatAreNoneAreRefused) {
  for (const char* text : {"", "G", "-1", "+1", "1X", "1GG", "1.2.3", "0x10", "1 G", "M1", "1MB"}) {
    EXPECT_EQ(ParseSize(text).error_code(), EINVAL) << text;
  }
}

TEST(Sizes, ThatAreTooLargeAreRefused) {
  for (const char* text : {"99999999999999999999", "16E", "8E", "9.5E", "18446744073709551615"}) {
    EXPECT_EQ(ParseSize(text).error_code(), EFBIG) << text;
  }
  EXPECT_EQ(Parsed("7E"), uint64_t{7} << 60);
}

TEST(Sizes, AreFormatted) {
  EXPECT_EQ(FormatSize(0), "0 B");
  EXPECT_EQ(FormatSize(1023), "1023 B");
  EXPECT_EQ(FormatSize(1024), "1.00 KiB");
  EXPECT_EQ(FormatSize(uint64_t{3} << 29), "1.50 GiB");
  EXPECT_EQ(FormatSize(UINT64_MAX), "16.00 EiB");
}

}  // namespace
}  // namespace ingot::cli
