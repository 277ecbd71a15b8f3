// SPDX-License-Identifier: BSD-3-Clause
// Everything that a quiet volume shows, as text, and what of its space is whose.
//
// Beyond the model's dump: all attributes with all times, inode flags, devices, and the pages that
// each inode says are its own. Leaves no reference behind. Single-threaded.
#pragma once

#include <cstdint>
#include <string>

#include "fs/core/volume.h"

namespace ingot::tests {

struct VolumeState {
  std::string tree;         // one line a thing, sorted by path
  uint64_t file_pages = 0;  // of all inodes that have a name
  uint64_t free_pages = 0;
  uint64_t references = 0;  // of all inodes: lookups and opens
};

[[nodiscard]] VolumeState StateOf(Volume& volume);

}  // namespace ingot::tests
