// SPDX-License-Identifier: BSD-3-Clause
// Inode flags as chattr(1) and xfs_io(8) know them: FS_*_FL and FS_XFLAG_* to media::InodeFlags
// and back.
//
// Pure functions. Which flags a type of file may have is for the core to say.
#pragma once

#include <cstdint>

#include "pmemdev/base/result.h"

namespace ingot {

// What each interface can say; other flags stay as they are when it sets.
[[nodiscard]] uint32_t FlagsKnownToChattr();
[[nodiscard]] uint32_t FlagsKnownToXflags();

[[nodiscard]] uint32_t ToChattr(uint32_t flags);
[[nodiscard]] uint32_t ToXflags(uint32_t flags);
// EOPNOTSUPP: a flag that ingot doesn't have.
Result<uint32_t> FromChattr(uint32_t chattr_flags);
Result<uint32_t> FromXflags(uint32_t xflags);

}  // namespace ingot
