// SPDX-License-Identifier: BSD-3-Clause
// Metadata blocks that belong to one inode (tree nodes, directory leaves): made, viewed and freed
// inside a transaction, the inode's page_count following.
//
// The inode lock is held; exclusively for what changes. A crash leaves what the transaction leaves.
#pragma once

#include "fs/core/transaction.h"

namespace ingot {

[[nodiscard]] inline BlockIdentity IdentityOf(const media::Inode& inode, BlockKind kind) {
  return {kind, InodeNumber(inode.number), inode.generation};
}

struct NewOwnedBlock {
  LogicalPage page;
  std::byte* bytes;  // the transaction's copy
};

// A new block near the inode. ENOSPC; EOVERFLOW: the transaction has too many groups.
Result<NewOwnedBlock> MakeOwnedBlock(Allocator& allocator, Transaction& transaction,
                                     media::Inode& inode, BlockKind kind, uint16_t level,
                                     bool from_reserve);
// EUCLEAN: the inode owns no page by its own count.
Result<void> FreeOwnedBlock(Transaction& transaction, media::Inode& inode, LogicalPage page);

// Blocks of one inode as the medium has them or, with a transaction, as that sees them.
class BlockSource {
 public:
  BlockSource(const BlockReader& reader, Transaction* transaction, const media::Inode& inode)
      : reader_(reader), transaction_(transaction), inode_(inode) {}

  [[nodiscard]] const media::Inode& inode() const { return inode_; }
  [[nodiscard]] const Device& device() const { return reader_.device(); }
  // Bytes to be read inside Device::ReadInPlace. EUCLEAN: no such page, or not that block; EIO.
  Result<const std::byte*> View(LogicalPage page, BlockKind kind) const;

 private:
  const BlockReader& reader_;
  Transaction* transaction_;
  const media::Inode& inode_;
};

}  // namespace ingot
