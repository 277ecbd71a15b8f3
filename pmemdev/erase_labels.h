// SPDX-License-Identifier: BSD-3-Clause
// Ending a pool: its labels become zeros.
//
// With them go the superblocks, and the signatures of whatever else was there: all known ones lie
// in the first and the last 2 MiB. Durable when it returns; a crash during it leaves the pool, with
// fewer copies of its superblock, or none. The caller holds the mapping's lock.
#pragma once

#include "pmemdev/mapping.h"

namespace ingot {

// Also for a file that was never a pool. EIO, and ENOSPC where the host has no space for zeros.
Result<void> EraseLabels(const Mapping& mapping);

}  // namespace ingot
