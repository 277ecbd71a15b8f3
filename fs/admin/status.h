// SPDX-License-Identifier: BSD-3-Clause
// status and info: what a pool is and how it is, as JSON.
//
// Of a mounted pool the daemon is asked, through the virtual attribute user.ingot.status; an
// unmounted one is opened read-only, its journal left alone. Stateless.
#pragma once

#include <string>

#include "fs/admin/describe.h"
#include "pmemdev/base/result.h"
#include "pmemdev/device.h"

namespace ingot::admin {

// A pool's file, device or directory, or a path inside a mount. EINVAL: no ingot pool; ENOENT,
// EACCES ...; ENOTCONN: the mount's daemon is gone.
Result<Json> Status(const std::string& path);
// Of all ingot mounts, an array; a mount that doesn't answer has "error".
Result<Json> StatusOfAllMounts();

// Static facts, from the superblock alone. Works beside a mount. Errors as ReadSuperblocks.
Result<Json> Info(const std::string& pool_path);

// A file inside a mount: extents, bytes in whole 2 MiB pages and their share, whether mappings are
// direct and why not; asked of the daemon through user.ingot.map. ENOTSUP: it lies in no ingot
// mount.
Result<Json> Map(const std::string& file_path);

// Short names for people and JSON.
[[nodiscard]] const char* NameOf(Medium medium);
[[nodiscard]] const char* NameOf(Granularity granularity);

}  // namespace ingot::admin
