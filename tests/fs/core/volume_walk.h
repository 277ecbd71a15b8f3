// SPDX-License-Identifier: BSD-3-Clause
// A walk over all names of a quiet volume that finds what contradicts itself, and an emptying of
// it. Not fsck: it trusts bitmaps, and knows nothing of pages. Single-threaded; leaves no reference
// behind.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "fs/core/volume.h"

namespace ingot::tests {

struct WalkSummary {
  std::map<uint64_t, uint32_t> links;  // names of each inode that is no directory
  uint64_t directories = 0;
};

// Adds a failure to the test for whatever is wrong: an entry without its inode or of another type,
// a wrong link count, parent or entry count.
WalkSummary Walk(Volume& volume);

// Removes everything below the root.
void RemoveAll(Volume& volume);

}  // namespace ingot::tests
