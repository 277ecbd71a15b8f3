// SPDX-License-Identifier: BSD-3-Clause
// mount -o remount of a running mount: changes the kernel's flags; the daemon goes on.
//
// Stateless. What the daemon fixed when it opened the pool, above all that it may write, can't be
// changed so.
#pragma once

#include <cstdint>
#include <string>

#include "fs/admin/mounts.h"
#include "fs/cli/mount_request.h"
#include "pmemdev/base/result.h"

namespace ingot::cli {

// The MS_* flags of a mount as it is with what `request` says changed.
[[nodiscard]] unsigned long RemountFlags(const admin::MountEntry& mount,
                                         const MountRequest& request);

// EINVAL: no ingot mount there. EROFS: to be writable, but the daemon has opened the pool
// read-only. EPERM. EBUSY: read-only, but files are open for writing.
Result<void> Remount(const std::string& mountpoint, const MountRequest& request);

}  // namespace ingot::cli
