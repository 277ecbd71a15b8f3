// SPDX-License-Identifier: BSD-3-Clause
// Set-id bits and security.capability: whose requests take them from a file.
//
// With KILLPRIV_V2, WRITE and truncation say whether set-id bits go; capabilities go with every
// write. Before FALLOCATE and COPY_FILE_RANGE, and for chown(path, -1, -1), the kernel sends a
// SETATTR with nothing to set and a REMOVEXATTR of security.capability instead. It checks nothing
// for these, so that anybody could take the privileges of any file by an empty chown. Hence such
// requests count only if they come from who may change the file's mode, and what changes contents
// clears privileges itself.
#pragma once

#include "fs/fuse/request.h"

namespace ingot {

// True for the file's owner and for CAP_FOWNER; and for everybody while somebody may write to the
// file past the daemon: before such a write the kernel sends just these requests, as the writer.
[[nodiscard]] Result<bool> MayClearPrivileges(Request& request, InodeNumber inode);

// For a request that changes contents but doesn't say what to clear; before the change.
Result<void> ClearPrivileges(Request& request, InodeNumber inode);

}  // namespace ingot
