// SPDX-License-Identifier: BSD-3-Clause
// Truncate. The first transaction sets the size; what it can't free is freed by further ones, while
// the inode is marked as an orphan, so that recovery goes on after a crash.
#include "fs/core/attributes.h"
#include "fs/core/data_placement.h"
#include "fs/core/file_data.h"
#include "fs/core/file_parts.h"
#include "pmemdev/base/log.h"

namespace ingot {

Result<void> FileData::Truncate(InodeNumber number, uint64_t size_bytes, bool kill_privileges) {
  const ExclusiveInodeLocks lock(core_.locks, number);
  const media::Inode inode = TRY(OpenForChange(number, false));
  if (size_bytes > media::kMaxFileSize) return Failure(EFBIG);
  placement_->reservations().Drop(number);
  const Change change{number, kill_privileges, HasFileCapability(inode)};
  if (inode.body_form == media::BodyForm::kBacked) {
    (void)TRY(DropPrivileges(change, inode));
    auto file = TRY(core_.FileOf(inode));
    if (size_bytes <= kDirectFromBytes) MarkShort(inode);
    TRY(file->Resize(size_bytes));
    if (size_bytes != 0) {
      core_.backing->NoteCut(std::move(file), size_bytes);
      return {};
    }
    core_.backing->NoteEmptied(std::move(file));
    if (core_.inodes.Opens(number) == 0) core_.backing->Closed(inode.backing_file);
    return {};
  }
  if (size_bytes <= inode.size_bytes) return Shrink(change, size_bytes);
  const bool leaves_inline =
      inode.body_form == media::BodyForm::kInline && size_bytes > InlineRoom(inode);
  if (leaves_inline) TRY(SpillInline(number));
  return Extend(change, size_bytes);
}

// The next mount may take it back into extents. Without the mark it stays where it is, which harms
// nobody.
void FileData::MarkShort(const media::Inode& before) {
  if ((before.flags & (media::kInodeMayDemote | media::kInodeDax)) != 0) return;
  const Result<void> marked = NoThrow([&]() -> Result<void> {
    Transaction transaction(*core_.allocator, core_.reader);
    media::Inode& inode = *TRY(transaction.EditInode(InodeNumber(before.number)));
    TRY(transaction.MarkToRecover(inode, media::kInodeMayDemote));
    return transaction.Commit();
  });
  if (!marked) {
    log::Info("event=not_marked_short inode={} error={}", before.number,
              ErrnoName(marked.error().code));
  }
}

Result<void> FileData::Extend(const Change& change, uint64_t size_bytes) {
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode& inode = *TRY(transaction.EditInode(change.number));
  if (inode.body_form != media::BodyForm::kTree && size_bytes <= InlineRoom(inode)) {
    std::array<std::byte, media::kInodeTailSize> contents{};
    std::copy_n(inode.tail.begin(), inode.body_bytes, contents.begin());
    StoreInline(inode, std::span(contents).first(size_bytes));
  } else {
    TRY(ZeroOldTail(core_, transaction, inode, size_bytes));
    inode.size_bytes = size_bytes;
  }
  SetModified(inode, CurrentTime());
  TRY(KillPrivileges(transaction, inode, change));
  return transaction.Commit();
}

Result<void> FileData::Shrink(const Change& change, uint64_t size_bytes) {
  bool is_done = true;
  {
    Transaction transaction(*core_.allocator, core_.reader);
    media::Inode& inode = *TRY(transaction.EditInode(change.number));
    // First: these take their places among the few groups of a transaction.
    TRY(transaction.MarkToRecover(inode, 0));
    TRY(KillPrivileges(transaction, inode, change));
    inode.size_bytes = size_bytes;
    SetModified(inode, CurrentTime());
    if (inode.body_form == media::BodyForm::kInline) {
      StoreInline(inode, std::span(inode.tail).first(size_bytes));
    } else {
      is_done = TRY(FreeBehind(transaction, inode, EndPageOf(size_bytes)));
    }
    if (!is_done) TRY(transaction.MarkToRecover(inode, media::kInodeOrphan));
    TRY(transaction.Commit());
  }
  if (is_done) return {};
  // The new size is a fact. What memory is lacking for now, the next change or mount completes.
  const Result<void> finished = NoThrow([&] { return FinishTruncation(change.number); });
  return finished.error_code() == ENOMEM ? Result<void>() : finished;
}

Result<void> FileData::FinishTruncation(InodeNumber number) {
  for (bool is_done = false; !is_done;) {
    Transaction transaction(*core_.allocator, core_.reader);
    media::Inode& inode = *TRY(transaction.EditInode(number));
    TRY(transaction.MarkToRecover(inode, 0));
    is_done = TRY(FreeBehind(transaction, inode, EndPageOf(inode.size_bytes)));
    // Without a name the mark stays: it also says that the inode goes with its last reference.
    if (is_done && inode.links > 0) {
      TRY(transaction.UnmarkToRecover(inode, media::kInodeOrphan));
    }
    TRY(transaction.Commit());
  }
  return {};
}

Result<bool> FileData::FreeBehind(Transaction& transaction, media::Inode& inode,
                                  FilePage keep_pages) {
  placement_->reservations().Drop(InodeNumber(inode.number));
  if (inode.body_form == media::BodyForm::kInline) {
    if (keep_pages.value == 0) {
      const uint64_t size_bytes = inode.size_bytes;
      StoreInline(inode, {});
      inode.size_bytes = size_bytes;
    }
    return true;
  }
  const bool is_backed = inode.body_form == media::BodyForm::kBacked;
  if (inode.body_form != media::BodyForm::kTree && (!is_backed || inode.body_bytes == 0)) {
    return true;
  }
  // What a promotion has left is a tree like any other.
  inode.body_form = media::BodyForm::kTree;
  const FilePage stopped = TRY(FreeRange(core_, transaction, inode, keep_pages, kNoFilePage));
  if (is_backed) inode.body_form = media::BodyForm::kBacked;
  return stopped == kNoFilePage;
}

}  // namespace ingot
