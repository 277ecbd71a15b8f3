// SPDX-License-Identifier: BSD-3-Clause
// The two checksums on media: CRC32C (isa-l, dispatched at run time) for metadata blocks and
// XXH3-64 (libxxhash) for journal lanes and directory hashes.
// Pure functions; nothing here touches media.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "pmemdev/base/ids.h"

namespace ingot {

// CRC32C (Castagnoli) of `bytes`, continuing from `seed` (0 to begin).
[[nodiscard]] uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t seed = 0);

// CRC32C of a page of which one cache line, the `line`-th, changes from `before` to `after`, by
// what it was: `page_crc`. CRC is linear, so nothing else of the page need be looked at; if the
// page didn't fit its checksum before, it doesn't fit the new one either.
[[nodiscard]] uint32_t Crc32cOfChangedLine(uint32_t page_crc, size_t line,
                                           std::span<const std::byte, kCacheLineSize> before,
                                           std::span<const std::byte, kCacheLineSize> after);

// CRC32C of a block whose own 4-byte checksum field, at `field_offset`, counts as zeros.
// `seed` ties the block to its place (inode number, page, group), so that a block that was written
// to the wrong place is refused. Needs field_offset + 4 <= block.size().
[[nodiscard]] uint32_t BlockChecksum(std::span<const std::byte> block, size_t field_offset,
                                     uint64_t seed);

// XXH3-64 with a seed. Stable: the XXH3 output has been frozen since xxHash 0.8.0.
[[nodiscard]] uint64_t Hash64(std::span<const std::byte> bytes, uint64_t seed);

}  // namespace ingot
