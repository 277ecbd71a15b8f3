// SPDX-License-Identifier: BSD-3-Clause
// Flags and exit codes of two programs. e2fsck replays its journal by itself; xfs_repair wants a
// mount to do it.
#include "fs/admin/host_check.h"

#include <fmt/format.h>

#include "fs/admin/host_claim.h"
#include "fs/admin/run_program.h"

namespace ingot::admin {
namespace {

constexpr int kCorrected = 1;
constexpr int kUncorrected = 4;
constexpr int kFailure = 8;

Result<HostCheckReport> CheckExt4(const std::string& device, HostCheckMode mode) {
  const std::string program = TRY(FindProgram("e2fsck", "e2fsprogs"));
  const char* const flag = mode == HostCheckMode::kReport  ? "-n"
                           : mode == HostCheckMode::kPreen ? "-p"
                                                           : "-y";
  ProgramEnd end = TRY(RunProgram({program, "-f", flag, device}));
  // 2 asks for a reboot, which is for root filesystems; 32 is a signal's.
  int code = end.exit_code;
  if (code >= 64) code = kFailure;
  if ((code & 2) != 0) code = (code & ~2) | kCorrected;
  return HostCheckReport{"e2fsck", code, std::move(end.output)};
}

// xfs_repair's: 1 corruption seen (-n) or it failed, 2 a log waits, 4 (by -e) all was repaired.
int XfsExitCode(int code, bool report_only) {
  switch (code) {
    case 0:
      return 0;
    case 1:
      return report_only ? kUncorrected : kFailure;
    case 2:
      return kUncorrected;
    case 4:
      return kCorrected;
    default:
      return kFailure;
  }
}

Result<HostCheckReport> CheckXfs(const std::string& device, HostCheckMode mode) {
  const std::string program = TRY(FindProgram("xfs_repair", "xfsprogs"));
  Result<void> replayed;
  if (mode != HostCheckMode::kReport) {
    const auto mount = HostMount::Open(device, HostKind::kXfs, HostUse::kWrite, false);
    if (!mount) replayed = tl::unexpected<Error>(mount.error());
  }
  const bool report_only = mode != HostCheckMode::kRepair;
  ProgramEnd end = TRY(RunProgram({program, report_only ? "-n" : "-e", device}));
  if (!report_only && end.exit_code == 2 && !replayed) {
    // Only a damaged log may be dropped: what it holds is lost, and -y is to mend everything.
    const int code = replayed.error_code();
    if (code != EUCLEAN && code != EBADMSG) return tl::unexpected<Error>(replayed.error());
    end = TRY(RunProgram({program, "-e", "-L", device}));
  }
  return HostCheckReport{"xfs_repair", XfsExitCode(end.exit_code, report_only),
                         std::move(end.output)};
}

}  // namespace

Result<HostCheckReport> CheckHost(const std::string& device, HostKind kind, HostCheckMode mode) {
  // And given back at once: the program claims it itself.
  TRY(HostClaim::Take(device, /*read_only=*/mode == HostCheckMode::kReport));
  return kind == HostKind::kExt4 ? CheckExt4(device, mode) : CheckXfs(device, mode);
}

}  // namespace ingot::admin
