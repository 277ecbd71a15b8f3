// SPDX-License-Identifier: BSD-3-Clause
// The nearest word to a mistyped one.
#include "fs/cli/suggest.h"

#include <vector>

#include <gtest/gtest.h>

namespace ingot::cli {
namespace {

TEST(EditDistance, CountsEachKindOfMistake) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("noatime", "noatime"), 0u);
  EXPECT_EQ(EditDistance("noatim", "noatime"), 1u);
  EXPECT_EQ(EditDistance("noattime", "noatime"), 1u);
  EXPECT_EQ(EditDistance("noatine", "noatime"), 1u);
  EXPECT_EQ(EditDistance("naotime", "noatime"), 1u);
  EXPECT_EQ(EditDistance("abc", ""), 3u);
}

TEST(Nearest, FindsWhatWasMeantAndNothingElse) {
  const std::vector<std::string> words = {"noatime", "atime", "atomic", "ro"};
  EXPECT_EQ(Nearest("noatmie", words), "noatime");
  EXPECT_EQ(Nearest("atomc", words), "atomic");
  EXPECT_EQ(Nearest("r", words), "ro");
  EXPECT_EQ(Nearest("compression", words), std::nullopt);
  EXPECT_EQ(Nearest("noatime", {}), std::nullopt);
}

}  // namespace
}  // namespace ingot::cli
