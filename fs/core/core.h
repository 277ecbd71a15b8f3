// SPDX-License-Identifier: BSD-3-Clause
// The parts of an open volume that the operations share, owned by Volume and lent by reference;
// each is thread-safe by its own rules.
//
// Not a place for state or logic: a part that needs another gets this struct in its constructor.
#pragma once

#include <memory>

#include "pmemdev/base/mutex.h"

#include "fs/core/allocator.h"
#include "fs/core/blocks.h"
#include "fs/core/directory.h"
#include "fs/core/extent_map.h"
#include "fs/core/inode_locks.h"
#include "fs/core/inode_table.h"
#include "fs/core/tree.h"
#include "fs/core/types.h"

namespace ingot {

struct Core {
  Core(Device& device_in, std::unique_ptr<Allocator> allocator_in, const VolumeOptions& options_in)
      : options(options_in),
        device(device_in),
        reader(device_in),
        allocator(std::move(allocator_in)),
        locks(device_in.geometry().page_count()),
        inodes(*allocator),
        tree(reader, *allocator),
        extents(tree, reader),
        directories(tree, reader, *allocator, device_in.superblock().hash_seed) {}

  const VolumeOptions options;
  Device& device;
  BlockReader reader;
  std::unique_ptr<Allocator> allocator;
  InodeLocks locks;
  InodeTable inodes;
  Tree tree;
  ExtentMap extents;
  Directory directories;
  Mutex rename_mutex;  // first in the lock order; held by renames that move a directory

  // EROFS if the volume or its device can't be written.
  [[nodiscard]] Result<void> CheckWritable() const;
};

}  // namespace ingot
