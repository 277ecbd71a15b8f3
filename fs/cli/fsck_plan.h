// SPDX-License-Identifier: BSD-3-Clause
// What fsck decides by its flags and its findings, apart from doing it.
//
// Pure functions, so that every exit code can be tested without a damaged pool. fsck_command.cc
// acts on them.
#pragma once

#include <string>

#include "fs/check/check.h"
#include "pmemdev/base/result.h"

namespace ingot::cli {

struct FsckFlags {
  bool no = false;          // -n: change nothing
  bool yes = false;         // -y: repair everything
  bool preen = false;       // -p, -a: repair what can't lose anything
  bool superblock = false;  // --superblock
  bool adopt_backing = false;  // --adopt-backing
  bool empty_missing = false;  // --empty-missing
};

// EINVAL: flags that contradict each other.
[[nodiscard]] Result<void> CheckFlags(const FsckFlags& flags);

// A finding of that kind can be mended without anybody's data or names going away: it is about what
// is derived from the rest.
[[nodiscard]] bool IsSafeToRepair(check::FindingKind kind);
[[nodiscard]] bool IsSafeToRepair(const check::CheckReport& report);

// fsck(8)'s exit bits for a finished check.
[[nodiscard]] int FsckExitCode(const check::CheckReport& report, check::CheckMode mode);

// "clean, 120 files, 14 directories" or "3 problems found, 3 repaired".
[[nodiscard]] std::string Summary(const check::CheckReport& report, check::CheckMode mode);

}  // namespace ingot::cli
