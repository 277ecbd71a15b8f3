// SPDX-License-Identifier: BSD-3-Clause
// Slots for inodes, and the kernel's references to them.
//
// A slot is given out again only when links, opens and lookups are all 0: FUSE requests carry no
// generation, so a holder of the old number would otherwise see the next file. Counts live in the
// page array, not on media. Callers hold the inode lock where said.
#pragma once

#include <atomic>
#include <cstdint>

#include "fs/core/allocator.h"
#include "fs/core/inode_locks.h"
#include "fs/core/transaction.h"

namespace ingot {

class InodeTable {
 public:
  explicit InodeTable(Allocator& allocator) : allocator_(allocator) {}

  // Finds a free slot near `near` (its group first), adds its stripe to `held`, and makes the new
  // inode in `transaction`, with a random generation. The caller fills the rest. ENOSPC: no slot,
  // no page.
  Result<media::Inode*> Allocate(Transaction& transaction, ExclusiveInodeLocks& held,
                                 InodeNumber near);
  // Frees the slot, and its page if that became empty (but for a group's first inode page).
  // The lock is held exclusively; links, opens and lookups are 0.
  Result<void> Free(Transaction& transaction, InodeNumber inode);

  // A number from outside (handle, request): is it plausible at all? ESTALE if not.
  Result<void> CheckNumber(InodeNumber inode) const;

  // The kernel's references. Any lock mode; saturating counts never fall again.
  void AddLookup(InodeNumber inode);
  // Returns the lookups left.
  uint32_t Forget(InodeNumber inode, uint64_t count);
  void AddOpen(InodeNumber inode);
  // Returns the opens left.
  uint32_t RemoveOpen(InodeNumber inode);
  [[nodiscard]] bool IsReferenced(InodeNumber inode) const;  // lookups or opens
  [[nodiscard]] uint32_t Opens(InodeNumber inode) const;

 private:
  // A free slot of the page if its stripe can be had (then added to `held`), else 0.
  Result<InodeNumber> FreeSlotIn(LogicalPage page, const Transaction& transaction,
                                 ExclusiveInodeLocks& held);
  // Looks at up to `probes` inode pages of the group, from its cursor on.
  Result<InodeNumber> ProbeGroup(GroupIndex group, uint32_t probes, const Transaction& transaction,
                                 ExclusiveInodeLocks& held);
  // A new inode page near `group`; its first usable slot.
  Result<InodeNumber> SlotOnNewPage(GroupIndex group, Transaction& transaction,
                                    ExclusiveInodeLocks& held);
  Result<InodeNumber> FindSlot(Transaction& transaction, ExclusiveInodeLocks& held,
                               InodeNumber near);

  Allocator& allocator_;
  std::atomic<uint64_t> last_new_group_{0};  // where a new inode page was made last; a hint
};

}  // namespace ingot
