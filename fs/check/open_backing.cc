// SPDX-License-Identifier: BSD-3-Clause
// The directory of backing files, opened for a check; made anew by a repair where it is lost. What
// it held then is not: inodes without their files are found by the check itself.
#include "fs/check/check.h"

namespace ingot::check {
namespace {

const char* Describe(BackingDirectory::Mark mark) {
  switch (mark) {
    case BackingDirectory::Mark::kNoDirectory:
      return "backing/, where the large files are: missing";
    case BackingDirectory::Mark::kNone:
      return "backing/uuid, which says whose files they are: missing or damaged";
    case BackingDirectory::Mark::kForeign:
      return "backing/uuid: another pool's";
    case BackingDirectory::Mark::kOurs:
      break;
  }
  return "";
}

}  // namespace

Result<OpenedBacking> OpenBackingForCheck(const PoolPath& pool, const media::Superblock& superblock,
                                          const CheckOptions& options) {
  TRY(CheckPoolKind(pool, superblock));
  OpenedBacking opened;
  if (pool.directory.empty()) return opened;
  using Mark = BackingDirectory::Mark;
  const bool repair = options.mode == CheckMode::kRepair;
  const Mark mark = TRY(BackingDirectory::ReadMark(pool.directory, superblock.uuid));
  // Those files may be all that is left of the other pool: opening says what to do.
  const bool is_refused = mark == Mark::kForeign && !(repair && options.adopt_backing);
  if (mark != Mark::kOurs && !is_refused) {
    opened.findings.push_back({FindingKind::kBackingDirectory, Describe(mark), {}, repair});
    if (!repair) return opened;
    TRY(BackingDirectory::MakeOurs(pool.directory, superblock.uuid));
  }
  opened.directory = TRY(OpenBackingDirectory(pool, superblock, !repair));
  return opened;
}

}  // namespace ingot::check
