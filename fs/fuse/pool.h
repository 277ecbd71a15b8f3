// SPDX-License-Identifier: BSD-3-Clause
// Opening a pool that may just have been unmounted.
//
// umount(2) returns before the daemon has exited and with it the pool's lock. So where the lock is
// held but no mount of the pool is left, it is waited for; where one is, the pool is in use.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "fs/core/pool_path.h"
#include "fs/core/volume.h"
#include "fs/fuse/mount_options.h"

namespace ingot {

inline constexpr std::chrono::seconds kPoolWait{30};

// Mapping, device, backing directory and volume as the options say. Errors: those of ResolvePool,
// Mapping::Open, Device::Open, OpenBackingDirectory and Volume::Open; EBUSY: in use, or its last
// daemon did not end within kPoolWait.
Result<std::unique_ptr<Volume>> OpenPool(const MountOptions& options);

// ResolvePool, waiting in the same way where the pool's device is in use. For fsck and others as
// well.
Result<PoolPath> ResolveWhenFree(const std::string& pool_path, HostUse use,
                                 std::chrono::milliseconds wait = kPoolWait);

// Mapping::Open of the region of `pool`, which people call `pool_path`, waiting for the daemon of a
// mount that is gone.
Result<std::unique_ptr<Mapping>> OpenMappingWhenFree(const std::string& pool_path,
                                                     const PoolPath& pool,
                                                     const MappingOptions& options,
                                                     std::chrono::milliseconds wait = kPoolWait);
// The same of a pool that is yet to be resolved.
Result<std::unique_ptr<Mapping>> OpenMappingWhenFree(const std::string& pool_path,
                                                     const MappingOptions& options,
                                                     std::chrono::milliseconds wait = kPoolWait);

// Where the pool is mounted in this mount namespace; empty: nowhere.
[[nodiscard]] std::string MountpointOf(const std::string& pool_path);

}  // namespace ingot
