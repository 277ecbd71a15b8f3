// SPDX-License-Identifier: BSD-3-Clause
// Making and freeing an inode's metadata blocks; see owned_block.h for locks and crashes.
#include "fs/core/owned_block.h"

namespace ingot {

Result<NewOwnedBlock> MakeOwnedBlock(Allocator& allocator, Transaction& transaction,
                                     media::Inode& inode, BlockKind kind, uint16_t level,
                                     bool from_reserve) {
  const InodeNumber number(inode.number);
  ClaimRequest request;
  request.goal = PageOf(number);
  request.purpose = ClaimPurpose::kMetadata;
  request.from_reserve = from_reserve;
  Claim claim = TRY(allocator.Take(request));
  const LogicalPage page = claim.first();
  TRY(transaction.Allocate(std::move(claim), number, ClaimPurpose::kMetadata));
  ++inode.page_count;
  return NewOwnedBlock{page, transaction.NewBlock(page, IdentityOf(inode, kind), level)};
}

Result<void> FreeOwnedBlock(Transaction& transaction, media::Inode& inode, LogicalPage page) {
  if (inode.page_count == 0) {
    return Failure(EUCLEAN, fmt::format("inode {}: page count", inode.number));
  }
  TRY(transaction.Free(page, 1));
  --inode.page_count;
  return {};
}

Result<const std::byte*> BlockSource::View(LogicalPage page, BlockKind kind) const {
  if (!device().geometry().Contains(page)) [[unlikely]] {
    return Failure(EUCLEAN, fmt::format("inode {}: block {} is outside of the pool", inode_.number,
                                        page.value));
  }
  const BlockIdentity identity = IdentityOf(inode_, kind);
  return transaction_ == nullptr ? reader_.Verified(page, identity)
                                 : transaction_->ViewBlock(page, identity);
}

}  // namespace ingot
