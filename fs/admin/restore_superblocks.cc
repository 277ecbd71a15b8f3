// SPDX-License-Identifier: BSD-3-Clause
// The order of trust: the newest whole copy, then the witnesses that mkfs left elsewhere.
#include "fs/admin/restore_superblocks.h"

#include <algorithm>

#include "pmemdev/persist.h"
#include "pmemdev/superblock.h"

namespace ingot::admin {

Result<SuperblockRepair> RestoreSuperblocks(const Mapping& mapping) {
  Persist persist(mapping);
  const Result<SuperblockScan> scan = ReadSuperblocks(mapping);
  if (scan.has_value()) {
    const bool whole = std::ranges::all_of(scan->same, [](bool same) { return same; });
    if (whole) return SuperblockRepair::kNothing;
    TRY(ingot::RestoreSuperblocks(persist, *scan));
    return SuperblockRepair::kCopied;
  }
  const bool lost = scan.error_code() == EUCLEAN || scan.error_code() == EIO;
  if (!lost) return tl::unexpected<Error>(scan.error());
  TRY(WriteSuperblocks(persist, TRY(RecreateSuperblock(mapping))));
  return SuperblockRepair::kRecreated;
}

}  // namespace ingot::admin
