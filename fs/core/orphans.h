// SPDX-License-Identifier: BSD-3-Clause
// Inodes without a name, and truncations in progress: freed when nobody refers to them any more.
//
// An orphan is marked in its inode (kInodeOrphan) and counted in its group's entry, in the
// transaction that takes its last name; so are backed files that may be demoted (kInodeMayDemote).
// Recovery visits only groups with a count. Freeing runs in as many transactions as it needs; a
// crash in between is resumed.
#pragma once

#include <atomic>

#include "fs/core/core.h"
#include "fs/core/file_data.h"
#include "fs/core/xattrs.h"

namespace ingot {

class Orphans {
 public:
  Orphans(Core& core, FileData& data, Xattrs& xattrs) : core_(core), data_(data), xattrs_(xattrs) {}

  // Marks or unmarks the edited inode, with its group's count.
  Result<void> Mark(Transaction& transaction, media::Inode& inode);
  Result<void> Unmark(Transaction& transaction, media::Inode& inode);

  // Frees the inode if it is an orphan without links, opens and lookups; else does nothing. Takes
  // the lock.
  Result<void> Reclaim(InodeNumber inode);
  // The part of Reclaim that fits the transaction which took the last name, when nobody refers to
  // the inode at that moment: true if it was freed in there, false if it must be marked as an
  // orphan instead (part of its pages may be free already) and reclaimed once the caller's locks
  // are gone.
  Result<bool> FreeNow(Transaction& transaction, media::Inode& inode);

  // After a mount: completes truncations, frees what has no links, takes short backed files back
  // into extents. Stops early if `stop` becomes
  // true. Returns how many inodes were dealt with. Safe beside all operations.
  Result<uint64_t> Recover(const std::atomic<bool>& stop);

 private:
  // Under the inode's lock.
  Result<bool> IsReclaimable(InodeNumber inode) const;
  Result<void> CompleteTruncation(InodeNumber inode);
  Result<bool> RecoverInode(const media::Inode& inode);
  Result<uint64_t> RecoverPage(LogicalPage page);

  Core& core_;
  FileData& data_;
  Xattrs& xattrs_;
};

}  // namespace ingot
