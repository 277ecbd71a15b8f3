// SPDX-License-Identifier: BSD-3-Clause
// The parts of an open volume that the operations share, owned by Volume and lent by reference;
// each is thread-safe by its own rules.
//
// Not a place for state or logic: a part that needs another gets this struct in its constructor.
#pragma once

#include <atomic>
#include <memory>

#include "pmemdev/base/mutex.h"

#include "fs/core/allocator.h"
#include "fs/core/backing_files.h"
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
        direct(options_in.direct),
        device(device_in),
        reader(device_in, allocator_in.get()),
        allocator(std::move(allocator_in)),
        locks(device_in.geometry().page_count()),
        inodes(*allocator),
        tree(reader, *allocator),
        extents(tree, reader),
        directories(tree, reader, *allocator, device_in.superblock().hash_seed) {}

  const VolumeOptions options;
  // Whether files get backing files from now on: kNever also where mapping them would be of no use.
  std::atomic<DirectMode> direct;
  Device& device;
  BlockReader reader;
  std::unique_ptr<Allocator> allocator;
  InodeLocks locks;
  InodeTable inodes;
  Tree tree;
  ExtentMap extents;
  Directory directories;
  std::unique_ptr<BackingFiles> backing;  // null in device pools
  Mutex rename_mutex;  // first in the lock order; held by renames that move a directory

  // EROFS if the volume or its device can't be written.
  [[nodiscard]] Result<void> CheckWritable() const;
  // What the kernel is told of an inode, under its lock. A backed file's size, blocks and times are
  // its host file's; where that is missing, they are nothing, and each use of the contents is EIO.
  [[nodiscard]] Result<Attributes> AttributesOf(const media::Inode& inode) const;
  // The host file of a backed inode. EIO: missing. EOPNOTSUPP: a pool without such files.
  [[nodiscard]] Result<std::shared_ptr<BackingFile>> FileOf(const media::Inode& inode) const;
  // Before the inode gets a name under which an older file may have been expected: what its backing
  // file holds must be durable. Takes the lock, but not while the host works.
  [[nodiscard]] Result<void> SyncBacked(InodeNumber inode);
};

}  // namespace ingot
