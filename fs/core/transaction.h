// SPDX-License-Identifier: BSD-3-Clause
// One atomic change: DRAM copies of inodes and blocks are edited, then made durable all or none.
//
// Use: hold the inode locks; claim space; write data through stream(); edit; Commit(). Edits of one
// block in one transaction share one copy, so code composes without knowing of each other. At
// Commit the copies are sealed, compared with what is on media, and only changed words are logged.
// New blocks, new inodes' bodies and data are written unlogged and fenced before the lane becomes
// valid. Dropping a transaction without Commit leaves nothing on media and gives its claims back.
// Not thread-safe; at most one lane a thread (a second transaction must not be begun while one
// lives).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include <absl/container/inlined_vector.h>

#include "fs/core/allocator.h"
#include "fs/core/backing_ledger.h"
#include "fs/core/blocks.h"
#include "fs/core/edit_list.h"
#include "fs/core/log_changes.h"

namespace ingot {

class Transaction {
 public:
  Transaction(Allocator& allocator, BlockReader& reader);
  ~Transaction();
  Transaction(const Transaction&) = delete;

  // For data: written pages must be claimed ones, or overwritten in place. Fenced by Commit.
  [[nodiscard]] PersistStream& stream() {
    has_unfenced_ = true;
    return stream_;
  }

  // The inode's editable copy. The pointer stays valid for the transaction's life. Errors:
  // ReadInode's.
  Result<media::Inode*> EditInode(InodeNumber inode);
  // A new inode in a free slot that the caller's lock covers: zeroed copy with magic and number
  // set. Takes one free slot of its group. EOVERFLOW: too many groups.
  Result<media::Inode*> NewInode(InodeNumber inode);
  // Frees the slot: the inode is gone after Commit. Its pages must have been freed.
  Result<void> FreeInode(InodeNumber inode);

  // The block's editable copy, validated. Errors: BlockReader::Verified's.
  Result<std::byte*> EditBlock(LogicalPage page, const BlockIdentity& identity);
  // A new block on a page claimed for this transaction: zeroed but for its header.
  std::byte* NewBlock(LogicalPage page, const BlockIdentity& identity, uint16_t level);
  // The block as this transaction sees it: its edited copy, or the verified page in place (read it
  // inside Device::ReadInPlace).
  Result<const std::byte*> ViewBlock(LogicalPage page, const BlockIdentity& identity);

  // Overwrites data in place, all or nothing with the rest, at the price of writing it twice.
  // Within one group; counts against the log's budget. EIO: a word that is partly kept is poisoned.
  Result<void> LogData(LogicalOffset at, std::span<const std::byte> bytes);

  // The claim's pages become allocated by Commit. EOVERFLOW: too many groups; split the work.
  Result<void> Allocate(Claim claim, InodeNumber owner, ClaimPurpose purpose, FilePage at = {});
  // Pages become free by Commit; their edited copies are forgotten. EOVERFLOW likewise; the run may
  // not cross a group.
  Result<void> Free(LogicalPage first, uint32_t pages);
  // A page claimed here becomes an inode page, all zero, of eight free slots.
  Result<void> AddInodePage(Claim claim);
  // The page holds no inode any more, once this transaction has committed.
  Result<void> RemoveInodePage(LogicalPage page);
  [[nodiscard]] bool RemovesInodePage(LogicalPage page) const;
  // True if this transaction makes an inode in that page.
  [[nodiscard]] bool MakesInodeIn(LogicalPage page) const;
  [[nodiscard]] bool MakesInode(InodeNumber inode) const;
  // The inode, which this transaction edits, gets or loses marks of media::kInodeToRecover; its
  // group counts the inodes that have any. EOVERFLOW.
  Result<void> MarkToRecover(media::Inode& inode, uint32_t marks);
  Result<void> UnmarkToRecover(media::Inode& inode, uint32_t marks);

  // The backing file belongs to no inode any more, or to one now: the ledger follows in the same
  // step. Listing takes a promised place.
  void ListBackingFile(BackingLedger& ledger, uint64_t number, BackingLedger::Places place);
  void UnlistBackingFile(BackingLedger& ledger, uint64_t number);
  // `count` new numbers, from `first` on, are listed; lower ones are never handed out again.
  void HandOutBackingFiles(BackingLedger& ledger, uint64_t first, uint32_t count,
                           BackingLedger::Places places);

  // Bytes of log that Commit would need by now, at most; what remains bounds how much more to edit.
  [[nodiscard]] uint64_t LogBytesNeeded() const;
  static constexpr uint64_t kLogBudgetBytes = 48 << 10;
  // True while another change of moderate size (two blocks, one more group) surely fits.
  [[nodiscard]] bool HasRoom() const;
  // Groups that change so far; Allocator::kMaxGroupsPerTransaction is the limit.
  [[nodiscard]] size_t group_count() const { return changes_.size(); }

  // Atomic and durable on success. An error before the commit point leaves nothing (EIO, EROFS,
  // EOVERFLOW, EUCLEAN of a bitmap); after it the device is read-only and recovery completes the
  // change. Locks of groups are held inside; those of inodes must be held by the caller until it
  // returns.
  Result<void> Commit();

 private:
  struct InodeEdit {
    InodeNumber number;
    bool fresh = false;
    bool freed = false;
    media::Inode before;
    media::Inode after;
  };
  // (What was before is on the medium still.)
  struct BlockEdit {
    LogicalPage page;
    bool fresh = false;
    BlockIdentity identity;
    ChangedWords changed;
    alignas(kCacheLineSize) std::array<std::byte, kPageSize> after;
  };
  struct Allocation {
    Claim claim;
    InodeNumber owner;
    ClaimPurpose purpose;
    FilePage at;
  };

  Result<GroupChange*> ChangeOf(GroupIndex group);
  [[nodiscard]] InodeEdit* FindInode(InodeNumber inode);
  [[nodiscard]] BlockEdit* FindBlock(LogicalPage page);
  Result<void> SealEdits();
  Result<void> WriteFresh();
  Result<void> LogEdits();
  Result<void> StageShared();
  void FinishShared(bool committed);
  Result<void> CommitStaged();
  void NoteDescriptors();
  void DistrustEdits();
  void NoteAllocation(const Allocation& allocation);

  Allocator& allocator_;
  BlockReader& reader_;
  Device& device_;
  PersistStream stream_;
  Lane lane_;
  bool has_unfenced_ = false;
  uint64_t data_log_bytes_ = 0;
  EditList<InodeEdit, 3> inodes_;
  EditList<BlockEdit, 2> blocks_;
  absl::InlinedVector<Allocation, 4> allocations_;
  absl::InlinedVector<LogicalPage, 1> new_inode_pages_;
  absl::InlinedVector<GroupChange, 2> changes_;
  BackingLedger* ledger_ = nullptr;  // the pool's, if it is to change
  LedgerChange ledger_change_;
  absl::InlinedVector<BackingLedger::Places, 1> places_;
};

}  // namespace ingot
