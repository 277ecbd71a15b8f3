// SPDX-License-Identifier: BSD-3-Clause
// The bytes of a backed file as FileData's operations want them, on its host file.
//
// Functions of a BackingFile without state of their own; callers hold the inode lock, exclusively
// to change. Nothing here is durable before the file is synced: a crash leaves what the host does.
#pragma once

#include <cstdint>
#include <span>

#include "fs/core/backing_file.h"

namespace ingot::backed {

// Bytes from `offset` on that are all data or all hole.
struct Part {
  uint64_t size_bytes = 0;
  bool is_hole = false;
};
// The first part of [offset, end), which isn't empty and lies inside of the file.
Result<Part> FirstPart(const BackingFile& file, uint64_t offset, uint64_t end);

// Writes zeros to all of the range, which takes space where there was a hole.
Result<void> WriteZeros(BackingFile& file, uint64_t offset, uint64_t end);

// The range reads as zeros; the size stays. Only whole huge pages are given back to the host: a
// part of one would split its mapping, on some hosts for good (rule B10).
Result<void> Clear(BackingFile& file, uint64_t offset, uint64_t end);

// fallocate(2), with flags that FileData has checked.
Result<void> Fallocate(BackingFile& file, uint32_t mode, uint64_t offset, uint64_t size_bytes);

}  // namespace ingot::backed
