// SPDX-License-Identifier: BSD-3-Clause
// The space of a directory pool: region and backing files take it from the same host.
//
// A snapshot, in bytes; others may use the host as well. Stateless: each call asks host and
// allocator anew, and the two may differ by what is under way.
#pragma once

#include <cstdint>

#include "fs/core/allocator.h"

namespace ingot {

struct SharedSpace {
  uint64_t total_bytes = 0;      // the host's
  uint64_t free_bytes = 0;       // the host's, and what is free in huge pages that it has given
  uint64_t available_bytes = 0;  // without the reserve
};

// `counts` are the region's. What fstatvfs and fstat of the region say as errors.
Result<SharedSpace> CountSharedSpace(const Device& device, const SpaceCounts& counts);

// The machine's memory, or what is free of it now: of hosts that have no size of their own.
[[nodiscard]] uint64_t MachineMemoryBytes(bool free);

}  // namespace ingot
