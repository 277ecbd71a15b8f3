// SPDX-License-Identifier: BSD-3-Clause
// JSON as text, and numbers in words.
#include "fs/cli/render.h"

#include <gtest/gtest.h>

#include "fs/cli/progress.h"

namespace ingot::cli {
namespace {

TEST(Render, ShowsObjectsListsAndUnits) {
  const Json json{{"pool", "/p"},
                  {"mounted", true},
                  {"free_bytes", 2097152u},
                  {"huge_page_share", 0.5},
                  {"label", ""},
                  {"device", {{"page_array", "dram"}}},
                  {"extents",
                   {{{"offset", 0}, {"bytes", 4096u}}, {{"offset", 8192}, {"bytes", 1u}}}},
                  {"problems", Json::array()}};
  EXPECT_EQ(Render(json),
            "pool: /p\n"
            "mounted: yes\n"
            "free bytes: 2.00 MiB (2097152)\n"
            "huge page share: 50.0 %\n"
            "label: -\n"
            "device:\n"
            "  page array: dram\n"
            "extents:\n"
            "  offset=0  bytes=4096\n"
            "  offset=8192  bytes=1\n"
            "problems: none\n");
}

TEST(Render, SurvivesNamesThatAreNoUtf8) {
  const Json json{{"name", "\xff\xfe"}};
  EXPECT_FALSE(admin::ToText(json).empty());
  EXPECT_FALSE(Render(json).empty());
}

TEST(FormatDuration, UsesTheLargestUnits) {
  using std::chrono::seconds;
  EXPECT_EQ(FormatDuration(seconds(0)), "0 s");
  EXPECT_EQ(FormatDuration(seconds(59)), "59 s");
  EXPECT_EQ(FormatDuration(seconds(185)), "3 min 05 s");
  EXPECT_EQ(FormatDuration(seconds(7290)), "2 h 01 min");
}

}  // namespace
}  // namespace ingot::cli
