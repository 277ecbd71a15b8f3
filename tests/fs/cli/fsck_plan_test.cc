// SPDX-License-Identifier: BSD-3-Clause
// fsck's decisions and exit bits.
#include "fs/cli/fsck_plan.h"

#include <gtest/gtest.h>

#include "fs/cli/command.h"

namespace ingot::cli {
namespace {

using check::CheckMode;
using check::CheckReport;
using check::FindingKind;

CheckReport ReportOf(FindingKind kind, uint64_t found, uint64_t remaining) {
  CheckReport report;
  report.counts_by_kind[static_cast<size_t>(kind)] = found;
  report.found = found;
  report.remaining = remaining;
  return report;
}

TEST(FsckExitCode, FollowsFsck8) {
  EXPECT_EQ(FsckExitCode({}, CheckMode::kReport), 0);
  EXPECT_EQ(FsckExitCode({}, CheckMode::kRepair), 0);
  const auto kind = FindingKind::kPageLeaked;
  EXPECT_EQ(FsckExitCode(ReportOf(kind, 3, 3), CheckMode::kReport), 4);
  EXPECT_EQ(FsckExitCode(ReportOf(kind, 3, 0), CheckMode::kRepair), 1);
  EXPECT_EQ(FsckExitCode(ReportOf(kind, 3, 1), CheckMode::kRepair), 5);
  EXPECT_EQ(FsckExitCode(ReportOf(kind, 3, 3), CheckMode::kRepair), 4);
}

TEST(FsckPlan, RepairsByItselfOnlyWhatIsDerived) {
  EXPECT_TRUE(IsSafeToRepair(CheckReport()));
  EXPECT_TRUE(IsSafeToRepair(ReportOf(FindingKind::kGroupCounts, 1, 1)));
  EXPECT_FALSE(IsSafeToRepair(ReportOf(FindingKind::kPageShared, 1, 1)));
  EXPECT_FALSE(IsSafeToRepair(ReportOf(FindingKind::kEntryDangling, 1, 1)));
  EXPECT_TRUE(IsSafeToRepair(ReportOf(FindingKind::kBackingName, 1, 1))) << "not at all";
}

TEST(FsckPlan, RefusesFlagsThatContradict) {
  EXPECT_TRUE(CheckFlags({.no = true}).has_value());
  EXPECT_TRUE(CheckFlags({.yes = true, .superblock = true}).has_value());
  EXPECT_EQ(CheckFlags({.adopt_backing = true}).error_code(), EINVAL);
  EXPECT_EQ(CheckFlags({.preen = true, .empty_missing = true}).error_code(), EINVAL);
  EXPECT_TRUE(CheckFlags({.yes = true, .adopt_backing = true}).has_value());
  EXPECT_EQ(CheckFlags({.no = true, .yes = true}).error_code(), EINVAL);
  EXPECT_EQ(CheckFlags({.yes = true, .preen = true}).error_code(), EINVAL);
}

TEST(FsckArguments, ProgressFlagIsToldFromThePool) {
  using Arguments = std::vector<std::string>;
  EXPECT_EQ(RewriteFsckArguments({"-C", "pool"}), (Arguments{"pool"}));
  EXPECT_EQ(RewriteFsckArguments({"-C0", "-a", "pool"}), (Arguments{"-a", "pool"}));
  EXPECT_EQ(RewriteFsckArguments({"-C3", "pool"}), (Arguments{"--progress-fd=3", "pool"}));
  EXPECT_EQ(RewriteFsckArguments({"-C", "3", "pool"}), (Arguments{"--progress-fd=3", "pool"}));
  EXPECT_EQ(RewriteFsckArguments({"-Cx"}), (Arguments{"-Cx"}));
}

}  // namespace
}  // namespace ingot::cli
