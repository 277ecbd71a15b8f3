// SPDX-License-Identifier: BSD-3-Clause
// The tables and sums behind fsck's exit codes.
#include "fs/cli/fsck_plan.h"

#include <fmt/format.h>

#include "fs/cli/command.h"

namespace ingot::cli {

using check::FindingKind;

Result<void> CheckFlags(const FsckFlags& flags) {
  const int modes = (flags.no ? 1 : 0) + (flags.yes ? 1 : 0) + (flags.preen ? 1 : 0);
  if (modes > 1) return Failure(EINVAL, "only one of -n, -y and -p makes sense");
  if (flags.adopt_backing && !flags.yes) return Failure(EINVAL, "--adopt-backing goes with -y");
  if (flags.empty_missing && !flags.yes) return Failure(EINVAL, "--empty-missing goes with -y");
  return {};
}

bool IsSafeToRepair(FindingKind kind) {
  switch (kind) {
    case FindingKind::kSuperblockCopy:
    case FindingKind::kLaneHeader:
    case FindingKind::kGroupEntry:
    case FindingKind::kGroupBitmap:
    case FindingKind::kGroupCounts:
    case FindingKind::kPageLeaked:
    case FindingKind::kPageUnallocated:
    case FindingKind::kInodePageBit:
    case FindingKind::kInodePageCount:
    case FindingKind::kInodeEntryCount:
    case FindingKind::kInodeLinks:
    case FindingKind::kEntryType: return true;
    default: return check::IsNotice(kind);
  }
}

bool IsSafeToRepair(const check::CheckReport& report) {
  for (size_t kind = 0; kind < check::kFindingKinds; ++kind) {
    if (report.counts_by_kind[kind] == 0) continue;
    if (!IsSafeToRepair(static_cast<FindingKind>(kind))) return false;
  }
  return true;
}

int FsckExitCode(const check::CheckReport& report, check::CheckMode mode) {
  if (report.clean()) return kExitOk;
  if (mode == check::CheckMode::kReport) return kFsckUncorrected;
  int code = 0;
  if (report.remaining < report.found) code |= kFsckCorrected;
  if (!report.clean_now()) code |= kFsckUncorrected;
  return code;
}

std::string Summary(const check::CheckReport& report, check::CheckMode mode) {
  const std::string contents =
      fmt::format("{} files, {} directories, {} other inodes", report.counts.files,
                  report.counts.directories, report.counts.symlinks + report.counts.special_files);
  if (report.clean()) {
    const bool pending = report.needs_recovery && mode == check::CheckMode::kReport;
    return "clean, " + contents +
           (pending ? "; the next mount completes the journal's transactions" : "");
  }
  if (mode == check::CheckMode::kReport) {
    return fmt::format("{} problems found, nothing changed; {}", report.found, contents);
  }
  return fmt::format("{} problems found, {}; {}", report.found,
                     report.clean_now() ? "all repaired"
                                        : fmt::format("{} are left", report.remaining),
                     contents);
}

}  // namespace ingot::cli
