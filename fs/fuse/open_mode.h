// SPDX-License-Identifier: BSD-3-Clause
// How the kernel is to do I/O on a handle.
//
// Decided at open. Pure functions; where an inode's other handles count, passthrough.h decides.
// Nothing is kept here: a handle has nothing to remember but what its number says.
#pragma once

#include <fcntl.h>

#include <cstdint>

#include "fs/core/types.h"
#include "fs/format.h"
#include "fs/fuse/libfuse.h"
#include "fs/fuse/mount_options.h"

namespace ingot {

// With cache=small, contents up to this size stay in the kernel's page cache.
inline constexpr uint64_t kSmallFileBytes = 128 << 10;

[[nodiscard]] inline bool OpensForWriting(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY;
}

// The kernel knows nothing of these flags on a FUSE file, so open(2)'s checks are made here. EPERM.
[[nodiscard]] inline Result<void> CheckMayOpen(const Attributes& attributes, int flags) {
  if (!OpensForWriting(flags)) return {};
  if ((attributes.flags & media::kInodeImmutable) != 0) return Failure(EPERM);
  const bool append_only = (attributes.flags & media::kInodeAppendOnly) != 0;
  if (append_only && (flags & O_APPEND) == 0) return Failure(EPERM);
  return {};
}

// Fills what the reply to OPEN or CREATE says.
inline void ChooseOpenMode(fuse_file_info& file, CacheMode cache, uint64_t size_bytes) {
  const bool cached = cache == CacheMode::kSmall && size_bytes <= kSmallFileBytes;
  file.fh = 0;  // requests name the inode; a handle has nothing to remember
  file.direct_io = !cached;
  // Cached pages stay valid between opens: all changes come through this mount.
  file.keep_cache = cached;
  // Writes inside a file need no order among each other but the core's.
  file.parallel_direct_writes = !cached;
  // Not noflush: FLUSH is never sent anyway, and close then writes back the pages of shared
  // mappings.
  file.noflush = 0;
}

}  // namespace ingot
