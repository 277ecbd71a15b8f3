// SPDX-License-Identifier: BSD-3-Clause
// The wish that a file be mapped directly: FS_XFLAG_DAX, as `xfs_io -c 'chattr +x'` sets it.
//
// Works through the mount: the daemon moves what has to move. Stateless, owns nothing; any thread.
// Errors are about one path, and leave it as it was but for the flag itself.
#pragma once

#include <string>

#include "pmemdev/base/result.h"

namespace ingot::admin {

// Of a regular file: its contents move to a backing file at once, and stay in one for good. Of a
// directory: what is made in it later is backed from creation. Taking the wish back moves nothing
// now; a file that is shorter than 1 MiB at a later mount goes back into extents. ENOTSUP: no ingot
// mount, or a pool that can't; EAGAIN: the file isn't mapped directly yet, the context says why;
// EPERM, EROFS.
Result<void> SetDirect(const std::string& path, bool wanted);

}  // namespace ingot::admin
