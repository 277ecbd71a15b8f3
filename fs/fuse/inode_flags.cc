// SPDX-License-Identifier: BSD-3-Clause
// Two tables of pairs, one for each interface.
#include "fs/fuse/inode_flags.h"

#include <linux/fs.h>

#include <span>

#include "fs/format.h"

namespace ingot {
namespace {

struct Pair {
  uint32_t ours;
  uint32_t theirs;
};

constexpr Pair kChattr[] = {
    {media::kInodeImmutable, FS_IMMUTABLE_FL},
    {media::kInodeAppendOnly, FS_APPEND_FL},
    {media::kInodeNoAtime, FS_NOATIME_FL},
    {media::kInodeNoDump, FS_NODUMP_FL},
    {media::kInodeSync, FS_SYNC_FL},
    {media::kInodeDirSync, FS_DIRSYNC_FL},
    {media::kInodeDax, FS_DAX_FL},
    // ext4's "write data through the journal" is what chattr has for atomic data.
    {media::kInodeAtomic, FS_JOURNAL_DATA_FL},
    {media::kInodeProjectInherit, FS_PROJINHERIT_FL},
};

constexpr Pair kXflags[] = {
    {media::kInodeImmutable, FS_XFLAG_IMMUTABLE},
    {media::kInodeAppendOnly, FS_XFLAG_APPEND},
    {media::kInodeNoAtime, FS_XFLAG_NOATIME},
    {media::kInodeNoDump, FS_XFLAG_NODUMP},
    {media::kInodeSync, FS_XFLAG_SYNC},
    {media::kInodeDax, FS_XFLAG_DAX},
    {media::kInodeProjectInherit, FS_XFLAG_PROJINHERIT},
};

uint32_t OursOf(std::span<const Pair> pairs) {
  uint32_t all = 0;
  for (const Pair& pair : pairs) all |= pair.ours;
  return all;
}

uint32_t To(std::span<const Pair> pairs, uint32_t ours) {
  uint32_t theirs = 0;
  for (const Pair& pair : pairs) {
    if ((ours & pair.ours) != 0) theirs |= pair.theirs;
  }
  return theirs;
}

Result<uint32_t> From(std::span<const Pair> pairs, uint32_t theirs) {
  uint32_t ours = 0;
  for (const Pair& pair : pairs) {
    if ((theirs & pair.theirs) == 0) continue;
    ours |= pair.ours;
    theirs &= ~pair.theirs;
  }
  if (theirs != 0) return Failure(EOPNOTSUPP);
  return ours;
}

}  // namespace

uint32_t FlagsKnownToChattr() {
  return OursOf(kChattr);
}
uint32_t FlagsKnownToXflags() {
  return OursOf(kXflags);
}
uint32_t ToChattr(uint32_t flags) {
  return To(kChattr, flags);
}
uint32_t ToXflags(uint32_t flags) {
  return To(kXflags, flags);
}
Result<uint32_t> FromChattr(uint32_t chattr_flags) {
  return From(kChattr, chattr_flags);
}
Result<uint32_t> FromXflags(uint32_t xflags) {
  return From(kXflags, xflags & ~FS_XFLAG_HASATTR);
}

}  // namespace ingot
