// SPDX-License-Identifier: BSD-3-Clause
// Inodes without a name, and truncations in progress: freed when nobody refers to them any more.
//
// An orphan is marked in its inode (kInodeOrphan) and counted in its group's entry, in the
// transaction that takes its last name; so are backed files that may be demoted (kInodeMayDemote).
// Recovery visits only groups with a count. Freeing runs in as many transactions as it needs; a
// crash in between is resumed.
#pragma once

#include <atomic>
#include <functional>

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
  // into extents. Asks `may_go_on` before each transaction, without any lock, and stops when it
  // says no: what is left is for the next call. Returns how many inodes were dealt with. Safe
  // beside all operations.
  using MayGoOn = std::function<bool()>;
  Result<uint64_t> Recover(const MayGoOn& may_go_on);
  Result<uint64_t> Recover(const std::atomic<bool>& stop) {
    return Recover([&stop] { return !stop.load(std::memory_order_relaxed); });
  }

 private:
  // Under the inode's lock.
  Result<bool> IsReclaimable(InodeNumber inode) const;
  // False: told to stop before it was done.
  Result<bool> CompleteTruncation(InodeNumber inode, const MayGoOn& may_go_on);
  Result<bool> ReclaimWhile(InodeNumber inode, const MayGoOn& may_go_on);
  Result<bool> RecoverInode(InodeNumber inode, const MayGoOn& may_go_on);
  Result<uint64_t> RecoverPage(LogicalPage page, const MayGoOn& may_go_on);

  Core& core_;
  FileData& data_;
  Xattrs& xattrs_;
};

}  // namespace ingot
