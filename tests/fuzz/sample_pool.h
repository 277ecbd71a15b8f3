// SPDX-License-Identifier: BSD-3-Clause
// Small pools with something of every media struct in them, and where those structs are.
//
// Names are those that OperationDecoder uses, so that operations meet what edits have damaged.
#pragma once

#include <cstdint>
#include <vector>

#include "pmemdev/base/ids.h"

namespace ingot::tests {

enum class SiteKind : uint8_t {
  kInode,
  kTreeNode,
  kDirectoryLeaf,
  kXattrHead,
  kGroupEntry,
  kAllocatedBitmap,
  kInodeBitmap,
  kSuperblock,
  kLaneHeader,
  kLaneRecord,
  kCount,
};

// A struct on the medium; `index` is what its checksum is seeded by: inode, page, group, lane.
struct Site {
  SiteKind kind;
  MediaOffset at;
  uint32_t size_bytes;
  uint64_t index;
};

// Memfds, the caller's. Inline, mapped, sparse, fragmented and preallocated files, a directory of
// several leaves, attributes in all three places, special files, an orphan, a truncation that was
// cut short. The wide one has more leaves than a root holds, and takes three times as long to walk.
enum class SampleWidth : uint8_t { kNarrow, kWide };
[[nodiscard]] int MakeSamplePool(SampleWidth width);
// Formatted, with an empty root.
[[nodiscard]] int MakeEmptyPool(uint64_t size_bytes);

// All structs of a pool, by kind and place.
[[nodiscard]] std::vector<Site> FindSites(const std::byte* pool, uint64_t size_bytes);

// Makes the checksum right that covers the site's bytes: its own, its group entry's, its blob's.
void SealSite(std::byte* pool, const Site& site);

}  // namespace ingot::tests
