// SPDX-License-Identifier: BSD-3-Clause
// Lane headers as witnesses of a pool whose superblocks are gone.
//
// Each lane's first cache line carries the pool's UUID and seeds; only mkfs and fsck write it
// (journal.cc). Stateless functions, hence thread-safe; they only read.
#pragma once

#include "pmemdev/base/result.h"
#include "pmemdev/format.h"
#include "pmemdev/mapping.h"

namespace ingot {

// What mkfs writes.
[[nodiscard]] media::LaneHeader MakeLaneHeader(const media::Superblock& superblock, uint32_t lane);

// A validated copy. EUCLEAN: it is no lane header, or another lane's. EIO: poisoned.
Result<media::LaneHeader> ReadLaneHeader(const Mapping& mapping, uint32_t lane);

// True if there is at least one: something ingot-like lies in the region.
[[nodiscard]] bool AnyLaneHeader(const Mapping& mapping);

}  // namespace ingot
