// SPDX-License-Identifier: BSD-3-Clause
// FS_XFLAG_DAX of a host's files: the wish that they be mapped directly. Files inherit it from
// their directory. The host looks at it when it reads the inode, so a change has its effect only
// once nobody uses the file (Documentation/filesystems/dax.rst); and whenever it is changed, the
// host forgets the file's inode at its last close, with all that it knew of its mappings.
//
// Functions of a descriptor, without state. A crash leaves the flag set or not.
#pragma once

#include "pmemdev/base/result.h"

namespace ingot {

// ENOTTY, EOPNOTSUPP: a host without such flags.
Result<bool> ReadDaxFlag(int fd);
Result<void> SetDaxFlag(int fd, bool wanted);

// Whether a file that is made in the directory is mapped directly, as the kernel says of one that
// has no name. What keeps it from making one.
Result<bool> NewFilesAreDax(int directory);

}  // namespace ingot
