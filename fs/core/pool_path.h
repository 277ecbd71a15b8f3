// SPDX-License-Identifier: BSD-3-Clause
// From the path that people name a pool by to what is to be opened: a device pool is itself; a
// directory stands for the directory pool in it, a block device that `ingot mkfs --format` prepared
// for the one on it.
//
// Stateless; asks the host's filesystem alone, so that what it says may be stale when it is looked
// at. Opens nothing but backing/, and mounts a prepared device, detached: that mount is there as
// long as a copy of the PoolPath is, or anything that was opened in it.
#pragma once

#include <memory>
#include <string>

#include "fs/core/backing_directory.h"
#include "fs/core/host_device.h"
#include "pmemdev/base/result.h"
#include "pmemdev/mapping.h"

namespace ingot {

struct PoolPath {
  static constexpr const char* kRegionName = "region";

  std::string region;     // what is mapped, and has the lock
  std::string directory;  // empty: a device pool
  // Of a prepared block device, whose mount the two paths lead into; else null.
  std::shared_ptr<const HostMount> host = nullptr;
};

// ENOENT: a directory without a pool. EINVAL: its region is no regular file; a block device that
// isn't prepared. Of a prepared one, which is mounted for `use`, also the errors of
// HostMount::Open. Whatever is neither, or isn't there, is itself.
Result<PoolPath> ResolvePool(const std::string& path, HostUse use = HostUse::kLook);

// True if both names lead to one pool: the same text, the same file or device, or a directory pool
// and its region.
[[nodiscard]] bool IsSamePool(const std::string& one, const std::string& other);

// A mount there must not hide the pool from fsck, status and the next mount: EINVAL for a directory
// pool's own directory, its backing/, and whatever directory it lies in, under any name (of a bind
// mount, too). A directory inside of the pool's may be one.
Result<void> CheckMountpointOf(const PoolPath& pool, const std::string& mountpoint);

// A region must be named by its directory, and a directory's region must be one: EINVAL.
Result<void> CheckPoolKind(const PoolPath& pool, const media::Superblock& superblock);

// The backing files of the directory pool with that superblock, null of a device pool. EINVAL as
// CheckPoolKind, and the errors of BackingDirectory::Open.
Result<std::unique_ptr<BackingDirectory>> OpenBackingDirectory(const PoolPath& pool,
                                                               const media::Superblock& superblock,
                                                               bool read_only);

}  // namespace ingot
